//! Reads messages, with their changes applied; and accepts messages to send.
//!
//! Invariant: a page takes at most three statements, whatever its size, and reads a bounded number of bytes.

mod cut;
mod fold;
mod input;
mod outgoing;
mod queue;
mod send;
mod whatsapp;

pub use input::NewMessage;
pub use send::send;
pub use whatsapp::{NewWhatsappMessage, WhatsappInConversation, send_whatsapp};

pub(super) use fold::{fold, json};
pub(super) use outgoing::{Way, expiry, read as read_outgoing};
pub(super) use queue::{check_sending, window};

use super::{
    Context, found, on_blocking_thread,
    page::{Draft, MOST, Page, in_turn},
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

/// For a message in a list. Longer content is cut, and the page ends early.
pub(super) const LISTED: Bounds = Bounds {
    value: LONGEST_LISTED,
    all: MOST,
};

/// For a single message. Its content is complete, however long it is. Its earlier contents are complete if all of them
/// together are not longer than this.
const WHOLE: Bounds = Bounds {
    value: usize::MAX,
    all: 4 * MOST,
};

/// One message, with its whole content.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
) -> Result<Message<'static>, Error> {
    read_one(&mut context.db.read().await?, account, id).await
}

/// One message as in a list: long content is cut.
pub async fn get_listed(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
) -> Result<Message<'static>, Error> {
    let mut session = context.db.read().await?;
    let stored = messages::find_listed(&mut session, account, id).await?;
    one(&mut session, account, stored, LISTED).await
}

/// One message, whole, as an open transaction sees it.
pub(super) async fn read_one(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
) -> Result<Message<'static>, Error> {
    let stored = messages::find(session, account, id).await?;
    one(session, account, stored, WHOLE).await
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

/// A page of messages: the newest of those before `before`, or of all. They are sorted with the oldest first.
pub async fn list(
    context: &Context,
    account: &AccountId,
    thread: &Thread,
    before: Option<&MessageId>,
    limit: i64,
) -> Result<Page, Error> {
    let (thread, before) = (thread.clone(), before.cloned());
    in_turn(context, account, async move |context, account| {
        page(&context, &account, &thread, before.as_ref(), limit).await
    })
    .await
}

async fn page(
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
        check_exists(&mut session, account, thread, before).await?;
    }
    let open: Vec<_> = draft.open().collect();
    let changes = messages::changes(&mut session, account, &open, LISTED).await?;
    Ok(draft.finish(changes, true, fold)?)
}

/// Returns an error if a page is empty because the thread or the message `before` does not exist.
async fn check_exists(
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
        Thread::Inbox(id) | Thread::Held(id) => {
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

/// The messages of a conversation that were received after one of them, or all, in the order in which they were received.
/// Each has its provider id beside it.
pub(super) async fn after(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    after: Option<&MessageId>,
    limit: i64,
) -> Result<Vec<(Message<'static>, String)>, Error> {
    let (context, account) = (context.clone(), account.clone());
    let after = after.cloned().unwrap_or(MessageId::from_text(""));
    let conversation = conversation.clone();
    // It may have to sort all messages of the conversation.
    let read = async move { read_after(&context, &account, &conversation, &after, limit).await };
    on_blocking_thread(read).await
}

async fn read_after(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    after: &MessageId,
    limit: i64,
) -> Result<Vec<(Message<'static>, String)>, Error> {
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
