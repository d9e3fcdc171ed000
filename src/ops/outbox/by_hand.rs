//! What a person does about a message that was accepted: cancels it, tries it again, or says what came of it.
//!
//! Invariant: what an attempt may be sending this very moment is not touched.

use super::{Fact, note};
use crate::{
    domain::{DeliveryError, Message},
    error::{Error, Reason},
    id::{AccountId, InboxId, MessageId},
    input::{self, Text, input, word},
    ops::{
        Context,
        changes::Changes,
        found,
        idempotency::{Request, commit_answer},
        messages::{self as reading, check_sending, expiry},
        transaction::again,
    },
    store::{
        conversations, inboxes,
        messages::{self, Key, Outgoing},
        outbox::{self, Entry, NewEntry, State},
        provider_ids,
    },
};
use db::Session;
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, schema::Schema};

input! {
    /// What a person says of a message.
    pub struct Settlement {
        /// What came of it.
        pub status: Verdict,
    }
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The provider has it.
    Sent,
    /// The provider does not have it.
    Failed,
}

impl Text for Verdict {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "sent" => Ok(Verdict::Sent),
            "failed" => Ok(Verdict::Failed),
            _ => Err("must be sent or failed".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        word(&["sent", "failed"])
    }
}

/// Takes back a message that waits, of any inbox or of this one.
///
/// # Errors
/// [`Error::NotFound`] if it is of another inbox; [`Error::Conflict`] if it does not wait any more, or is being sent.
pub async fn cancel(
    context: &Context,
    account: &AccountId,
    of: Option<&InboxId>,
    id: &MessageId,
    request: Option<&Request>,
) -> Result<Message<'static>, Error> {
    again(|| async {
        let (mut session, outgoing, entry) = open(context, account, id).await?;
        if of.is_some_and(|inbox| *inbox != outgoing.inbox) {
            return Err(Error::NotFound("message"));
        }
        let entry = match entry {
            Some(entry) if entry.state == State::Queued => entry,
            Some(entry) if entry.state == State::Attempting => {
                return Err(not_now("It is being sent at this moment"));
            }
            _ => return Err(not_now("Only what is queued can be canceled")),
        };
        outbox::delete(&mut session, &[(account, id)]).await?;
        if entry.due_at.is_some() {
            let now = context.clock.millis();
            outbox::promote(&mut session, &[(account, &entry.conversation)], now).await?;
        }
        finish(
            context,
            session,
            (account, id),
            outgoing,
            ("canceled", None),
            request,
        )
        .await
    })
    .await
}

/// Tries a message again that failed, or of which nobody knows whether it was sent: as the last of its conversation.
///
/// # Errors
/// [`Error::Conflict`] if it neither failed nor is unknown, or cannot be sent now.
pub async fn retry(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
    request: Option<&Request>,
) -> Result<Message<'static>, Error> {
    again(|| async {
        let (mut session, outgoing, _) = open(context, account, id).await?;
        let message = reading::read_one(&mut session, account, id).await?;
        if !matches!(message.status.as_deref(), Some("failed" | "unknown")) {
            return Err(not_now("Only what failed or is unknown can be tried again"));
        }
        let target =
            conversations::find_target(&mut session, account, &outgoing.conversation).await?;
        let target = found(target, "conversation")?;
        check_sending(context, &mut session, account, &target).await?;
        let key = Key {
            account,
            inbox: &outgoing.inbox,
            provider_id: &outgoing.key,
        };
        messages::forget_attempts(&mut session, &key).await?;
        provider_ids::supersede(&mut session, account, &outgoing.inbox, &outgoing.key).await?;
        let entry = NewEntry {
            account,
            message: id,
            inbox: &outgoing.inbox,
            conversation: &target.id,
            position: &MessageId::new(&context.clock),
            now: context.clock.millis(),
            expires_at: expiry(context),
            attempts: outgoing.attempts,
        };
        outbox::insert(&mut session, &entry).await?;
        finish(
            context,
            session,
            (account, id),
            outgoing,
            ("queued", None),
            request,
        )
        .await
    })
    .await
}

/// Says what came of a message of which nobody knows whether it was sent.
///
/// # Errors
/// [`Error::Validation`] if the body says nothing of the kind; [`Error::Conflict`] if the message is not unknown.
pub async fn settle(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
    body: Map<String, Value>,
    request: Option<&Request>,
) -> Result<Message<'static>, Error> {
    again(|| async {
        let (mut session, outgoing, entry) = open(context, account, id).await?;
        let settlement = input::read(body.clone(), Settlement::take)?;
        if !entry.is_some_and(|entry| entry.state == State::Unknown) {
            return Err(not_now("Only what is unknown can be settled"));
        }
        outbox::close(&mut session, account, id).await?;
        let failure = DeliveryError {
            code: "rejected".to_owned(),
            message: "A person has said that it was not sent".to_owned(),
            provider_code: None,
        };
        let (status, error) = match settlement.status {
            Verdict::Sent => ("sent", None),
            Verdict::Failed => ("failed", Some(failure)),
        };
        finish(
            context,
            session,
            (account, id),
            outgoing,
            (status, error),
            request,
        )
        .await
    })
    .await
}

/// Begins a change of a message that was sent here. Its inbox and its place in the outbox are locked.
async fn open(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
) -> Result<(Session, Outgoing, Option<Entry>), Error> {
    let mut session = context.db.write().await?;
    let outgoing = messages::find_outgoing(&mut session, account, id).await?;
    let Some(outgoing) = outgoing else {
        // An inbound one is there, and nothing can be done about it.
        found(
            messages::find_listed(&mut session, account, id).await?,
            "message",
        )?;
        return Err(not_now("It was not sent through this program"));
    };
    inboxes::lock(&mut session, &[(account, &outgoing.inbox)]).await?;
    let entry = outbox::lock(&mut session, &[(account, id)]).await?;
    Ok((session, outgoing, entry.into_iter().flatten().next()))
}

async fn finish(
    context: &Context,
    mut session: Session,
    (account, id): (&AccountId, &MessageId),
    outgoing: Outgoing,
    (status, error): (&'static str, Option<DeliveryError>),
    request: Option<&Request>,
) -> Result<Message<'static>, Error> {
    let fact = Fact {
        account: account.clone(),
        inbox: outgoing.inbox,
        key: outgoing.key,
        status,
        error,
    };
    let events = note(context, &mut session, &[fact]).await?;
    let mut changes = Changes::of(events);
    // What was behind it may be due now.
    changes.queued = true;
    let message = reading::read_one(&mut session, account, id).await?;
    commit_answer(context, session, changes, request, &message).await?;
    Ok(message)
}

fn not_now(why: &str) -> Error {
    Error::Conflict(Reason::NotNow, why.to_owned())
}
