//! Reading messages, with what happened to them folded in.
//!
//! Invariant: how a message looks does not depend on the order in which the news about it came.

use super::{Context, found};
use crate::{
    domain::{Edit, Message, Quoted, Reaction},
    error::Error,
    id::{AccountId, ConversationId, MessageId},
    store::{
        conversations, inboxes,
        messages::{self, Change, Stored, Thread},
    },
};
use db::Session;
use serde::de::DeserializeOwned;

/// One message.
pub async fn get(context: &Context, account: &AccountId, id: &MessageId) -> Result<Message, Error> {
    let mut session = context.db.read().await?;
    let stored = found(messages::find(&mut session, account, id).await?, "message")?;
    let mut read = fold_all(&mut session, account, vec![stored]).await?;
    found(read.pop(), "message")
}

/// A page of messages: the newest before `before` (or of all), oldest first, and whether there are older ones.
pub async fn list(
    context: &Context,
    account: &AccountId,
    thread: &Thread,
    before: Option<&MessageId>,
    limit: i64,
) -> Result<(Vec<Message>, bool), Error> {
    let mut session = context.db.snapshot().await?;
    match thread {
        Thread::Conversation(id) => {
            found(
                conversations::find(&mut session, account, id).await?,
                "conversation",
            )?;
        }
        Thread::Inbox(id) => {
            found(inboxes::find(&mut session, account, id).await?, "inbox")?;
        }
    }
    let point = match before {
        None => (i64::MAX, MessageId::from_text("")),
        Some(id) => {
            let message = messages::find(&mut session, account, id).await?;
            let message = message
                .ok_or_else(|| Error::field("before", "must be the id of a message of yours"))?;
            (message.timestamp, message.id)
        }
    };
    let mut page = messages::before(
        &mut session,
        account,
        thread,
        (point.0, &point.1),
        limit + 1,
    )
    .await?;
    let has_more = page.len() as i64 > limit;
    page.truncate(usize::try_from(limit).unwrap_or(0));
    page.reverse();
    Ok((fold_all(&mut session, account, page).await?, has_more))
}

/// The messages of a conversation that came after one of them (or all), in the order in which they came, each with
/// its provider id.
pub(super) async fn after(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    after: Option<&MessageId>,
    limit: i64,
) -> Result<Vec<(Message, String)>, Error> {
    let start = MessageId::from_text("");
    let after = after.unwrap_or(&start);
    let mut session = context.db.snapshot().await?;
    let stored = messages::after(&mut session, account, conversation, after, limit).await?;
    let ids: Vec<_> = stored.iter().map(|one| one.provider_id.clone()).collect();
    let read = fold_all(&mut session, account, stored).await?;
    Ok(read.into_iter().zip(ids).collect())
}

/// The newest message of a conversation.
pub(super) async fn newest(
    session: &mut Session,
    account: &AccountId,
    thread: &Thread,
) -> Result<Option<Message>, Error> {
    let end = MessageId::from_text("");
    let newest = messages::before(session, account, thread, (i64::MAX, &end), 1).await?;
    Ok(fold_all(session, account, newest).await?.pop())
}

async fn fold_all(
    session: &mut Session,
    account: &AccountId,
    stored: Vec<Stored>,
) -> Result<Vec<Message>, Error> {
    let changes = messages::changes_each(session, account, &stored).await?;
    stored
        .into_iter()
        .zip(changes)
        .map(|(message, changes)| fold(message, changes))
        .collect()
}

/// Lays the changes of a message, oldest first, over what it said at first.
fn fold(stored: Stored, changes: Vec<Change>) -> Result<Message, Error> {
    let outbound = stored.direction == "outbound";
    let mut message = Message {
        id: stored.id,
        inbox_id: stored.inbox,
        conversation_id: stored.conversation,
        direction: stored.direction,
        kind: stored.kind,
        content: read(&stored.content)?,
        sender: read(&stored.sender)?,
        quoted: quoted(stored.quoted_id, stored.quoted.as_deref())?,
        reply_to: stored.reply_to,
        // A provider reports only what it has, unless it says otherwise.
        status: outbound.then(|| stored.status.unwrap_or_else(|| "sent".to_owned())),
        error: None,
        edits: Vec::new(),
        reactions: Vec::new(),
        deleted_at: None,
        timestamp: stored.timestamp,
        received_at: stored.received_at,
    };
    for change in changes {
        match change.kind.as_str() {
            "status" if outbound => advance(&mut message, change),
            "reaction" => {
                let by = messages::reaction_author(&change.part);
                message.reactions.retain(|reaction| reaction.by != by);
                message.reactions.extend(change.value.map(|emoji| Reaction {
                    emoji,
                    by: by.to_owned(),
                    timestamp: change.timestamp,
                }));
            }
            "edit" => {
                let new = read(change.value.as_deref().unwrap_or("{}"))?;
                let kind = change.content_type.unwrap_or_else(|| message.kind.clone());
                message.edits.push(Edit {
                    kind: std::mem::replace(&mut message.kind, kind),
                    content: std::mem::replace(&mut message.content, new),
                    edited_at: change.timestamp,
                });
            }
            "revoke" => message.deleted_at = Some(change.timestamp),
            _ => {}
        }
    }
    Ok(message)
}

/// What a message answers, of what was told of it.
fn quoted(provider_id: Option<String>, told: Option<&str>) -> Result<Option<Quoted>, Error> {
    let mut quoted: Quoted = match told {
        Some(told) => read(told)?,
        None => Quoted::default(),
    };
    quoted.provider_id = provider_id;
    Ok((quoted != Quoted::default()).then_some(quoted))
}

/// A status only moves forward. `failed` can follow `sent`, but nothing undoes that a message has arrived.
fn advance(message: &mut Message, change: Change) {
    let rank = |status: &str| {
        ["queued", "sent", "failed", "delivered", "read"]
            .iter()
            .position(|known| *known == status)
    };
    let current = message.status.as_deref().unwrap_or("queued");
    if rank(&change.part) > rank(current) {
        message.error = change.value.filter(|_| change.part == "failed");
        message.status = Some(change.part);
    }
}

/// What is stored as JSON.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("a stored message is damaged: {error}")))
}
