//! What is kept of each account: what is known of its keys, its pages and marks.
//!
//! When what is kept may be used is not decided here.
//!
//! Invariant: an account that has left (`gone`) holds nothing, and no key leads to it.

use super::{
    few::Few,
    keys::{KeyHash, Keys},
    long::Long,
    pages::Pages,
};
use crate::{
    id::{AccountId, KeyId},
    ops::{changes::Extent, keys::Known},
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Bytes that an account without pages takes with its first key and all that surrounds it, and those that another key
/// takes, on the safe side.
pub(super) const ACCOUNT: usize = 960;
pub(super) const KEY: usize = 384;
/// What is kept of one account. What every request asks for comes first, here and in what the lock guards, and lies side
/// by side.
#[repr(C)]
pub struct Account {
    /// The era in which it was made.
    pub(super) era: u64,
    /// How many bytes the memory had ever taken when the cache was last told that this is in use.
    pub(super) touched: AtomicU64,
    pub(super) kept: Mutex<Kept>,
    /// What it weighed when the cache last weighed it.
    pub(super) weighed: AtomicU64,
    pub(super) bytes: AtomicUsize,
    pub(super) id: AccountId,
}

#[derive(Default)]
#[repr(C)]
pub(super) struct Kept {
    /// Counts this account's changes, and commits under way that change it.
    pub(super) any: Count,
    /// Counts how often the store was read for this account.
    pub(super) reads: u64,
    /// When that was last, as [`Lease`] counts.
    pub(super) read: u64,
    pub(super) keys: Few<KeyHash, Key>,
    pub(super) pages: Pages,
    /// Whether it has made room for others: nobody tells it of changes any more.
    pub(super) gone: bool,
    /// What `any` counts, of changes of more than counts.
    pub(super) inboxes: Count,
    pub(super) long: Long,
}

#[repr(C)]
pub(super) struct Key {
    pub(super) known: Known,
    pub(super) id: KeyId,
}

#[derive(Default)]
pub(super) struct Count {
    pub(super) changes: u64,
    pub(super) flights: usize,
}

/// By which read of the store something was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    /// When it began.
    pub(super) asked: u64,
    /// Which of the account's reads it was; 0 if others went on at the same time.
    pub(super) by: u64,
}

impl Kept {
    /// Of what was read just now, and counted as a read: it began at `asked`, after so many others.
    pub(super) fn age(&self, asked: u64, before: u64) -> Age {
        let alone = self.reads == before + 1;
        let by = if alone { self.reads } else { 0 };
        Age { asked, by }
    }

    /// What counts changes of this extent.
    pub(super) fn counts(&mut self, extent: Extent) -> impl Iterator<Item = &mut Count> {
        let inboxes = (extent == Extent::Inboxes).then_some(&mut self.inboxes);
        std::iter::once(&mut self.any).chain(inboxes)
    }
}

impl Account {
    /// Its id.
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    /// Changes what is known of one of its keys, if that is kept.
    pub fn amend(&self, key: &KeyHash, change: impl FnOnce(&KeyId, &mut Known)) {
        if let Some(key) = self.kept().keys.get_mut(key) {
            change(&key.id, &mut key.known);
        }
    }

    /// It makes room for others, and takes its keys along.
    pub(super) fn leave(self: &Arc<Self>, keys: &Keys) {
        let mut kept = self.kept();
        kept.gone = true;
        kept.pages.forget();
        kept.long.forget();
        for (hash, _) in std::mem::take(&mut kept.keys).iter() {
            keys.remove(hash, self);
        }
        self.count_bytes(&kept);
    }

    pub(super) fn forget(&self, extent: Extent) {
        let mut kept = self.kept();
        for count in kept.counts(extent) {
            count.changes += 1;
        }
        kept.pages.forget();
        match extent {
            Extent::Counts => kept.long.forget_whole(),
            Extent::Inboxes => kept.long.forget(),
        }
        self.count_bytes(&kept);
    }

    /// Bytes that it takes, on the safe side.
    pub(super) fn weight(&self) -> u64 {
        (ACCOUNT + self.bytes.load(Ordering::Relaxed)) as u64
    }

    /// Counts anew how much is kept.
    pub(super) fn count_bytes(&self, kept: &Kept) {
        let keys = KEY * kept.keys.len().saturating_sub(1);
        let bytes = keys + kept.pages.bytes() + kept.long.bytes();
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic cannot leave it half-changed in a way that matters: what is changed in place, is so by one step.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
