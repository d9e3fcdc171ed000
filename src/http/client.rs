//! The address of the client that sent a request, also behind proxies.
//!
//! Invariant: a forwarded address is believed only if a proxy that the operator trusts has added it.

use super::{App, Peer, envelope::ApiError};
use crate::error::Error;
use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, HeaderName, request::Parts},
};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client that sent a request.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub IpAddr);

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Ok(Client(address(parts, app)?))
    }
}

/// The address of the client that sent this request.
pub fn address(parts: &Parts, app: &App) -> Result<IpAddr, Error> {
    address_of(&parts.extensions, &parts.headers, app)
}

/// The same for a request that is not in parts.
pub fn address_of(
    extensions: &Extensions,
    headers: &HeaderMap,
    app: &App,
) -> Result<IpAddr, Error> {
    let Some(Peer(peer)) = extensions.get() else {
        return Err(Error::Internal("a request without a connection".into()));
    };
    Ok(client(&app.limits.trusted_proxies, *peer, headers))
}

/// The network that shares the limits of this address: for IPv6 the whole /64, since one client usually has all of it, and
/// for IPv4 the single address.
pub fn network(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

/// Each proxy appends the address from which it got the request. So the last entry was added by the peer, the one before it
/// by the proxy that the last entry names, and so on. The first address from the end that is not a trusted proxy is the
/// client's.
fn client(trusted: &[IpNet], peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let mut address = peer.ip().to_canonical();
    if trusted.is_empty() {
        mention(address, headers);
        return address;
    }
    let mut forwarded = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty());
    while trusted.iter().any(|network| network.contains(&address)) {
        match forwarded.next().and_then(entry) {
            Some(before) => address = before,
            // There are no more entries, or this one is not an address: only this proxy is known.
            None => break,
        }
    }
    address
}

/// The address of an entry. Some proxies write it in brackets or with a port.
fn entry(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok().map(IpAddr::V6)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|both| both.ip());
    let address = text.parse().ok().or_else(bare).or_else(with_port)?;
    Some(address.to_canonical())
}

/// Warns the operator, once, that a proxy is ignored because it is not configured as trusted.
fn mention(peer: IpAddr, headers: &HeaderMap) {
    static SAID: Once = Once::new();
    if headers.contains_key(&FORWARDED_FOR) {
        SAID.call_once(|| {
            tracing::warn!(
                %peer,
                "X-Forwarded-For is not believed: if this peer is your proxy, set INBOXD_TRUSTED_PROXIES"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request through `peer` with these lines of the header, if 10.0.0.0/8 and ::1 are trusted.
    fn of(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&FORWARDED_FOR, line.parse().expect("a value"));
        }
        let peer = SocketAddr::new(peer.parse().expect("an address"), 1);
        client(&trusted, peer, &headers).to_string()
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(of("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(of("198.51.100.1", &["203.0.113.7"]), "198.51.100.1");
        assert_eq!(of("127.0.0.1", &["203.0.113.7"]), "127.0.0.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_last_that_is_not_trusted_is_the_client_whatever_stands_before() {
        assert_eq!(of("10.0.0.1", &["6.6.6.6, 203.0.113.7"]), "203.0.113.7");
        let chain = "6.6.6.6, 203.0.113.7, 10.2.2.2,10.1.1.1";
        assert_eq!(of("10.0.0.1", &[chain]), "203.0.113.7");
        let lines = ["6.6.6.6", "203.0.113.7, 10.2.2.2", "10.1.1.1"];
        assert_eq!(of("10.0.0.1", &lines), "203.0.113.7");
        assert_eq!(of("10.0.0.1", &["10.3.3.3, 10.2.2.2"]), "10.3.3.3");
    }

    #[test]
    fn the_walk_ends_where_something_is_no_address() {
        for junk in ["unknown", "999.1.1.1", "[::1", "fe80::1%eth0", "a:1"] {
            let chain = format!("203.0.113.7, {junk}, 10.2.2.2");
            assert_eq!(of("10.0.0.1", &[&chain]), "10.2.2.2", "{junk}");
        }
        assert_eq!(of("10.0.0.1", &["203.0.113.7, , "]), "203.0.113.7");
    }

    #[test]
    fn addresses_are_read_with_ports_and_brackets_and_mapped_ones_as_ipv4() {
        for (written, address) in [
            ("203.0.113.7:4711", "203.0.113.7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ] {
            assert_eq!(of("::ffff:10.0.0.1", &[written]), address, "{written}");
            assert_eq!(of("::1", &[written]), address, "{written}");
        }
    }
}
