//! What an operator can set, as checked values. How they are written on the command line is `cli`'s business.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

/// How the server answers, and what it allows a client to take.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The address under which providers and browsers reach it, without a trailing slash.
    pub public_url: String,
    /// Bounds on what clients control.
    pub limits: Limits,
    /// Bytes of memory for keys and answers that need not be read again. 0 keeps nothing.
    pub cache: u64,
}

/// How much is kept in memory where nothing else is said: ten thousand accounts with fifteen inboxes each fit.
pub const CACHE: u64 = 64 * 1024 * 1024;

/// Bounds on everything that a client controls.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections that are open at once. More wait in the kernel's queue.
    pub connections: usize,
    /// Bytes of a request's head. A longer one is answered with 431, or 414 if it is the URL.
    pub head: usize,
    /// Bytes of an API call's body.
    pub body: usize,
    /// Bytes of a provider's delivery. Meta's largest are said to be 3 MB.
    pub delivery: usize,
    /// How long a request's head may take to arrive.
    pub head_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long a connection may be open with nothing going on.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish once the server was told to stop.
    pub shutdown_timeout: Duration,
    /// Live-chat sockets that one client address may have open at once.
    pub sockets_per_address: usize,
    /// Proxies that are believed when they say for whom they ask. One on this machine always is.
    pub trusted_proxies: Vec<Network>,
    /// Deliveries that wait for the store. More are answered with 503, and the provider tries again.
    pub queue: usize,
}

/// Where the providers' APIs are, and how long we wait for them.
#[derive(Debug, Clone)]
pub struct Providers {
    /// Telegram's Bot API, without a trailing slash.
    pub telegram_url: String,
    /// Meta's Graph API, the same way.
    pub graph_url: String,
    /// Instagram's part of it, the same way.
    pub instagram_url: String,
    /// How long one question may take on which a change depends.
    pub patience: Duration,
    /// How long one may take that only shows how the provider sees it.
    pub glance: Duration,
}

impl Default for Providers {
    fn default() -> Self {
        Providers {
            telegram_url: "https://api.telegram.org".to_owned(),
            graph_url: "https://graph.facebook.com".to_owned(),
            instagram_url: "https://graph.instagram.com".to_owned(),
            patience: Duration::from_secs(10),
            glance: Duration::from_secs(3),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            head: 32 * 1024,
            body: 64 * 1024,
            delivery: 3 * 1024 * 1024 + 512 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            shutdown_timeout: Duration::from_secs(30),
            sockets_per_address: 100,
            trusted_proxies: Vec::new(),
            queue: 4096,
        }
    }
}

/// Addresses that begin alike: `10.0.0.9` alone, or all of `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits all have in common.
    bits: u32,
}

impl Network {
    /// Whether this address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differ >= self.bits
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "must be an IP address or a range of them, as in 10.0.0.9 or 10.0.0.0/8";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| RULE)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| RULE)?;
        if bits > all {
            return Err(RULE);
        }
        Ok(Network { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        let contains = |network: &str, address: &str| {
            let network: Network = network.parse().expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(contains("10.0.0.9", "10.0.0.9") && !contains("10.0.0.9", "10.0.0.8"));
        assert!(contains("10.0.0.9", "::ffff:10.0.0.9"));
        assert!(contains("10.1.0.0/16", "10.1.255.1") && !contains("10.1.0.0/16", "10.2.0.1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("0.0.0.0/0", "203.0.113.7") && !contains("0.0.0.0/0", "::1"));
        for wrong in [
            "",
            "10.0.0",
            "10.0.0.9/33",
            "::/129",
            "10.0.0.9/",
            "proxy.internal",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
