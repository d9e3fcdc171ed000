//! HTTP as the contract wants it: the envelope, the key, strict parameters and bodies, and connections
//! that never end without an answer. What is asked and answered is the front doors' business.

pub mod answers;
pub mod auth;
pub mod body;
pub mod body_memory;
pub mod bounds;
pub mod client;
pub mod connection;
pub mod envelope;
pub mod exchange;
pub mod meters;
pub mod minutes;
pub mod observe;
pub mod query;
pub mod rates;
pub mod representation;
pub mod surroundings;

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

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    /// For operations.
    pub context: Context,
    /// The line for updates.
    pub ingest: Ingest,
    /// What strangers may do.
    pub bounds: Bounds,
    /// The memory for requests' bodies.
    pub body_memory: BodyMemory,
    /// What keys, and those who try some, may do.
    pub rates: Rates,
    /// Uses of keys that are to be noted.
    pub uses: Uses,
    /// Bounds on what clients control.
    pub limits: Limits,
    /// Turns true when the server stops: what would go on for ever ends then.
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

/// Marks an answer that goes on for long, in its extensions: it has a place of its own, and its connection's is free for
/// requests.
#[derive(Debug, Clone, Copy)]
pub struct LongLived;

/// The other end of the connection that a request came through: an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
