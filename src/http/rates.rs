//! How much an API key may ask in a minute, and how often an address may be wrong about a key.
//!
//! Each node counts for itself: a count that nodes share would cost more than the request.
//!
//! **Wrong keys.** From an address that is over its limit a key is refused before anybody looks whether it is good:
//! whoever guesses learns nothing more, not even from a lucky guess. But many can share an address, and one of them may
//! have a broken script. So a key that was good from the same address within the last day goes on to work. It is
//! remembered with the address: otherwise guesses could be tried against every key that is in use. A request without
//! a key tries nothing, and is not counted.
//!
//! Invariant: of the keys that were not good from an address lately, no more than its limit turn out wrong in a minute, but
//! for those that were looked up at the same moment, and as long as there is room for its count.

use super::{
    client::network,
    minutes::{Count, MINUTE, Minutes},
};
use crate::{config::Limits, error::Error, ops::keys, principal::Principal};
use axum::http::{HeaderMap, HeaderName};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::{Arc, OnceLock},
};

/// How exact it is when a key was good from an address, in seconds: writing it down at each request would cost too much.
const HOUR: i64 = 60 * 60;
/// How long it is remembered that a key was good from an address, in seconds: a day, and as much as it is inexact.
const MEMORY: i64 = 24 * HOUR + HOUR;

/// The counts of one server. Cheap to clone.
#[derive(Clone)]
pub struct Rates(Arc<Inner>);

struct Inner {
    /// Requests, by key.
    keys: Minutes,
    /// Requests a minute of a key that has no limit of its own; 0 is no limit.
    requests: i64,
    /// Wrong keys, by address.
    wrong: Minutes,
    /// Wrong keys a minute from one address; 0 is no limit.
    most_wrong: i64,
    /// Good keys, each with an address that it came from.
    known: Minutes,
}

impl Rates {
    /// With nothing counted yet.
    pub fn new(limits: &Limits) -> Self {
        Rates(Arc::new(Inner {
            keys: Minutes::new(0),
            requests: limits.rate_limit,
            wrong: Minutes::new(0),
            most_wrong: limits.auth_failures,
            known: Minutes::new(MEMORY),
        }))
    }

    /// Whether it may be looked up if the key that a request from this address presents is a good one.
    pub fn may_try(&self, key: &str, address: IpAddr, now: i64) -> Result<(), Error> {
        let most = self.0.most_wrong;
        let over = (most != 0).then(|| self.0.wrong.wait(network(address), most, now));
        match over.flatten() {
            None => Ok(()),
            Some(wait) => match keys::fingerprint(key) {
                Some(key) if self.0.known.remembers(pair(key, address), now) => Ok(()),
                _ => Err(Error::TooManyFailures(seconds(wait))),
            },
        }
    }

    /// Counts a wrong key from this address. Returns what to say of it.
    pub fn failed(&self, address: IpAddr, now: i64) -> Error {
        let most = self.0.most_wrong;
        if most == 0 {
            return Error::Unauthorized;
        }
        let count = self.0.wrong.take(network(address), most, now);
        match count.allowed {
            true => Error::Unauthorized,
            // Others from there were wrong while this one was looked up.
            false => Error::TooManyFailures(seconds(count.ends - now)),
        }
    }

    /// Counts a request of a good key. How its count stands then, if it has a limit.
    pub fn count(&self, principal: &Principal, address: IpAddr, now: i64) -> Option<Quota> {
        let key = principal.fingerprint();
        if self.0.most_wrong != 0 && principal.is_new_origin(origin(address, now)) {
            self.0.known.take(pair(key, address), i64::MAX, now);
        }
        let limit = principal.rate_limit().unwrap_or(self.0.requests);
        (limit != 0).then(|| Quota {
            limit,
            count: self.0.keys.take(key, limit, now),
        })
    }
}

/// A wait as `Retry-After` says it: at least a second, whatever the clock did.
fn seconds(wait: i64) -> u64 {
    wait.clamp(1, MINUTE).unsigned_abs()
}

/// An address and an hour, as one number.
fn origin(address: IpAddr, now: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (network(address), now / HOUR).hash(&mut hasher);
    hasher.finish()
}

/// A key with an address. A key's fingerprint is as good as random, and cannot be chosen to fit.
fn pair(key: u128, address: IpAddr) -> u128 {
    key ^ network(address)
}

/// How a key's count stands, for the headers of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    limit: i64,
    count: Count,
}

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

impl Quota {
    /// An error if the request that was counted is one too many.
    pub fn check(self, now: i64) -> Result<(), Error> {
        match self.count.allowed {
            true => Ok(()),
            false => Err(Error::RateLimited(seconds(self.count.ends - now))),
        }
    }

    /// Writes the headers.
    pub fn write(self, headers: &mut HeaderMap) {
        for (name, number) in [
            (LIMIT, self.limit),
            (REMAINING, self.count.left),
            (RESET, self.count.ends),
        ] {
            headers.insert(name, number.into());
        }
    }
}

/// Where the check of a request's key leaves its [`Quota`] for whoever writes the answer's headers: a request's
/// extension, since nothing else goes from an extractor to the layer around it. Clones share it.
#[derive(Clone, Default)]
pub struct Counted(Arc<OnceLock<Quota>>);

impl Counted {
    /// Leaves it there.
    pub fn note(&self, quota: Quota) {
        // A request whose key is checked twice says how the first count stood.
        self.0.set(quota).ok();
    }

    /// What was counted, if the request had a good key that has a limit.
    pub fn quota(&self) -> Option<Quota> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_at_least_a_second() {
        assert_eq!(seconds(0), 1);
        assert_eq!(seconds(-5), 1);
        assert_eq!(seconds(59), 59);
    }
}
