//! Who asks: a principal, with the account that it acts for and what it may do there.
//!
//! How a principal proves who it is, is not here: see `ops::keys` for API keys.
//!
//! Invariant: a principal was good when it was made. It does not learn of a later revocation: `ops::keys::recheck` does.

use crate::{
    domain::Scope,
    error::Error,
    id::{AccountId, KeyId},
};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// SHA-256 of an API key.
pub type KeyHash = [u8; 32];

/// Who asks, for which account, with which scopes.
#[derive(Debug)]
pub struct Principal {
    /// Who it is.
    pub actor: Actor,
    /// The account that it acts for.
    pub account: AccountId,
    /// What it may do there.
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
    /// Its id.
    pub id: KeyId,
    /// Its hash, by which it is found.
    pub hash: KeyHash,
    /// When it stops working, in seconds since 1970, if ever.
    pub expires_at: Option<i64>,
    /// Requests a minute that it may make; 0 is no limit, and without a value the server's own limit counts.
    pub rate_limit: Option<i64>,
    /// When a use of it was last noted, in seconds since 1970; 0 for never.
    pub use_noted_at: AtomicI64,
    /// The last origin that [`Principal::is_new_origin`] was told; 0 for none.
    pub last_origin: AtomicU64,
}

impl Principal {
    /// The account that it acts for.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The key that it presented.
    pub fn key(&self) -> &ActingKey {
        let Actor::Key(key) = &self.actor;
        key
    }

    /// An error if it lacks this scope.
    pub fn may(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Error::Forbidden(scope))
        }
    }

    /// Requests a minute that it may make; 0 is no limit, and without a value the server's own limit counts.
    pub fn rate_limit(&self) -> Option<i64> {
        self.key().rate_limit
    }

    /// What it is counted by: no two principals share it.
    pub fn fingerprint(&self) -> u128 {
        fingerprint(&self.key().hash)
    }

    /// Whether its key has expired at this moment, in seconds since 1970.
    pub fn has_expired(&self, now: i64) -> bool {
        self.key().expires_at.is_some_and(|end| now >= end)
    }

    /// Whether it comes from another origin than at the last call. What an origin is, is the caller's choice.
    pub fn is_new_origin(&self, origin: u64) -> bool {
        let last = &self.key().last_origin;
        // Writing each time would make processors compete for it.
        last.load(Ordering::Relaxed) != origin && last.swap(origin, Ordering::Relaxed) != origin
    }
}

/// What the key with this hash is counted by. Half of a SHA-256 is still far too much for two keys to share.
pub fn fingerprint(hash: &KeyHash) -> u128 {
    let (half, _) = hash.split_at(16);
    half.iter()
        .fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// These.
    pub fn of(scopes: &[Scope]) -> Self {
        Scopes(scopes.iter().fold(0, |set, scope| set | 1 << *scope as u8))
    }

    /// Whether this is one of them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }
}
