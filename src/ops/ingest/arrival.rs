//! What one update says to one inbox, and what became of it.

use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, InboxId},
};
use bytes::Bytes;
use channels::Item;
use std::sync::Arc;

/// An update as it came, for quarantine.
#[derive(Debug, Default)]
pub struct Source {
    /// The request's headers, without secrets: a JSON object.
    pub headers: String,
    /// The request's body, byte for byte.
    pub body: Bytes,
    /// True for an update that says of itself that it is a test, which proves nothing about the provider.
    pub test: bool,
}

/// What one update says to one inbox, once its signature is checked.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What it was read from.
    pub source: Arc<Source>,
    /// Whose inbox it is.
    pub account: AccountId,
    /// Which.
    pub inbox: InboxId,
    /// Through which channel.
    pub channel: Channel,
    /// Whether the inbox was known to work before this.
    pub proved: bool,
    /// What it says.
    pub items: Vec<Item>,
}

impl Arrival {
    /// The same, without anything that it says.
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

/// What became of an update: each thing that it says is in just one of the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that are new.
    pub stored: u64,
    /// What was there already, or is no news.
    pub known: u64,
    /// Things that happened to messages, contacts and business accounts.
    pub changes: u64,
    /// What could not be understood, or what the store refused.
    pub quarantined: u64,
    /// What is no message, nor about one.
    pub ignored: u64,
    /// What is for inboxes that did not sign it.
    pub foreign: u64,
    /// Parts for an inbox that is there.
    pub parts: u64,
}

impl Outcome {
    pub(super) fn add(&mut self, other: Outcome) {
        self.stored += other.stored;
        self.known += other.known;
        self.changes += other.changes;
        self.quarantined += other.quarantined;
        self.ignored += other.ignored;
        self.foreign += other.foreign;
        self.parts += other.parts;
    }

    /// Whether any part of the update found its inbox: one can be deleted after its address was looked up.
    pub(super) fn arrived(self) -> Result<Outcome, Error> {
        match self.parts {
            0 => Err(Error::NotFound("inbox")),
            _ => Ok(self),
        }
    }
}
