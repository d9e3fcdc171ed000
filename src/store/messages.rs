//! The `messages` table: how messages get there (`arriving`), those that are sent (`outgoing`),
//! how they are read (`read`), and what later happens to them (`changes`).
//!
//! Invariant: a provider's id is there once in an inbox, for ever. The unique key says so, not a look-up before it.

mod arriving;
mod changes;
mod outgoing;
mod read;
mod receipts;
mod undelivered;

pub use arriving::{
    Filling, Found, Fullness, Known, NewMessage, fill, find_each_by_provider_id, insert, look_each,
    mark_changed,
};
pub use changes::{
    Bounds, Change, Changes, NewChange, change, changed_after, changes, forget_attempts,
    forget_failure, has_arrived, reaction_author, reaction_part, rekey_each,
};
pub use outgoing::{
    Job, NewOutgoing, Outgoing, find_jobs, find_outgoing, find_quotable, give_ids, insert_outgoing,
    is_own_key, of_own_key, own_key, set_way,
};
pub use read::{
    CUT_TO, Happened, LONGEST_LISTED, Stored, Thread, after, created_after, exists, find,
    find_listed, newest,
};
pub(super) use read::{answered, listed, read};
pub use receipts::{Acknowledgeable, unacknowledged};
pub use undelivered::set_undelivered;
pub(super) use undelivered::{rank, undelivered_by};

use crate::id::{AccountId, InboxId};
use db::{Each, Sql, Value};

/// Those that read.
pub(super) const READING: &[Sql] = read::ALL;
/// Those of what a visitor's pages acknowledge.
pub(super) const RECEIPTS: &[Sql] = receipts::ALL;

/// Those of messages that arrive.
pub(super) const ARRIVING: &[Sql] = arriving::ALL;

/// Those that run many times at once.
pub(super) const EACH: &[Each] = arriving::EACH;

/// Those of messages that are sent.
pub(super) const OUTGOING: &[Sql] = outgoing::ALL;
/// Those of them that run many times at once.
pub(super) const EACH_OUTGOING: &[Each] = outgoing::EACH;

/// Those of what keeps messages from being delivered.
pub(super) const UNDELIVERED: &[Sql] = undelivered::ALL;
/// Those of them that run many times at once.
pub(super) const EACH_UNDELIVERED: &[Each] = undelivered::EACH;

/// Those of what happens to messages.
pub(super) const CHANGES: &[Sql] = changes::ALL;
/// Those of them that run many times at once.
pub(super) const EACH_CHANGES: &[Each] = changes::EACH;
/// Those of them that read.
pub(super) const READING_CHANGES: &[Sql] = changes::READING;

/// By what a message is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// In which inbox.
    pub inbox: &'a InboxId,
    /// The provider's id.
    pub provider_id: &'a str,
}

impl<'a> Key<'a> {
    pub(super) fn params(&self) -> Vec<Value<'a>> {
        vec![
            self.account.into(),
            self.inbox.into(),
            self.provider_id.into(),
        ]
    }
}
