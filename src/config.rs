//! The settings of an operator, as checked values. `cli` defines how they are written on the command line.

use ipnet::IpNet;
use std::{net::SocketAddr, time::Duration};

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// The URL under which providers and browsers reach the server, without a trailing slash.
    pub public_url: String,
    /// Limits on what clients may use.
    pub limits: Limits,
    /// Bytes of memory for keys, destinations of updates and answers that need not be read again. 0 keeps nothing.
    pub cache: u64,
}

/// The default size of the cache, in bytes. Ten thousand accounts with fifteen inboxes each fit into it.
pub const CACHE: u64 = 64 * 1024 * 1024;

/// How long a message that cannot be sent is tried, unless the operator says otherwise.
pub const SEND_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The target of the log line that each request has. A filter can name it (`--log info,inboxd_request=warn`).
pub const REQUEST_LOG: &str = "inboxd_request";

/// Limits on everything that a client controls.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections that may be open at the same time. Further ones wait in the kernel's queue.
    pub connections: usize,
    /// Streams of events and live-chat sockets that are open at once, beside the connections. More are refused.
    pub streams: usize,
    /// Bytes of a request's head. A longer one is answered with 431, or 414 if it is the URL.
    pub head: usize,
    /// The longest body of an API request, in bytes.
    pub body: usize,
    /// Bytes of an update that a provider sends. Meta's largest are said to be 3 MB.
    pub update: usize,
    /// Bytes of memory for requests' bodies and what is parsed from them. An address gets an eighth of it.
    pub body_memory: usize,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// How long the body of a request may take to arrive.
    pub body_timeout: Duration,
    /// How long a connection may be idle, and how long a client may read nothing of its answer.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish after the server has begun to stop.
    pub shutdown_timeout: Duration,
    /// Live-chat sockets that one client address, or IPv6 network, may have open at once.
    pub sockets_per_address: usize,
    /// Requests per minute of an API key that has no limit of its own. 0 means no limit.
    pub rate_limit: i64,
    /// Wrong API keys per minute from one client address. 0 means no limit.
    pub auth_failures: i64,
    /// Proxies whose `X-Forwarded-For` is trusted. Limits per client address then use the address in that header.
    pub trusted_proxies: Vec<IpNet>,
    /// Updates that wait for the store. More are answered with 503, and the provider tries again.
    pub queue: usize,
}

/// The addresses of the providers' APIs, and how long to wait for their answers.
#[derive(Debug, Clone)]
pub struct Providers {
    /// The base URL of Telegram's Bot API, without a trailing slash.
    pub telegram_url: String,
    /// The base URL of Meta's Graph API, without a trailing slash.
    pub graph_url: String,
    /// The base URL of Instagram's Graph API, without a trailing slash.
    pub instagram_url: String,
    /// The time limit of a call that a change depends on.
    pub patience: Duration,
    /// The time limit of a call that only shows the provider's view.
    pub glance: Duration,
    /// The time limit of a request that sends a message. After it nobody knows whether the provider has the message.
    pub send: Duration,
}

impl Default for Providers {
    fn default() -> Self {
        Providers {
            telegram_url: "https://api.telegram.org".to_owned(),
            graph_url: "https://graph.facebook.com".to_owned(),
            instagram_url: "https://graph.instagram.com".to_owned(),
            patience: Duration::from_secs(10),
            glance: Duration::from_secs(3),
            send: Duration::from_secs(20),
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
