//! Reads conversations. How their state is changed is in `change`.
//!
//! Invariant: a page takes a handful of statements, whatever its size.

mod change;

pub use crate::store::conversations::Filter;
pub use change::{ConversationChange, ReadMark, read, update};

use super::{
    Context, found,
    messages::{LISTED, fold, json, window},
    page::{Draft, Page, in_turn},
};
use crate::{
    domain::{Contact, Conversation},
    error::Error,
    id::{AccountId, ConversationId, can_be_id},
    store::{
        aliases, contacts,
        conversations::{self, Cursor, Stored},
        inboxes,
        messages::{self, Changes},
    },
};
use db::Session;
use serde::Serialize;
use utoipa::ToSchema;

/// The order of a list of conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// By the time when they began, newest first. This time never changes. So reading all pages returns each conversation
    /// exactly once, whatever arrives in the meantime.
    #[default]
    Created,
    /// By their last message, newest first. A new message moves its conversation to the front. So reading all pages returns
    /// no conversation twice, but may miss one.
    Latest,
    /// Only those that wait for an answer, by since when, longest first.
    Waiting,
}

/// Greater than any conversation's id, since `~` is greater than every character of an id.
const END: &str = "conv_~";

impl Sort {
    /// The cursor of the first page.
    pub fn start(self) -> Cursor {
        let end = ConversationId::from_text(END);
        match self {
            Sort::Created => Cursor::Created(end),
            Sort::Latest => Cursor::Latest(i64::MAX, end),
            Sort::Waiting => Cursor::Waiting(i64::MIN, ConversationId::from_text("")),
        }
    }

    /// Reads the cursor that a page of this order returned as `next`. `None` if this is not one.
    pub fn cursor(self, next: &str) -> Option<Cursor> {
        let id = |text: &str| {
            let can_be = text.starts_with("conv_") && can_be_id(text);
            can_be.then(|| ConversationId::from_text(text))
        };
        match self {
            Sort::Created => Some(Cursor::Created(id(next)?)),
            Sort::Latest => {
                let (at, text) = next.split_once('.')?;
                Some(Cursor::Latest(at.parse().ok()?, id(text)?))
            }
            Sort::Waiting => {
                let (at, text) = next.strip_prefix('w')?.split_once('.')?;
                Some(Cursor::Waiting(at.parse().ok()?, id(text)?))
            }
        }
    }
}

/// A cursor as the text that [`Sort::cursor`] reads.
fn written(cursor: &Cursor) -> String {
    match cursor {
        Cursor::Created(id) => id.to_string(),
        Cursor::Latest(at, id) => format!("{at}.{id}"),
        Cursor::Waiting(at, id) => format!("w{at}.{id}"),
    }
}

/// One conversation.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Conversation<'static>, Error> {
    read_one(context, &mut context.db.read().await?, account, id).await
}

/// One conversation, as an open transaction sees it.
async fn read_one(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Conversation<'static>, Error> {
    let stored = conversations::find(session, account, id).await?;
    let stored = found(stored, "conversation")?;
    let last = stored.last_message.iter().filter(|last| last.has_changes);
    let changes = messages::changes(session, account, &Vec::from_iter(last), LISTED).await?;
    Ok(whole(
        stored,
        changes.into_iter().next().unwrap_or_default(),
        context.clock.now(),
    )?)
}

/// A conversation, with the ids that lead to it because others were joined with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WithFormerIds {
    /// The conversation.
    #[serde(flatten)]
    conversation: Conversation<'static>,
    /// Ids of conversations that were joined with this one. They lead to it now.
    former_ids: Vec<String>,
}

/// One conversation, with the ids that lead to it.
pub async fn get_with_former_ids(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
) -> Result<WithFormerIds, Error> {
    let conversation = get(context, account, id).await?;
    let mut session = context.db.read().await?;
    Ok(WithFormerIds {
        former_ids: aliases::of_survivor(&mut session, account, &conversation.id).await?,
        conversation,
    })
}

/// A page of conversations after a cursor. With filters it may end early, or be empty, before the list ends: see
/// [`conversations::end_of_page`].
///
/// # Errors
/// [`Error::NotFound`] if the filter names an inbox or a contact that is not there.
pub async fn list(
    context: &Context,
    account: &AccountId,
    filter: &Filter,
    cursor: &Cursor,
    limit: i64,
) -> Result<Page, Error> {
    let (filter, cursor) = (filter.clone(), cursor.clone());
    in_turn(context, account, async move |context, account| {
        page(&context, &account, filter, &cursor, limit).await
    })
    .await
}

