//! Accepting a message to send: what a request gets, and when. What is stored is in `queue`.
//!
//! Invariant: what is answered is stored, and so is the answer, if the request may be repeated; or nothing is.

use super::{input::NewMessage, queue::queue};
use crate::{
    domain::{Message, SentBy},
    error::{Error, Reason},
    id::{AccountId, MessageId},
    ops::{
        Context,
        changes::commit,
        events::{Live, What},
        idempotency::Request,
        transaction::again,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::time::Duration;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

/// Accepts a message to send, by the body of `POST /messages`; a `request` that comes again gets its first answer. Returns
/// the message as it is then; or, with `wait`, as it is once the provider has answered, at most so much later.
///
/// # Errors
/// [`Error::Validation`] with all that is wrong with the body, and with what the channel does not take;
/// [`Error::Conflict`] if nothing can be sent there now.
pub async fn send(
    context: &Context,
    account: &AccountId,
    sent_by: &SentBy,
    body: Map<String, Value>,
    request: Option<&Request>,
    wait: Option<Duration>,
) -> Result<Sent, Error> {
    let new = NewMessage::parse(body)?;
    if let Some(answer) = replay(context, account, request).await? {
        return Ok(answer);
    }
    // Before anything can happen to it.
    let events = context.events.listen();
    let (id, accepted) = match again(|| accept(context, account, sent_by, &new, request)).await {
        Ok(Some(accepted)) => accepted,
        // An equal request may have been faster, and what it sent may be why this one cannot.
        lost => {
            let answer = replay(context, account, request).await?;
            return answer.ok_or_else(|| lost.err().unwrap_or_else(in_flight));
        }
    };
    if wait.is_none() {
        return Ok(Sent::new(id, accepted, false));
    }
    if let Some(wait) = wait {
        // The answer is then as far as it is.
        timeout(wait, until_answered(context, account, &id, events))
            .await
            .ok();
    }
    let message = json(&super::get(context, account, &id).await?)?;
    Ok(Sent::new(id, message, false))
}

/// Stores it in one transaction. `None` if an equal request was faster: then nothing is stored.
async fn accept(
    context: &Context,
    account: &AccountId,
    sent_by: &SentBy,
    new: &NewMessage,
    request: Option<&Request>,
) -> Result<Option<(MessageId, Box<RawValue>)>, Error> {
    let mut session = context.db.write().await?;
    let (id, changes) = queue(context, &mut session, account, sent_by, new).await?;
    let accepted = json(&super::read_one(&mut session, account, &id).await?)?;
    if let Some(request) = request
        && !request
            .keep(context, &mut session, account, accepted.get())
            .await?
    {
        return Ok(None);
    }
    commit(context, session, changes).await?;
    Ok(Some((id, accepted)))
}

/// A message that was accepted.
#[derive(Debug)]
pub struct Sent {
    /// Its id.
    pub id: MessageId,
    /// As it is shown.
    pub message: Box<RawValue>,
    /// Whether that is the answer to an earlier request.
    pub is_replayed: bool,
}

impl Sent {
    fn new(id: MessageId, message: Box<RawValue>, is_replayed: bool) -> Self {
        Sent {
            id,
            message,
            is_replayed,
        }
    }
}

/// What an equal request was answered.
async fn replay(
    context: &Context,
    account: &AccountId,
    request: Option<&Request>,
) -> Result<Option<Sent>, Error> {
    let Some(request) = request else {
        return Ok(None);
    };
    let Some(answer) = request.answer(context, account).await? else {
        return Ok(None);
    };
    #[derive(Deserialize)]
    struct Answer {
        id: MessageId,
    }
    let Answer { id } = serde_json::from_str(&answer).map_err(internal)?;
    let message = RawValue::from_string(answer).map_err(internal)?;
    Ok(Some(Sent::new(id, message, true)))
}

fn in_flight() -> Error {
    Error::Conflict(
        Reason::InFlight,
        "A request with this Idempotency-Key is being carried out: try again".to_owned(),
    )
}

fn json(message: &Message<'_>) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(message).map_err(internal)
}

/// Returns once a message is not queued any more, or if that cannot be seen.
async fn until_answered(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
    mut events: Receiver<Live>,
) {
    let is_queued = async || {
        let message = super::get(context, account, id).await;
        message.is_ok_and(|message| message.status.as_deref() == Some("queued"))
    };
    while is_queued().await {
        loop {
            match events.recv().await {
                Ok(Live::Happened(event)) => match &event.what {
                    What::MessageChanged { message, .. } if message == id => break,
                    _ => {}
                },
                Ok(Live::Missed) | Err(RecvError::Lagged(_)) => break,
                Ok(Live::KeysChanged | Live::ConversationGone(_) | Live::SessionEnded(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}
