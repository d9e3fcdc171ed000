//! The part of an update that is for one inbox, and the outcome of storing an update.
//!
//! Invariant: each item of an update is in exactly one count of its outcome.

use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, InboxId},
};
use bytes::Bytes;
use channels::Item;
use std::sync::Arc;

/// An update as it was received, for quarantine.
#[derive(Debug, Default)]
pub struct Source {
    /// The request's headers, without secrets: a JSON object.
    pub headers: String,
    /// The request's body.
    pub body: Bytes,
    /// True for a test update, which does not prove the inbox.
    pub test: bool,
    /// True for a message of the business that was kept aside until it was known that it is none of ours.
    pub is_released: bool,
}

/// The part of an update that is for one inbox, after its signature was checked.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The whole update.
    pub source: Arc<Source>,
    /// The account that owns the inbox.
    pub account: AccountId,
    /// The inbox.
    pub inbox: InboxId,
    /// The inbox's channel.
    pub channel: Channel,
    /// Whether the inbox need not be proved by this update.
    pub proved: bool,
    /// The items for the inbox.
    pub items: Vec<Item>,
}

impl Arrival {
    /// The work of storing it, in items. An item that cannot be read costs more, since the whole update is kept for it.
    pub(super) fn weight(&self) -> usize {
        /// The bytes that are as much work as an item.
        const BYTES: usize = 8192;
        let unreadable = |item: &Item| matches!(item, Item::Unreadable { .. });
        let kept = match self.items.iter().any(unreadable) {
            true => self.source.body.len() / BYTES,
            false => 0,
        };
        // An update without items still proves its inbox.
        self.items.len().max(1) + kept
    }

    /// The same without items.
    pub(super) fn empty(&self) -> Arrival {
        Arrival {
            source: self.source.clone(),
            account: self.account.clone(),
            inbox: self.inbox.clone(),
            channel: self.channel,
            proved: self.proved,
            items: Vec::new(),
        }
    }
}

/// The outcome of storing an update, as counts of its items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// New messages.
    pub stored: u64,
    /// Items that were known already, or had no effect.
    pub known: u64,
    /// Changes of messages, contacts and business accounts.
    pub changes: u64,
    /// Items that could not be read, or that the store refused.
    pub quarantined: u64,
    /// Items that are neither a message nor about one.
    pub ignored: u64,
    /// Items for inboxes whose secret did not sign the update.
    pub foreign: u64,
    /// The number of parts whose inbox exists. This counts no items.
    pub parts: u64,
}

impl Outcome {
    pub(in crate::ops) fn add(&mut self, other: Outcome) {
        self.stored += other.stored;
        self.known += other.known;
        self.changes += other.changes;
        self.quarantined += other.quarantined;
        self.ignored += other.ignored;
        self.foreign += other.foreign;
        self.parts += other.parts;
    }

    /// Returns an error if no part's inbox exists. It may have been deleted after its address was looked up.
    pub(super) fn arrived(self) -> Result<Outcome, Error> {
        match self.parts {
            0 => Err(Error::NotFound("inbox")),
            _ => Ok(self),
        }
    }
}
