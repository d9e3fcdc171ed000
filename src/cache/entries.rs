//! Entries of one kind, each with the generation that it was read in.
//!
//! Invariant: [`Entries::get`] gives nothing that has changed since it was read, as far as the cache knows.

use super::account::{AccountState, Extent};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{hash::Hash, sync::Arc};

/// Taken before something is read from the store. What changes afterwards makes the read worthless for the cache.
#[derive(Debug, Clone, Copy)]
pub struct FillToken {
    pub(super) era: u64,
    pub(super) generation: u64,
}

/// Something cached.
#[derive(Clone)]
pub(super) struct CacheEntry<V> {
    pub(super) value: V,
    /// Whose it is.
    pub(super) account: Arc<AccountState>,
    pub(super) read: FillToken,
}

/// Entries of one kind; the least recently used leaves first.
pub(super) struct Entries<K, V> {
    cache: Cache<K, CacheEntry<V>>,
    /// Which changes make them untrue.
    extent: Extent,
}

impl<K, V> Entries<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// With room for so many bytes. `bytes` tells how many an entry takes with all that surrounds it.
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

    /// The entry, if it is true in this era.
    pub(super) fn get(&self, key: &K, era: u64) -> Option<CacheEntry<V>> {
        let entry = self.cache.get(key)?;
        self.holds(&entry.account, entry.read, era).then_some(entry)
    }

    /// The same of an entry whose account's generation its caller compares.
    pub(super) fn get_unchecked(&self, key: &K, era: u64) -> Option<CacheEntry<V>> {
        self.cache.get(key).filter(|entry| entry.read.era == era)
    }

    /// Caches something that was read after the token was taken, unless its account has changed since.
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

    /// How many there are, and how many bytes they take.
    pub(super) fn size(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    pub(super) fn room(&self) -> u64 {
        self.cache.policy().max_capacity().unwrap_or(0)
    }
}
