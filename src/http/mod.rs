//! The parts of HTTP that `api`, `hooks` and `livechat` share: connections, the envelope, API keys, strict parameters and
//! bodies, and limits. What an operation takes and returns is decided there, not here.
//!
//! Invariant: as long as HTTP allows an answer, a request gets one, in the envelope.

pub mod answers;
pub mod auth;
pub mod body;
pub mod body_memory;
pub mod bounds;
pub mod client;
pub mod connection;
pub mod envelope;
pub mod exchange;
pub mod idempotency;
pub mod meters;
pub mod middleware;
pub mod minutes;
pub mod observe;
pub mod query;
pub mod rates;
pub mod representation;

use crate::{
    config::Limits,
    ops::{Context, ingest::Ingest, keys::Uses},
};
use body_memory::BodyMemory;
use bounds::Bounds;
use metrics_exporter_prometheus::PrometheusHandle;
use rates::Rates;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::watch;

/// The state that every handler can use. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    /// The context of operations.
    pub context: Context,
    /// The queue of updates.
    pub ingest: Ingest,
    /// The limits on visitors and streams.
    pub bounds: Bounds,
    /// The memory for requests' bodies.
    pub body_memory: BodyMemory,
    /// The rate limits of keys and of wrong keys.
    pub rates: Rates,
    /// The uses of keys that are not written yet.
    pub uses: Uses,
    /// Limits on what clients control.
    pub limits: Limits,
    /// Becomes true when the server stops. Endless answers must end then.
    pub stopped: watch::Receiver<bool>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        App(Arc::new(parts))
    }
}

/// Marks a long-lived answer, as an extension of it. Such an answer counts among the streams, and no longer among the
/// connections.
#[derive(Debug, Clone, Copy)]
pub struct LongLived;

/// The address of the connection's other end: an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
