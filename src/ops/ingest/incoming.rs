//! The messages of a batch that must be stored.
//!
//! [`super::contacts`] and [`super::conversations`] set the contact and the conversation of each message.
//!
//! Invariant: a message is there once, in the most complete version of the batch.

use super::{
    arrival::{Arrival, Outcome},
    people::Named,
};
use crate::{
    error::Error,
    id::{ContactId, ConversationId},
    store::messages::{self, Fullness},
};
use channels::{Direction, Item};
use db::Session;
use std::collections::{HashMap, hash_map::Entry};

/// A message of a batch.
pub(super) struct Incoming<'a> {
    /// The index of its update in the batch.
    pub(super) update: usize,
    pub(super) arrival: &'a Arrival,
    pub(super) message: &'a channels::Message,
    /// Its contact, when it is known.
    pub(super) contact: Option<ContactId>,
    /// Its conversation, when it is known.
    pub(super) conversation: Option<ConversationId>,
    /// Whether changes of it are stored already.
    pub(super) has_changes: bool,
    /// Whether its contact is muted.
    pub(super) muted: bool,
}

impl<'a> Incoming<'a> {
    pub(super) fn key(&self) -> messages::Key<'a> {
        messages::Key {
            account: &self.arrival.account,
            inbox: &self.arrival.inbox,
            provider_id: &self.message.provider_id,
        }
    }

    fn fullness(&self) -> Fullness {
        Fullness::of(self.message.kind.as_str(), self.message.placeholder)
    }

    /// The person that it is from or to.
    pub(super) fn named(&self) -> Named<'a> {
        Named {
            account: &self.arrival.account,
            inbox: &self.arrival.inbox,
            channel: self.arrival.channel,
            identities: &self.message.contact.identities,
        }
    }

    /// Whether nobody is to hear of it: a muted contact has written it. It is stored and counted like any other.
    pub(super) fn is_silent(&self) -> bool {
        self.muted && self.message.direction == Direction::Inbound
    }

    /// Its contact. If it is not known by now, this is a bug, and the message must not be stored with another contact.
    pub(super) fn contact(&self) -> Result<&ContactId, Error> {
        let contact = self.contact.as_ref();
        contact.ok_or_else(|| Error::Internal("a message was left without a contact".into()))
    }

    /// Its conversation. The same applies.
    pub(super) fn conversation(&self) -> Result<&ConversationId, Error> {
        let conversation = self.conversation.as_ref();
        conversation
            .ok_or_else(|| Error::Internal("a message was left without a conversation".into()))
    }
}

/// The messages of a batch, by what must be done with them.
pub(super) struct Sorted<'a> {
    /// New messages.
    pub(super) new: Vec<Incoming<'a>>,
    /// Messages that are stored with less content than they have now.
    pub(super) fuller: Vec<Incoming<'a>>,
}

/// Sorts the messages of a batch by what is stored of them.
pub(super) async fn sort<'a>(
    session: &mut Session,
    batch: &[Vec<&'a Arrival>],
    outcomes: &mut [Outcome],
) -> Result<Sorted<'a>, Error> {
    let mut incoming: Vec<Incoming<'_>> = Vec::new();
    let mut seen = HashMap::new();
    for (update, arrivals) in batch.iter().enumerate() {
        for arrival in arrivals {
            for item in &arrival.items {
                let Item::Message(message) = item else {
                    continue;
                };
                let one = Incoming {
                    update,
                    arrival,
                    message,
                    contact: None,
                    conversation: None,
                    has_changes: false,
                    muted: false,
                };
                match seen.entry(one.key()) {
                    Entry::Vacant(new) => {
                        new.insert(incoming.len());
                        incoming.push(one);
                    }
                    Entry::Occupied(same) => {
                        outcomes[update].known += 1;
                        let same = &mut incoming[*same.get()];
                        if one.fullness() > same.fullness() {
                            same.message = message;
                        }
                    }
                }
            }
        }
    }
    // In the end the unique key decides. But without this look-up, a redelivery would change contacts and conversations.
    let keys: Vec<_> = incoming.iter().map(Incoming::key).collect();
    let known = messages::look_each(session, &keys).await?;
    let mut sorted = Sorted {
        new: Vec::with_capacity(incoming.len()),
        fuller: Vec::new(),
    };
    for (one, known) in incoming.into_iter().zip(known) {
        match known.message {
            None => sorted.new.push(Incoming {
                has_changes: known.has_changes,
                ..one
            }),
            Some(stored) if one.fullness() > stored => sorted.fuller.push(one),
            Some(_) => outcomes[one.update].known += 1,
        }
    }
    Ok(sorted)
}
