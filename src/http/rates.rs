//! Rate limits: requests per minute of an API key, and wrong keys per minute from an address.
//!
//! Each node counts for itself, since a shared count would cost more than the request.
//!
//! **Wrong keys.** If an address is over its limit, its keys are refused without a look-up. So an attacker learns nothing
//! more, not even from a lucky guess. But many clients can share an address, and one of them may have a broken script. So a
//! key that was valid from the same address within the last day still works. It is remembered together with the address:
//! otherwise guesses could be tried against every key that is in use. A request without a key is not counted.
//!
//! Invariant: from one address, at most its limit of wrong keys is looked up in a minute, except for those that are looked
//! up at the same moment, and as long as its count is not dropped for lack of space.

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

/// The precision of the time at which a key was valid from an address, in seconds. Recording every request would cost too
/// much.
const HOUR: i64 = 60 * 60;
/// How long it is remembered that a key was valid from an address, in seconds: a day, plus the precision.
const MEMORY: i64 = 24 * HOUR + HOUR;

/// The counts of one server. Cheap to clone.
#[derive(Clone)]
pub struct Rates(Arc<Inner>);

struct Inner {
    /// Requests, by key.
    keys: Minutes,
    /// Requests per minute of a key without a limit of its own. 0 means no limit.
    requests: i64,
    /// Wrong keys, by address.
    wrong: Minutes,
    /// Wrong keys per minute from one address. 0 means no limit.
    most_wrong: i64,
    /// Valid keys, each with an address from which it was used.
    known: Minutes,
}

impl Rates {
    /// Starts with nothing counted.
    pub fn new(limits: &Limits) -> Self {
        Rates(Arc::new(Inner {
            keys: Minutes::new(0),
            requests: limits.rate_limit,
            wrong: Minutes::new(0),
            most_wrong: limits.auth_failures,
            known: Minutes::new(MEMORY),
        }))
    }

    /// Returns an error if a key from this address must be refused without a look-up. `now` is in seconds since 1970.
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

    /// Counts a wrong key from this address. Returns the error for the answer.
    pub fn failed(&self, address: IpAddr, now: i64) -> Error {
        let most = self.0.most_wrong;
        if most == 0 {
            return Error::Unauthorized;
        }
        let count = self.0.wrong.take(network(address), most, now);
        match count.allowed {
            true => Error::Unauthorized,
            // The limit was reached by other keys while this one was looked up.
            false => Error::TooManyFailures(seconds(count.ends - now)),
        }
    }

    /// Counts a request of a valid key. Returns its count, if the key has a limit.
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

/// A wait as the value of `Retry-After`: at least a second, even if the clock was set back.
fn seconds(wait: i64) -> u64 {
    wait.clamp(1, MINUTE).unsigned_abs()
}

/// An address and an hour, as one number.
fn origin(address: IpAddr, now: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (network(address), now / HOUR).hash(&mut hasher);
    hasher.finish()
}

/// A key and an address as one number. A key's fingerprint is random, so nobody can choose one that fits.
fn pair(key: u128, address: IpAddr) -> u128 {
    key ^ network(address)
}

/// The count of a key, for the headers of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    limit: i64,
    count: Count,
}

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

impl Quota {
    /// Returns an error if the counted request was over the limit.
    pub fn check(self, now: i64) -> Result<(), Error> {
        match self.count.allowed {
            true => Ok(()),
            false => Err(Error::RateLimited(seconds(self.count.ends - now))),
        }
    }

    /// Adds the headers.
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

/// Carries the [`Quota`] from the extractor that checks the key to the middleware that writes the answer's headers. It is a
/// request's extension, since an extractor has no other way to pass something to the middleware. Clones share it.
#[derive(Clone, Default)]
pub struct Counted(Arc<OnceLock<Quota>>);

impl Counted {
    /// Stores the quota.
    pub fn note(&self, quota: Quota) {
        // If the key is checked twice, the first count is kept.
        self.0.set(quota).ok();
    }

    /// The quota, if the request had a valid key with a limit.
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
