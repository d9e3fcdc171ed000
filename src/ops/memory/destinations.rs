//! Where deliveries go, kept: the inbox behind an address, and the secret that its deliveries are signed with.
//!
//! How it is looked up in the store is not here: see `ops::destinations`. Addresses that lead nowhere are not kept:
//! anybody can make them up.
//!
//! Invariant: what is here was read from the store after the last change of any inbox, other than in its count, that
//! this memory knows of.

use super::{Memory, Sight};
use crate::{domain::Channel, id::InboxId, ops::destinations::Destination};
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Bytes that one takes with all that surrounds it, without its texts, on the safe side.
const DESTINATION: usize = 320;

/// By what an inbox is named in a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// By the address that it has at its provider.
    Address(Channel, String),
    /// By its own id.
    Inbox(Channel, InboxId),
}

/// What is kept, and for how much there is room.
pub(super) struct Destinations {
    room: usize,
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Counts the changes that made uncertain what was kept before.
    era: u64,
    bytes: usize,
    by_name: HashMap<Name, Arc<Destination>>,
}

impl Memory {
    /// Where a delivery to this inbox goes, as far as that is kept.
    pub fn destination(&self, sight: Sight, name: &Name) -> Option<Arc<Destination>> {
        match sight {
            Sight::Clear => self.0.destinations.kept().by_name.get(name).cloned(),
            Sight::Clouded => None,
        }
    }

    /// To be asked before a destination is read from the store that is to be kept.
    pub fn destinations_era(&self) -> u64 {
        self.0.destinations.kept().era
    }

    /// Keeps a destination that was read from the store after its era was asked for, unless an inbox has changed since.
    pub fn keep_destination(
        &self,
        sight: Sight,
        era: u64,
        name: Name,
        destination: &Arc<Destination>,
    ) {
        if sight == Sight::Clear {
            self.0.destinations.keep(era, name, destination);
        }
    }
}

impl Destinations {
    pub(super) fn new(room: usize) -> Self {
        Destinations {
            room,
            kept: RwLock::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept().by_name.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.kept().bytes
    }

    pub(super) fn forget(&self) {
        let mut kept = self.kept_mut();
        kept.era += 1;
        kept.bytes = 0;
        let forgotten = mem::take(&mut kept.by_name);
        drop(kept);
        // Nobody waits while secrets are wiped.
        drop(forgotten);
    }

    fn keep(&self, era: u64, name: Name, destination: &Arc<Destination>) {
        let more = bytes(&name, destination);
        let mut kept = self.kept_mut();
        if kept.era != era || more > self.room || kept.by_name.contains_key(&name) {
            return;
        }
        while kept.bytes + more > self.room {
            // Whichever comes first in a hash map is as good as any: all are in use, or were lately.
            let Some(one) = kept.by_name.keys().next().cloned() else {
                break;
            };
            if let Some(left) = kept.by_name.remove(&one) {
                kept.bytes -= bytes(&one, &left);
            }
        }
        kept.bytes += more;
        kept.by_name.insert(name, destination.clone());
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        // A panic cannot leave it half-changed in a way that matters: no destination is changed in place.
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_mut(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(name: &Name, destination: &Destination) -> usize {
    let name = match name {
        Name::Address(_, address) => address.len(),
        Name::Inbox(_, inbox) => inbox.as_str().len(),
    };
    DESTINATION + name + destination.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountId;

    fn name(number: usize) -> Name {
        Name::Address(Channel::Whatsapp, format!("{number:08}"))
    }

    fn destination() -> Arc<Destination> {
        Arc::new(Destination {
            account: AccountId::from_text("acc_1"),
            inbox: InboxId::from_text("inbox_1"),
            proved: true,
            app_secret: None,
        })
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let destinations = Destinations::new(100_000);
        let before = destinations.kept().era;
        destinations.keep(before, name(1), &destination());
        assert!(destinations.bytes() > 0);
        destinations.forget();
        destinations.keep(before, name(2), &destination());
        assert!(destinations.kept().by_name.is_empty());
        assert_eq!(destinations.bytes(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        const ROOM: usize = 4_000;
        let destinations = Destinations::new(ROOM);
        for number in 0..100 {
            destinations.keep(0, name(number), &destination());
            let kept = destinations.kept();
            assert!(kept.by_name.contains_key(&name(number)));
            let taken: usize = kept.by_name.iter().map(|(name, to)| bytes(name, to)).sum();
            assert!(kept.bytes == taken && taken <= ROOM, "{taken}");
        }
        assert!(destinations.bytes() > ROOM / 2);
        let none = Destinations::new(0);
        none.keep(0, name(1), &destination());
        assert_eq!(none.bytes(), 0);
    }
}
