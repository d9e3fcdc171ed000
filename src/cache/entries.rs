//! Cache entries of one kind, each with the generation at which it was read.
//!
//! Invariant: [`Entries::get`] returns no entry whose account has changed since it was read, as far as the cache knows.

use super::account::{AccountState, Extent};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{hash::Hash, sync::Arc};

/// The state of the cache before something was read from the store. If anything relevant changes after that, the value
/// is not cached.
#[derive(Debug, Clone, Copy)]
pub struct FillToken {
    pub(super) era: u64,
    pub(super) generation: u64,
}

/// A cached value.
#[derive(Clone)]
pub(super) struct CacheEntry<V> {
    pub(super) value: V,
    /// The account that the value belongs to.
    pub(super) account: Arc<AccountState>,
    pub(super) read: FillToken,
}

/// Entries of one kind. The least recently used one is evicted first.
pub(super) struct Entries<K, V> {
    cache: Cache<K, CacheEntry<V>>,
    /// Which changes make these entries invalid.
    extent: Extent,
}

impl<K, V> Entries<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Entries of at most `room` bytes in total. `bytes` returns the size of an entry, with overhead.
    pub(super) fn new(
        room: u64,
        extent: Extent,
        bytes: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
    ) -> Self {
        let weigh = move |key: &K, entry: &CacheEntry<V>| {
            u32::try_from(bytes(key, &entry.value)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(room)
            .weigher(weigh)
            .build();
        Entries { cache, extent }
    }

    /// The entry, if it is still valid in this era.
    pub(super) fn get(&self, key: &K, era: u64) -> Option<CacheEntry<V>> {
        let entry = self.cache.get(key)?;
        self.holds(&entry.account, entry.read, era).then_some(entry)
    }

    /// The entry, if it is of this era. The caller must compare its account's generation.
    pub(super) fn get_unchecked(&self, key: &K, era: u64) -> Option<CacheEntry<V>> {
        self.cache.get(key).filter(|entry| entry.read.era == era)
    }

    /// Caches a value that was read after the token was taken, unless its account has changed since.
    pub(super) fn fill(
        &self,
        key: K,
        value: V,
        account: Arc<AccountState>,
        read: FillToken,
        era: u64,
    ) {
        if self.holds(&account, read, era) {
            let entry = CacheEntry {
                value,
                account,
                read,
            };
            self.cache.insert(key, entry);
        }
    }

    fn holds(&self, account: &AccountState, read: FillToken, era: u64) -> bool {
        read.era == era && account.is_unchanged(self.extent, read.generation)
    }

    pub(super) fn evict(&self, key: &K) {
        self.cache.invalidate(key);
    }

    /// The number of entries, and their size in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    pub(super) fn room(&self) -> u64 {
        self.cache.policy().max_capacity().unwrap_or(0)
    }
}