async fn page(
    context: &Context,
    account: &AccountId,
    mut filter: Filter,
    cursor: &Cursor,
    limit: i64,
) -> Result<Page, Error> {
    let is_narrow = filter.is_narrow(cursor);
    let mut session = match is_narrow {
        true => context.db.snapshot().await?,
        false => context.db.read().await?,
    };
    if let Some(contact) = &mut filter.contact {
        let living = contacts::living(&mut session, account, contact).await?;
        *contact = found(living, "contact")?;
    }
    let mut draft = Draft::new(limit);
    let now = context.clock.now();
    let each = |stored: Stored<'_>| {
        if !draft.has_room() {
            return Ok(());
        }
        let id = || ConversationId::from_text(stored.id.as_ref());
        let next = written(&match cursor {
            Cursor::Created(_) => Cursor::Created(id()),
            Cursor::Latest(..) => Cursor::Latest(stored.last_message_at, id()),
            Cursor::Waiting(..) => Cursor::Waiting(stored.waiting_since.unwrap_or(0), id()),
        });
        if stored
            .last_message
            .as_ref()
            .is_some_and(|last| last.has_changes)
        {
            draft.leave_open(next, stored.into_owned());
            return Ok(());
        }
        draft.write(next, &whole(stored, Changes::default(), now)?)
    };
    let end = match is_narrow {
        true => conversations::end_of_page(&mut session, account, &filter, cursor).await?,
        false => None,
    };
    conversations::list(&mut session, account, &filter, cursor, limit + 1, each).await?;
    if let Some(inbox) = &filter.inbox
        && draft.is_empty()
    {
        found(inboxes::find(&mut session, account, inbox).await?, "inbox")?;
    }
    let open = draft
        .open()
        .filter_map(|stored| stored.last_message.as_ref());
    let open: Vec<_> = open.collect();
    let changes = messages::changes(&mut session, account, &open, LISTED).await?;
    let whole = |stored, changes| whole(stored, changes, now);
    let mut page = draft.finish(changes, false, whole)?;
    page.next = page.next.or_else(|| end.as_ref().map(written));
    Ok(page)
}

/// A conversation, with the changes of its last message applied.
fn whole(stored: Stored<'_>, changes: Changes, now: i64) -> Result<Conversation<'_>, db::Error> {
    let channel = stored.channel.parse();
    let channel = channel.map_err(|what: &str| db::Error::Broken(what.to_owned()))?;
    let contact = stored.contact;
    Ok(Conversation {
        id: stored.id,
        inbox_id: stored.inbox,
        contact: Contact {
            id: contact.id,
            name: contact.name,
            phone: contact.phone,
            username: contact.username,
            is_group: contact.is_group,
            identities: json(contact.identities)?,
            blocked_at: contact.blocked_at,
        },
        status: stored.status,
        window: window(channel, stored.last_inbound_at).at(now),
        waiting_since: stored.waiting_since,
        unread_count: stored.unread_count,
        last_inbound_at: (stored.last_inbound_at != 0).then_some(stored.last_inbound_at),
        messages_count: stored.messages_count,
        last_message: match stored.last_message {
            Some(last) => Some(fold(last, changes)?),
            None => None,
        },
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_in_its_own_order_only() {
        let id = || ConversationId::from_text("conv_1");
        assert_eq!(Sort::Created.cursor("conv_1"), Some(Cursor::Created(id())));
        assert_eq!(
            Sort::Latest.cursor("-5.conv_1"),
            Some(Cursor::Latest(-5, id()))
        );
        assert_eq!(
            Sort::Waiting.cursor("w5.conv_1"),
            Some(Cursor::Waiting(5, id()))
        );
        assert_eq!(Sort::Waiting.cursor("5.conv_1"), None);
        for wrong in ["", "conv", "msg_1", "5.conv_1", "conv_\u{1}"] {
            assert_eq!(Sort::Created.cursor(wrong), None, "{wrong}");
        }
        for wrong in [
            "",
            "conv_1",
            "5.msg_1",
            "w5.conv_1",
            "x.conv_1",
            "5.",
            "99999999999999999999.conv_1",
        ] {
            assert_eq!(Sort::Latest.cursor(wrong), None, "{wrong}");
        }
    }
}
