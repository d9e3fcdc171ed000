//! How much one visitor, and one address, may do. Visitors are strangers, and an address costs them little.
//!
//! Invariant: the memory spent on counting is bounded by who was here in the last minutes, not by who ever was.

use crate::error::Error;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

/// Messages of one visitor: a burst, then one a second.
const VISITOR_BURST: NonZeroU32 = NonZeroU32::new(20).expect("not 0");
/// Sessions from one address: a burst, then one a second. Many people can share an address.
const SESSION_BURST: NonZeroU32 = NonZeroU32::new(60).expect("not 0");
/// Messages from one address: a burst, then so many a second.
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(600).expect("not 0");
const ADDRESS_RATE: NonZeroU32 = NonZeroU32::new(60).expect("not 0");
const ONE: NonZeroU32 = NonZeroU32::new(1).expect("not 0");

/// The bounds of one server. Cheap to clone.
#[derive(Clone)]
pub struct Bounds(Arc<Inner>);

struct Inner {
    visitors: DefaultKeyedRateLimiter<String>,
    sessions: DefaultKeyedRateLimiter<IpAddr>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    sockets: Mutex<HashMap<IpAddr, usize>>,
    sockets_per_address: usize,
}

impl Bounds {
    /// With this many sockets for an address.
    pub fn new(sockets_per_address: usize) -> Self {
        Bounds(Arc::new(Inner {
            visitors: RateLimiter::keyed(Quota::per_second(ONE).allow_burst(VISITOR_BURST)),
            sessions: RateLimiter::keyed(Quota::per_second(ONE).allow_burst(SESSION_BURST)),
            addresses: RateLimiter::keyed(
                Quota::per_second(ADDRESS_RATE).allow_burst(ADDRESS_BURST),
            ),
            sockets: Mutex::new(HashMap::new()),
            sockets_per_address,
        }))
    }

    /// A visitor from this address wants in.
    pub fn session(&self, address: IpAddr) -> Result<(), Error> {
        allow(self.0.sessions.check_key(&address).is_ok())
    }

    /// A visitor from this address says something.
    pub fn message(&self, visitor: &str, address: IpAddr) -> Result<(), Error> {
        allow(self.0.addresses.check_key(&address).is_ok())?;
        allow(self.0.visitors.check_key(&visitor.to_owned()).is_ok())
    }

    /// A place for one more socket from this address. It is free again when it is dropped.
    pub fn socket(&self, address: IpAddr) -> Result<Place, Error> {
        let mut sockets = self.sockets();
        let open = sockets.entry(address).or_default();
        allow(*open < self.0.sockets_per_address)?;
        *open += 1;
        Ok(Place {
            bounds: self.clone(),
            address,
        })
    }

    /// Forgets who was not here for a while.
    pub fn tidy(&self) {
        self.0.visitors.retain_recent();
        self.0.sessions.retain_recent();
        self.0.addresses.retain_recent();
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A panic cannot leave a map of numbers half-changed.
        self.0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn allow(allowed: bool) -> Result<(), Error> {
    if allowed {
        Ok(())
    } else {
        Err(Error::RateLimited(1))
    }
}

/// A socket's place.
pub struct Place {
    bounds: Bounds,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sockets = self.bounds.sockets();
        if let Some(open) = sockets.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                sockets.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sockets_place_is_free_again_when_it_closes() {
        let bounds = Bounds::new(1);
        let address = IpAddr::from([203, 0, 113, 7]);
        let place = bounds.socket(address).expect("free");
        assert!(bounds.socket(address).is_err());
        drop(place);
        assert!(bounds.socket(address).is_ok());
        assert!(bounds.sockets().is_empty());
    }

    #[test]
    fn a_visitor_that_floods_is_held_back_alone() {
        let bounds = Bounds::new(1);
        let address = IpAddr::from([203, 0, 113, 7]);
        let sent = (0..100)
            .filter(|_| bounds.message("a", address).is_ok())
            .count();
        assert!((20..30).contains(&sent), "{sent}");
        assert!(bounds.message("b", address).is_ok());
    }
}
