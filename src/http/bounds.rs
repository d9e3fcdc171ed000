//! How much one visitor, and one address, may do. Visitors are strangers, and an address costs them little.
//!
//! Invariant: the memory spent on counting is bounded by who was here in the last minutes, not by who ever was.

use crate::{
    config::{Limits, Network},
    error::Error,
};
use axum::http::HeaderMap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
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
    trusted_proxies: Vec<Network>,
}

impl Bounds {
    /// As far as these limits go.
    pub fn new(limits: &Limits) -> Self {
        Bounds(Arc::new(Inner {
            visitors: RateLimiter::keyed(Quota::per_second(ONE).allow_burst(VISITOR_BURST)),
            sessions: RateLimiter::keyed(Quota::per_second(ONE).allow_burst(SESSION_BURST)),
            addresses: RateLimiter::keyed(
                Quota::per_second(ADDRESS_RATE).allow_burst(ADDRESS_BURST),
            ),
            sockets: Mutex::new(HashMap::new()),
            sockets_per_address: limits.sockets_per_address,
            trusted_proxies: limits.trusted_proxies.clone(),
        }))
    }

    /// Where a request comes from. A proxy on this machine, or a trusted one, is believed when it says for whom it asks.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.ip().to_canonical();
        let proxies = &self.0.trusted_proxies;
        if !peer.is_loopback() && !proxies.iter().any(|network| network.contains(peer)) {
            return peer;
        }
        // Each proxy appends; only the last entry is this one's own word.
        let said = headers.get_all("x-forwarded-for").into_iter().next_back();
        said.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok())
            .unwrap_or(peer)
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

    fn bounds() -> Bounds {
        Bounds::new(&Limits {
            sockets_per_address: 1,
            trusted_proxies: vec!["10.0.0.0/24".parse().expect("a network")],
            ..Limits::default()
        })
    }

    #[test]
    fn only_a_proxy_on_this_machine_or_a_trusted_one_is_believed() {
        let bounds = bounds();
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-forwarded-for",
            "6.6.6.6, 203.0.113.7".parse().expect("a value"),
        );
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(
            bounds.client(local, &headers),
            IpAddr::from([203, 0, 113, 7])
        );
        let remote = SocketAddr::from(([198, 51, 100, 1], 1));
        assert_eq!(bounds.client(remote, &headers), remote.ip());
        let trusted = SocketAddr::from(([10, 0, 0, 9], 1));
        assert_eq!(
            bounds.client(trusted, &headers),
            IpAddr::from([203, 0, 113, 7])
        );
        assert_eq!(bounds.client(local, &HeaderMap::new()), local.ip());
    }

    #[test]
    fn a_sockets_place_is_free_again_when_it_closes() {
        let bounds = bounds();
        let address = IpAddr::from([203, 0, 113, 7]);
        let place = bounds.socket(address).expect("free");
        assert!(bounds.socket(address).is_err());
        drop(place);
        assert!(bounds.socket(address).is_ok());
        assert!(bounds.sockets().is_empty());
    }

    #[test]
    fn a_visitor_that_floods_is_held_back_alone() {
        let bounds = bounds();
        let address = IpAddr::from([203, 0, 113, 7]);
        let sent = (0..100)
            .filter(|_| bounds.message("a", address).is_ok())
            .count();
        assert!((20..30).contains(&sent), "{sent}");
        assert!(bounds.message("b", address).is_ok());
    }
}
