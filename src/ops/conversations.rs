//! Reads conversations.
//!
//! Invariant: a page takes at most three statements, whatever its size.

use super::{
    Context, found,
    messages::{LISTED, fold, json, window},
    page::{Draft, Page, in_turn},
};
use crate::{
    domain::{Contact, Conversation},
    error::Error,
    id::{AccountId, ConversationId, InboxId, can_be_id},
    store::{
        aliases,
        conversations::{self, Cursor, Stored},
        inboxes,
        messages::{self, Changes},
    },
};

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
        }
    }
}

/// One conversation.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Conversation<'static>, Error> {
    let mut session = context.db.read().await?;
    let stored = conversations::find(&mut session, account, id).await?;
    let stored = found(stored, "conversation")?;
    let last = stored.last_message.iter().filter(|last| last.has_changes);
    let changes = messages::changes(&mut session, account, &Vec::from_iter(last), LISTED).await?;
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

/// A page of conversations after a cursor.
pub async fn list(
    context: &Context,
    account: &AccountId,
    inbox: Option<&InboxId>,
    status: Option<&str>,
    cursor: &Cursor,
    limit: i64,
) -> Result<Page, Error> {
    let (inbox, cursor) = (inbox.cloned(), cursor.clone());
    let status = status.map(str::to_owned);
    in_turn(context, account, async move |context, account| {
        let (inbox, status) = (inbox.as_ref(), status.as_deref());
        page(&context, &account, inbox, status, &cursor, limit).await
    })
    .await
}

async fn page(
    context: &Context,
    account: &AccountId,
    inbox: Option<&InboxId>,
    status: Option<&str>,
    cursor: &Cursor,
    limit: i64,
) -> Result<Page, Error> {
    let mut session = context.db.read().await?;
    let mut draft = Draft::new(limit);
    let now = context.clock.now();
    let each = |stored: Stored<'_>| {
        if !draft.has_room() {
            return Ok(());
        }
        let next = match cursor {
            Cursor::Created(_) => stored.id.to_string(),
            Cursor::Latest(..) => format!("{}.{}", stored.last_message_at, stored.id),
        };
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
    conversations::list(
        &mut session,
        account,
        inbox,
        status,
        cursor,
        limit + 1,
        each,
    )
    .await?;
    if let Some(inbox) = inbox
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
    Ok(draft.finish(changes, false, whole)?)
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
        for wrong in ["", "conv", "msg_1", "5.conv_1", "conv_\u{1}"] {
            assert_eq!(Sort::Created.cursor(wrong), None, "{wrong}");
        }
        for wrong in [
            "",
            "conv_1",
            "5.msg_1",
            "x.conv_1",
            "5.",
            "99999999999999999999.conv_1",
        ] {
            assert_eq!(Sort::Latest.cursor(wrong), None, "{wrong}");
        }
    }
}
