//! The way from a key to its account.
//!
//! What is known of a key is not here, but with its account: then one look into memory finds both.
//!
//! Invariant: whoever is found here has to be asked whether the key is theirs. Two keys whose hashes begin alike push each
//! other out.

use super::kept::Account;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, PoisonError, RwLock},
};

/// Parts of the map, each with a lock of its own.
const SHARDS: usize = 16;

/// SHA-256 of an API key.
pub type KeyHash = [u8; 32];

/// Accounts by how their keys' hashes begin: a map of little, of which more is in the processor's caches.
#[derive(Default)]
pub(super) struct Keys([RwLock<Shard>; SHARDS]);

type Shard = HashMap<u64, Arc<Account>, BuildHasherDefault<AsItIs>>;

impl Keys {
    /// Whose key it can be.
    pub(super) fn account(&self, hash: &KeyHash) -> Option<Arc<Account>> {
        let (beginning, shard) = self.place(hash);
        // A panic cannot leave a map half-changed here.
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&beginning).cloned()
    }

    pub(super) fn insert(&self, hash: &KeyHash, account: Arc<Account>) {
        let (beginning, shard) = self.place(hash);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        shard.insert(beginning, account);
    }

    /// This account has gone.
    pub(super) fn remove(&self, hash: &KeyHash, account: &Arc<Account>) {
        let (beginning, shard) = self.place(hash);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        // It may have come back meanwhile, as another.
        if shard
            .get(&beginning)
            .is_some_and(|other| Arc::ptr_eq(other, account))
        {
            shard.remove(&beginning);
        }
    }

    fn place(&self, hash: &KeyHash) -> (u64, &RwLock<Shard>) {
        let (beginning, rest) = hash.split_at(size_of::<u64>());
        let number = beginning
            .iter()
            .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        (number, &self.0[usize::from(rest[0]) % SHARDS])
    }
}

/// What is a part of a SHA-256 need not be hashed again: nobody can choose it.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
}
