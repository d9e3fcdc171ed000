//! What the team does with a conversation, beside writing in it: resolves it, opens it again, reads it.
//!
//! Invariant: the inbox is locked before the conversation, as whoever stores a message does, so that what comes at the same
//! moment comes before or after.

use super::read_one;
use crate::{
    domain::{CONVERSATION_STATUSES, Conversation},
    error::Error,
    id::{AccountId, ConversationId, EventId, InboxId, MessageId},
    input::{self, Text, input, word},
    ops::{
        Context,
        changes::Changes,
        events::{Event, What},
        found,
        idempotency::{Request, commit_answer},
        transaction::again,
    },
    store::{
        conversations::{self, Change, Target},
        inboxes,
        messages::find_quotable,
    },
};
use db::Session;
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, schema::Schema};

input! {
    /// A change of a conversation. What is absent stays as it is.
    pub struct ConversationChange {
        /// `resolved`: your team is done with it, until the contact writes again. `open`: it is not.
        pub status: Option<State>,
    }
}

input! {
    /// How far your team has read.
    pub struct ReadMark {
        /// The last message that was read, of those that came here: the one with the greatest id.
        pub message_id: MessageId,
    }
}

/// The status of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody still has to do something.
    Open,
    /// The team is done with it.
    Resolved,
}

impl Text for State {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(State::Open),
            "resolved" => Ok(State::Resolved),
            _ => Err("must be open or resolved".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        word(&CONVERSATION_STATUSES)
    }
}

/// Changes a conversation by the body of `PATCH /conversations/{id}`.
///
/// # Errors
/// [`Error::Validation`] with all errors of the body.
pub async fn update(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
    body: Map<String, Value>,
    request: Option<&Request>,
) -> Result<Conversation<'static>, Error> {
    again(|| async {
        let (
            mut session,
            Target {
                id,
                inbox,
                last_inbound,
                ..
            },
        ) = open(context, account, id).await?;
        let change = input::read(body.clone(), ConversationChange::take)?;
        // Made inside the transaction, so that ids and commits have the same order.
        let event = EventId::new(&context.clock);
        let told = Change {
            account,
            id: &id,
            now: context.clock.now(),
            event: &event,
        };
        let is_new = match change.status {
            None => false,
            Some(State::Open) => conversations::reopen(&mut session, &told).await?,
            Some(State::Resolved) => {
                let place = MessageId::new_after(&context.clock, last_inbound.as_ref());
                conversations::resolve(&mut session, &told, &place).await?
            }
        };
        let shown = read_one(context, &mut session, account, &id).await?;
        let changes = changes(is_new, &told, inbox);
        commit_answer(context, session, changes, request, &shown).await?;
        Ok(shown)
    })
    .await
}

/// Notes that the team has read a conversation up to a message, by the body of `POST /conversations/{id}/read`. What was
/// read before stays read. Returns both.
///
/// # Errors
/// [`Error::Validation`] if the body does not name a message of this conversation.
pub async fn read(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
    body: Map<String, Value>,
    request: Option<&Request>,
) -> Result<(Conversation<'static>, MessageId), Error> {
    again(|| async {
        let (mut session, Target { id, inbox, .. }) = open(context, account, id).await?;
        let message = input::read(body.clone(), ReadMark::take)?.message_id;
        if find_quotable(&mut session, account, &message, &id)
            .await?
            .is_none()
        {
            let rule = "must be the id of a message of this conversation";
            return Err(Error::field("message_id", rule));
        }
        let event = EventId::new(&context.clock);
        let told = Change {
            account,
            id: &id,
            now: context.clock.now(),
            event: &event,
        };
        let is_new = conversations::read_up_to(&mut session, &told, &message).await?;
        let shown = read_one(context, &mut session, account, &id).await?;
        let changes = changes(is_new, &told, inbox);
        commit_answer(context, session, changes, request, &shown).await?;
        Ok((shown, message))
    })
    .await
}

/// Begins a change of a conversation, by its id or one that leads to it. Its inbox is locked.
async fn open(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
) -> Result<(Session, Target), Error> {
    let mut session = context.db.write().await?;
    let target = conversations::find_target(&mut session, account, id).await?;
    let inbox = found(target, "conversation")?.inbox;
    inboxes::lock(&mut session, &[(account, &inbox)]).await?;
    // It may have been joined with another one before the lock.
    let target = conversations::find_target(&mut session, account, id).await?;
    Ok((session, found(target, "conversation")?))
}

/// What is to be told of a change, if anything changed.
fn changes(is_new: bool, change: &Change<'_>, inbox: InboxId) -> Changes {
    if !is_new {
        return Changes::none();
    }
    Changes::of(vec![Event {
        id: change.event.clone(),
        account: change.account.clone(),
        inbox,
        what: What::ConversationChanged {
            conversation: change.id.clone(),
        },
    }])
}
