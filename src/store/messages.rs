//! The `messages` table: how messages get there (`arriving`), how they are read (`read`), and what later happens to them
//! (`changes`).
//!
//! Invariant: a provider's id is there once in an inbox, for ever. The unique key says so, not a look-up before it.

mod arriving;
mod changes;
mod read;

pub use arriving::{
    Filling, Found, Fullness, Known, NewMessage, fill, find_each_by_provider_id, insert, look_each,
    mark_changed,
};
pub use changes::{
    Bounds, Change, Changes, NewChange, change, changed_after, changes, reaction_author,
    reaction_part,
};
pub use read::{
    CUT_TO, Happened, LONGEST_LISTED, Stored, Thread, after, created_after, exists, find,
    find_listed, newest,
};
pub(super) use read::{answered, listed, read};

use crate::id::{AccountId, InboxId};
use db::{Each, Sql, Value};

/// Those that read.
pub(super) const READING: &[Sql] = read::ALL;

/// Those of messages that arrive.
pub(super) const ARRIVING: &[Sql] = arriving::ALL;

/// Those that run many times at once.
pub(super) const EACH: &[Each] = arriving::EACH;

/// Those of what happens to messages.
pub(super) const CHANGES: &[Sql] = changes::ALL;
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
    fn params(&self) -> Vec<Value<'a>> {
        vec![
            self.account.into(),
            self.inbox.into(),
            self.provider_id.into(),
        ]
    }
}
