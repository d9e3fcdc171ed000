//! The outbox: which messages are sent when (`take`), what came of it (`conclude`), what people do about it (`by_hand`, `held`), and
//! what a provider shows of it (`echoes`). Accepting a message is in `messages`; the requests themselves are in `worker`.
//!
//! Invariants: "an attempt begins" is committed before a byte of it leaves, and an attempt whose end is not known is never
//! repeated by itself. In a conversation messages leave one after the other, in the order of their places.

mod by_hand;
mod conclude;
mod echoes;
mod ended;
mod held;
mod patience;
mod respelled;
mod take;
mod traffic;

pub use by_hand::{Settlement, cancel, retry, settle};
pub use conclude::conclude;
pub use echoes::release;
pub use ended::{Conclusion, Ended};
pub use held::{QueueChange, QueueChanged, change_queue};
pub use take::{Attempt, take};
pub use traffic::Traffic;

pub(super) use conclude::{Fact, note};

use super::Context;
use crate::{
    error::Error,
    id::{AccountId, ConversationId, InboxId, MessageId},
    store::{messages::Key, outbox},
};

/// An attempt to send a message.
#[derive(Debug, Clone)]
pub struct Which {
    /// Whose.
    pub account: AccountId,
    /// Through which inbox.
    pub inbox: InboxId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Which message.
    pub message: MessageId,
    /// The number of the attempt, from 1; 0 if none was begun.
    pub number: i64,
}

impl Which {
    /// The key of something in its inbox that has this id.
    fn key<'a>(&'a self, provider_id: &'a str) -> Key<'a> {
        Key {
            account: &self.account,
            inbox: &self.inbox,
            provider_id,
        }
    }
}

impl From<outbox::Entry> for Which {
    fn from(entry: outbox::Entry) -> Self {
        Which {
            account: entry.account,
            inbox: entry.inbox,
            conversation: entry.conversation,
            message: entry.message,
            number: entry.attempts,
        }
    }
}

/// In how many milliseconds something will be due; 0 if something is.
pub async fn next_due(context: &Context) -> Result<Option<i64>, Error> {
    let now = context.clock.millis();
    let mut session = context.db.read().await?;
    if outbox::is_due(&mut session, now).await? {
        return Ok(Some(0));
    }
    let next = outbox::next_due(&mut session, now).await?;
    Ok(next.map(|at| at - now))
}
