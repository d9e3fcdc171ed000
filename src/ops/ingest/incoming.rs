//! The messages of a batch that have something to be stored.
//!
//! Whom they are from and where they belong is found by [`super::contacts`] and [`super::conversations`], and noted on each
//! message: no list has to be kept in step with another.
//!
//! Invariant: of one message there is one, the fullest that came, whatever else of it is in the batch.

use super::{
    arrival::{Arrival, Outcome},
    people::Named,
};
use crate::{
    error::Error,
    id::{ContactId, ConversationId},
    store::messages::{self, Fullness},
};
use channels::Item;
use db::Session;
use std::collections::{HashMap, hash_map::Entry};

/// A message of a batch, with all that is known of it on the way to the store.
pub(super) struct Incoming<'a> {
    /// Which update of the batch it is from.
    pub(super) update: usize,
    pub(super) arrival: &'a Arrival,
    pub(super) message: &'a channels::Message,
    /// Who wrote it, once that is resolved.
    pub(super) contact: Option<ContactId>,
    /// Their conversation, if there is one, or once it is opened.
    pub(super) conversation: Option<ConversationId>,
    /// Whether something happened to it before it came.
    pub(super) has_changes: bool,
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

    /// Who it is with.
    pub(super) fn named(&self) -> Named<'a> {
        Named {
            account: &self.arrival.account,
            inbox: &self.arrival.inbox,
            channel: self.arrival.channel,
            identities: &self.message.contact.identities,
        }
    }

    /// Its contact. A message that has none by now is an error of ours, and must not go to somebody else.
    pub(super) fn contact(&self) -> Result<&ContactId, Error> {
        let contact = self.contact.as_ref();
        contact.ok_or_else(|| Error::Internal("a message was left without a contact".into()))
    }

    /// Its conversation, likewise.
    pub(super) fn conversation(&self) -> Result<&ConversationId, Error> {
        let conversation = self.conversation.as_ref();
        conversation
            .ok_or_else(|| Error::Internal("a message was left without a conversation".into()))
    }
}

/// What a batch has to do with the messages in it.
pub(super) struct Sorted<'a> {
    /// To be stored.
    pub(super) new: Vec<Incoming<'a>>,
    /// Stored with less than they say now.
    pub(super) fuller: Vec<Incoming<'a>>,
}

/// Sorts the messages of a batch by what is stored of them, each once.
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
    // The unique key decides in the end. Looking first keeps a redelivery from touching contacts and conversations.
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
