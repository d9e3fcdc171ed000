//! Reading messages, with what happened to them folded in.
//!
//! Invariant: a page is at most three statements, whatever its size, and how much is read for it has a bound.

mod cut;
mod fold;

pub(super) use fold::fold;

use super::{
    Context, found,
    page::{Draft, MOST, Page},
};
use crate::{
    domain::Message,
    error::Error,
    id::{AccountId, ConversationId, MessageId},
    store::{
        conversations, inboxes,
        messages::{self, Bounds, Changes, LONGEST_LISTED, Stored, Thread},
    },
};
use db::Session;

/// Of a message in a list. What is longer is cut, and the page ends early.
pub(super) const LISTED: Bounds = Bounds {
    value: LONGEST_LISTED,
    all: MOST,
};

/// Of a message that is asked for by its id. What it says is there, however long; what it said before edits is too, if
/// all of it is no longer than this.
const WHOLE: Bounds = Bounds {
    value: usize::MAX,
    all: 4 * MOST,
};

/// One message, whole.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
) -> Result<Message<'static>, Error> {
    let mut session = context.db.read().await?;
    let stored = messages::find(&mut session, account, id).await?;
    one(&mut session, account, stored, WHOLE).await
}

/// One message as it is in a list: a long one is cut.
pub async fn get_listed(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
) -> Result<Message<'static>, Error> {
    let mut session = context.db.read().await?;
    let stored = messages::find_listed(&mut session, account, id).await?;
    one(&mut session, account, stored, LISTED).await
}

async fn one(
    session: &mut Session,
    account: &AccountId,
    stored: Option<Stored<'static>>,
    bounds: Bounds,
) -> Result<Message<'static>, Error> {
    let stored = found(stored, "message")?;
    let changed: Vec<_> = Some(&stored)
        .into_iter()
        .filter(|one| one.has_changes)
        .collect();
    let changes = messages::changes(session, account, &changed, bounds).await?;
    Ok(fold(
        stored,
        changes.into_iter().next().unwrap_or_default(),
    )?)
}

/// A page of messages: the newest before `before` (or of all), oldest first.
pub async fn list(
    context: &Context,
    account: &AccountId,
    thread: &Thread,
    before: Option<&MessageId>,
    limit: i64,
) -> Result<Page, Error> {
    let mut session = context.db.read().await?;
    let mut draft = Draft::new(limit);
    let each = |stored: Stored<'_>| {
        if !draft.has_room() {
            return Ok(());
        }
        let cursor = stored.id.to_string();
        if stored.has_changes {
            draft.leave_open(cursor, stored.into_owned());
            return Ok(());
        }
        draft.write(cursor, &fold(stored, Changes::default())?)
    };
    messages::newest(&mut session, account, thread, before, limit + 1, each).await?;
    if draft.is_empty() {
        explain_nothing(&mut session, account, thread, before).await?;
    }
    let open: Vec<_> = draft.open().collect();
    let changes = messages::changes(&mut session, account, &open, LISTED).await?;
    Ok(draft.finish(changes, true, fold)?)
}

/// An error if a page is empty because what was asked for is not there.
async fn explain_nothing(
    session: &mut Session,
    account: &AccountId,
    thread: &Thread,
    before: Option<&MessageId>,
) -> Result<(), Error> {
    match thread {
        Thread::Conversation(id) => {
            found(
                conversations::find(session, account, id).await?,
                "conversation",
            )?;
        }
        Thread::Inbox(id) => {
            found(inboxes::find(session, account, id).await?, "inbox")?;
        }
    }
    if let Some(before) = before
        && !messages::exists(session, account, before).await?
    {
        return Err(Error::field(
            "before",
            "must be the id of a message of yours",
        ));
    }
    Ok(())
}

/// The messages of a conversation that came after one of them (or all), in the order in which they came, each with
/// its provider id.
pub(super) async fn after(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    after: Option<&MessageId>,
    limit: i64,
) -> Result<Vec<(Message<'static>, String)>, Error> {
    let start = MessageId::from_text("");
    let after = after.unwrap_or(&start);
    let mut session = context.db.read().await?;
    let stored = messages::after(&mut session, account, conversation, after, limit).await?;
    let changed: Vec<_> = stored.iter().filter(|one| one.has_changes).collect();
    let changes = messages::changes(&mut session, account, &changed, LISTED).await?;
    let mut changes = changes.into_iter();
    let mut read = Vec::with_capacity(stored.len());
    for one in stored {
        let changes = match one.has_changes {
            true => changes.next().unwrap_or_default(),
            false => Changes::default(),
        };
        let provider_id = one.provider_id.to_string();
        read.push((fold(one, changes)?, provider_id));
    }
    Ok(read)
}
