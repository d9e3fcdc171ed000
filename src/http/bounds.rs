//! Limits on live chat, by visitor and by network, and on open streams and sockets.
//!
//! Visitors need no key, and can use many addresses. So a whole IPv6 network counts as one address.
//!
//! Invariant: the memory for counting depends on the visitors of the last minutes only.

use super::{client::network, envelope::Refusal};
use crate::{error::Error, id::InboxId};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages from one visitor: this many at once, then one per second.
const VISITOR_BURST: NonZeroU32 = NonZeroU32::new(20).expect("not 0");
/// Receipts from all pages of one visitor: this many at once, then [`RECEIPT_RATE`] per second. One is about many messages.
const RECEIPT_BURST: NonZeroU32 = NonZeroU32::new(60).expect("not 0");
const RECEIPT_RATE: NonZeroU32 = NonZeroU32::new(5).expect("not 0");
/// New sessions from one address: this many at once, then one per second. Many people can share an address.
const SESSION_BURST: NonZeroU32 = NonZeroU32::new(60).expect("not 0");
/// Messages from one address, and as many receipts: this many at once, then [`ADDRESS_RATE`] per second.
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(600).expect("not 0");
const ADDRESS_RATE: NonZeroU32 = NonZeroU32::new(60).expect("not 0");
const ONE: NonZeroU32 = NonZeroU32::new(1).expect("not 0");

/// The limits of one server. Cheap to clone.
#[derive(Clone)]
pub struct Bounds(Arc<Inner>);

struct Inner {
    visitors: DefaultKeyedRateLimiter<String>,
    receipts: DefaultKeyedRateLimiter<String>,
    receipt_addresses: DefaultKeyedRateLimiter<u128>,
    sessions: DefaultKeyedRateLimiter<u128>,
    addresses: DefaultKeyedRateLimiter<u128>,
    sockets: Mutex<HashMap<u128, usize>>,
    sockets_per_address: usize,
    streams: Arc<Semaphore>,
    all_streams: usize,
}

impl Bounds {
    /// Allows this many sockets per address, and this many streams and sockets in total.
    pub fn new(sockets_per_address: usize, streams: usize) -> Self {
        let of_address = Quota::per_second(ADDRESS_RATE).allow_burst(ADDRESS_BURST);
        Bounds(Arc::new(Inner {
            visitors: RateLimiter::keyed(Quota::per_second(ONE).allow_burst(VISITOR_BURST)),
            receipts: RateLimiter::keyed(
                Quota::per_second(RECEIPT_RATE).allow_burst(RECEIPT_BURST),
            ),
            sessions: RateLimiter::keyed(Quota::per_second(ONE).allow_burst(SESSION_BURST)),
            addresses: RateLimiter::keyed(of_address),
            receipt_addresses: RateLimiter::keyed(of_address),
            sockets: Mutex::new(HashMap::new()),
            sockets_per_address,
            streams: Arc::new(Semaphore::new(streams)),
            all_streams: streams,
        }))
    }

    /// Counts a new or ended session from this address. An error if there are too many.
    pub fn session(&self, address: IpAddr) -> Result<(), Error> {
        allow(self.0.sessions.check_key(&network(address)).is_ok())
    }

    /// Counts a message of this visitor from this address. An error if there are too many.
    pub fn message(&self, inbox: &InboxId, visitor: &str, address: IpAddr) -> Result<(), Error> {
        allow(self.0.addresses.check_key(&network(address)).is_ok())?;
        allow(self.0.visitors.check_key(&key(inbox, visitor)).is_ok())
    }

    /// Counts a receipt of this visitor from this address. An error if there are too many. Receipts hold back no message.
    pub fn receipt(&self, inbox: &InboxId, visitor: &str, address: IpAddr) -> Result<(), Error> {
        let addresses = &self.0.receipt_addresses;
        allow(addresses.check_key(&network(address)).is_ok())?;
        allow(self.0.receipts.check_key(&key(inbox, visitor)).is_ok())
    }

    /// Takes a place for a stream or socket. Dropping the place frees it.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = self.0.streams.clone().try_acquire_owned();
        place.map_err(|_| Refusal::TooManyStreams)
    }

    /// Waits until every stream and socket is closed.
    pub async fn streams_closed(&self) {
        let all = u32::try_from(self.0.all_streams).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this cannot fail.
        self.0.streams.acquire_many(all).await.ok();
    }

    /// Takes a place for a socket from this address. Dropping the place frees it.
    pub fn socket(&self, address: IpAddr) -> Result<Place, Error> {
        let network = network(address);
        let mut sockets = self.sockets();
        let open = sockets.entry(network).or_default();
        allow(*open < self.0.sockets_per_address)?;
        *open += 1;
        Ok(Place {
            bounds: self.clone(),
            network,
        })
    }

    /// Frees the memory of visitors and addresses that were not seen recently.
    pub fn tidy(&self) {
        self.0.visitors.retain_recent();
        self.0.receipts.retain_recent();
        self.0.receipt_addresses.retain_recent();
        self.0.sessions.retain_recent();
        self.0.addresses.retain_recent();
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, HashMap<u128, usize>> {
        // A panic cannot leave a map of numbers half-changed.
        self.0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Websites may name their users alike.
fn key(inbox: &InboxId, visitor: &str) -> String {
    format!("{inbox} {visitor}")
}

fn allow(allowed: bool) -> Result<(), Error> {
    if allowed {
        Ok(())
    } else {
        Err(Error::RateLimited(1))
    }
}

/// The place of a socket.
pub struct Place {
    bounds: Bounds,
    network: u128,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sockets = self.bounds.sockets();
        if let Some(open) = sockets.get_mut(&self.network) {
            *open -= 1;
            if *open == 0 {
                sockets.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sockets_place_is_free_again_when_it_closes() {
        let bounds = Bounds::new(1, 1);
        let address = IpAddr::from([203, 0, 113, 7]);
        let place = bounds.socket(address).expect("free");
        assert!(bounds.socket(address).is_err());
        drop(place);
        assert!(bounds.socket(address).is_ok());
        assert!(bounds.sockets().is_empty());
    }

    #[test]
    fn neighbours_in_an_ipv6_network_share_its_places() {
        let bounds = Bounds::new(1, 1);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let _place = bounds.socket(address("2001:db8::1")).expect("free");
        assert!(bounds.socket(address("2001:db8::2")).is_err());
        assert!(bounds.socket(address("2001:db8:0:1::1")).is_ok());
        let sessions = (0..100).filter(|last| {
            let neighbour = address(&format!("2001:db8::{last:x}"));
            bounds.session(neighbour).is_ok()
        });
        assert!((60..70).contains(&sessions.count()));
    }

    #[test]
    fn a_visitor_that_floods_is_held_back_alone() {
        let bounds = Bounds::new(1, 1);
        let address = IpAddr::from([203, 0, 113, 7]);
        let [here, there] = ["inbox_1", "inbox_2"].map(InboxId::from_text);
        let sent = (0..100)
            .filter(|_| bounds.message(&here, "user:1", address).is_ok())
            .count();
        assert!((20..30).contains(&sent), "{sent}");
        assert!(bounds.message(&here, "user:2", address).is_ok());
        assert!(bounds.message(&there, "user:1", address).is_ok());
    }
}
