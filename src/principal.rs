//! Principals: who sends a request, for which account, and what it may do there.
//!
//! `ops::keys` authenticates principals by their API keys.
//!
//! Invariant: a principal was valid when it was created. It does not notice a later revocation; `ops::keys::recheck`
//! does.

use crate::{
    domain::{Scope, SentBy},
    error::Error,
    id::{AccountId, KeyId},
};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The SHA-256 of an API key.
pub type KeyHash = [u8; 32];

/// The sender of a request, the account that it acts for, and its scopes.
#[derive(Debug)]
pub struct Principal {
    /// Who the principal is.
    pub actor: Actor,
    /// The account that it acts for.
    pub account: AccountId,
    /// What it may do in that account.
    pub scopes: Scopes,
}

/// The kinds of principals.
#[derive(Debug)]
pub enum Actor {
    /// Software with an API key.
    Key(ActingKey),
}

/// The API key that a principal presented.
#[derive(Debug)]
pub struct ActingKey {
    /// The key's id.
    pub id: KeyId,
    /// The key's name.
    pub name: Box<str>,
    /// The key's hash, by which it is found in the store.
    pub hash: KeyHash,
    /// When the key expires, in seconds since 1970. `None` if it never does.
    pub expires_at: Option<i64>,
    /// Requests per minute. 0 means no limit; `None` means the server's default limit.
    pub rate_limit: Option<i64>,
    /// When a use of the key was last recorded, in seconds since 1970. 0 if never.
    pub use_noted_at: AtomicI64,
    /// The last value that was passed to [`Principal::is_new_origin`]. 0 if there was none.
    pub last_origin: AtomicU64,
}

impl Principal {
    /// The account that it acts for.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The API key that it presented.
    pub fn key(&self) -> &ActingKey {
        let Actor::Key(key) = &self.actor;
        key
    }

    /// Returns [`Error::Forbidden`] if the principal lacks this scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Error::Forbidden(scope))
        }
    }

    /// The principal as the sender of a message.
    pub fn sent_by(&self) -> SentBy {
        let key = self.key();
        SentBy {
            kind: "key".to_owned(),
            id: key.id.to_string(),
            name: key.name.to_string(),
        }
    }

    /// Requests per minute. 0 means no limit; `None` means the server's default limit.
    pub fn rate_limit(&self) -> Option<i64> {
        self.key().rate_limit
    }

    /// The identity by which the principal's requests are counted. No two principals share it.
    pub fn fingerprint(&self) -> u128 {
        fingerprint(&self.key().hash)
    }

    /// True if its key has expired at `now`, in seconds since 1970.
    pub fn has_expired(&self, now: i64) -> bool {
        self.key().expires_at.is_some_and(|end| now >= end)
    }

    /// True if `origin` differs from that of the last call. The caller decides what an origin is.
    pub fn is_new_origin(&self, origin: u64) -> bool {
        let last = &self.key().last_origin;
        // Writing at every call would make processors compete for the cache line.
        last.load(Ordering::Relaxed) != origin && last.swap(origin, Ordering::Relaxed) != origin
    }
}

/// The identity by which the requests of a key with this hash are counted. Half of a SHA-256 is still long enough that
/// no two keys share it.
pub fn fingerprint(hash: &KeyHash) -> u128 {
    let (half, _) = hash.split_at(16);
    half.iter()
        .fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// The set of these scopes.
    pub fn of(scopes: &[Scope]) -> Self {
        Scopes(scopes.iter().fold(0, |set, scope| set | 1 << *scope as u8))
    }

    /// True if this scope is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }
}
