//! What an operator can set, as checked values. How they are written on the command line is `cli`'s business.

use ipnet::IpNet;
use std::{net::SocketAddr, time::Duration};

/// How the server answers, and what it allows a client to take.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The address under which providers and browsers reach it, without a trailing slash.
    pub public_url: String,
    /// Bounds on what clients control.
    pub limits: Limits,
    /// Bytes of memory for keys, destinations of updates and answers that need not be read again. 0 keeps nothing.
    pub cache: u64,
}

/// How much is kept in memory where nothing else is said: ten thousand accounts with fifteen inboxes each fit.
pub const CACHE: u64 = 64 * 1024 * 1024;

/// The target of the log's line for each request, so that a filter can name it (`--log info,inboxd_request=warn`).
pub const REQUEST_LOG: &str = "inboxd_request";

/// Bounds on everything that a client controls.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections that are open at once. More wait in the kernel's queue.
    pub connections: usize,
    /// Streams of events and live-chat sockets that are open at once, beside the connections. More are refused.
    pub streams: usize,
    /// Bytes of a request's head. A longer one is answered with 431, or 414 if it is the URL.
    pub head: usize,
    /// Bytes of an API call's body.
    pub body: usize,
    /// Bytes of an update that a provider sends. Meta's largest are said to be 3 MB.
    pub update: usize,
    /// Bytes of memory for requests' bodies and what is parsed from them. An address gets an eighth of it.
    pub body_memory: usize,
    /// How long a request's head may take to arrive.
    pub head_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long a connection may be open with nothing going on, and how long a client may take nothing of its answer.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish once the server was told to stop.
    pub shutdown_timeout: Duration,
    /// Live-chat sockets that one client address, or IPv6 network, may have open at once.
    pub sockets_per_address: usize,
    /// Requests a minute of an API key that has no limit of its own; 0 is no limit.
    pub rate_limit: i64,
    /// Wrong API keys a minute from one client address; 0 is no limit.
    pub auth_failures: i64,
    /// Proxies that are believed when they say for which address they ask. What is limited by address goes by it.
    pub trusted_proxies: Vec<IpNet>,
    /// Updates that wait for the store. More are answered with 503, and the provider tries again.
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
            streams: 4096,
            head: 32 * 1024,
            body: 64 * 1024,
            update: 3 * 1024 * 1024 + 512 * 1024,
            body_memory: 128 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            shutdown_timeout: Duration::from_secs(30),
            sockets_per_address: 100,
            rate_limit: 1000,
            auth_failures: 60,
            trusted_proxies: Vec::new(),
            queue: 4096,
        }
    }
}
