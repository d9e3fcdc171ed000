//! What is kept: of each account its pages and marks, and the keys that lead to it.
//!
//! When what is kept may be used is not decided here.
//!
//! Invariant: an account that has left (`gone`) holds nothing, and no key leads to it.

use super::{long::Long, pages::Pages};
use crate::{
    id::AccountId,
    ops::{changes::Extent, keys::Known},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Bytes that a key, and an account without pages, take with all that surrounds them, on the safe side.
pub(super) const KEY: usize = 384;
pub(super) const ACCOUNT: usize = 512;
/// Parts of the map of keys, each with a lock of its own.
const SHARDS: usize = 16;

/// SHA-256 of an API key.
pub type KeyHash = [u8; 32];

/// Keys by their hashes.
pub(super) struct Keys(pub(super) [RwLock<HashMap<KeyHash, Entry>>; SHARDS]);

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) known: Arc<Known>,
    pub(super) account: Arc<Account>,
}

/// What is kept of one account.
pub struct Account {
    pub(super) id: AccountId,
    /// The era in which it was made.
    pub(super) era: u64,
    /// How many bytes the memory had ever taken when the cache was last told that this is in use.
    pub(super) touched: AtomicU64,
    /// What it weighed when the cache last weighed it.
    pub(super) weighed: AtomicU64,
    pub(super) bytes: AtomicUsize,
    pub(super) kept: Mutex<Kept>,
}

#[derive(Default)]
pub(super) struct Kept {
    /// Counts this account's changes, and commits under way that change it.
    pub(super) any: Count,
    /// The same of those that change more than counts.
    pub(super) inboxes: Count,
    /// Whether it has made room for others: nobody tells it of changes any more.
    pub(super) gone: bool,
    /// Counts how often the store was read for this account.
    pub(super) reads: u64,
    /// When that was last, as [`Lease`] counts.
    pub(super) read: u64,
    pub(super) pages: Pages,
    pub(super) long: Long,
    pub(super) keys: Vec<KeyHash>,
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

impl Keys {
    fn lock(&self, hash: &KeyHash) -> &RwLock<HashMap<KeyHash, Entry>> {
        &self.0[usize::from(hash[0]) % SHARDS]
    }

    pub(super) fn shard(&self, hash: &KeyHash) -> RwLockReadGuard<'_, HashMap<KeyHash, Entry>> {
        // A panic cannot leave a map half-changed here.
        self.lock(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shard_mut(
        &self,
        hash: &KeyHash,
    ) -> RwLockWriteGuard<'_, HashMap<KeyHash, Entry>> {
        self.lock(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An account makes room for others.
    pub(super) fn leave(&self, account: &Arc<Account>) {
        let mut kept = account.kept();
        kept.gone = true;
        kept.pages.forget();
        kept.long.forget();
        account.count_bytes(&kept);
        for hash in std::mem::take(&mut kept.keys) {
            let mut shard = self.shard_mut(&hash);
            // It may have come back meanwhile, as another.
            if shard
                .get(&hash)
                .is_some_and(|entry| Arc::ptr_eq(&entry.account, account))
            {
                shard.remove(&hash);
            }
        }
    }
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
        let bytes = KEY * kept.keys.len() + kept.pages.bytes() + kept.long.bytes();
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic cannot leave it half-changed in a way that matters: no page is changed in place.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
