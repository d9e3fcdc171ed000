//! Accepting a message to send: what a request gets, and when. What is stored is in `queue`.
//!
//! Invariant: what is answered is stored, and so is the answer, if the request may be repeated; or nothing is.

use super::{input::NewMessage, queue::queue};
use crate::{
    domain::{Message, SentBy},
    error::Error,
    id::{AccountId, MessageId},
    ops::{
        Context,
        events::{Live, What},
        idempotency::{Request, commit_answer},
        transaction::again,
    },
};
use std::time::Duration;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

/// Accepts a message to send. Returns the message as it is then; or, with `wait`, as it is
/// once the provider has answered, at most so much later.
///
/// # Errors
/// [`Error::Validation`] with what the channel does not take, and with whom it cannot be for;
/// [`Error::Conflict`] if nothing can be sent there now.
pub async fn send(
    context: &Context,
    account: &AccountId,
    sent_by: &SentBy,
    new: NewMessage,
    request: Option<&Request>,
    wait: Option<Duration>,
) -> Result<Message<'static>, Error> {
    // Before anything can happen to it.
    let events = context.events.listen();
    let accepted = again(|| accept(context, account, sent_by, &new, request)).await?;
    let Some(wait) = wait else {
        return Ok(accepted);
    };
    let id = MessageId::from_text(accepted.id.to_string());
    // The answer is then as far as it is.
    timeout(wait, until_answered(context, account, &id, events))
        .await
        .ok();
    super::get(context, account, &id).await
}

/// Stores it in one transaction.
async fn accept(
    context: &Context,
    account: &AccountId,
    sent_by: &SentBy,
    new: &NewMessage,
    request: Option<&Request>,
) -> Result<Message<'static>, Error> {
    let mut session = context.db.write().await?;
    let (id, changes) = queue(context, &mut session, account, sent_by, new).await?;
    let accepted = super::read_one(&mut session, account, &id).await?;
    commit_answer(context, session, changes, request, &accepted).await?;
    Ok(accepted)
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
