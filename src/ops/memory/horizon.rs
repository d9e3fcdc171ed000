//! What tells that nothing has changed unseen: the file itself, or PostgreSQL's word.
//!
//! Invariant: a [`File`]'s stamp, and a [`Lease`]'s moments, only ever say less than is known, never more.

use db::{Database, Stamp};
use std::{
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long after PostgreSQL was last known to have told everything its silence is trusted. Shorter than the second
/// after which every node must know what any node acknowledged, by what a request may take.
pub const LEASE: Duration = Duration::from_millis(900);

/// What tells that nothing has changed unseen.
pub(super) enum Horizon {
    File(File),
    Lease(Lease),
}

/// The embedded database says itself how far it has come.
pub(super) struct File {
    pub(super) db: Database,
    pub(super) seen: RwLock<Seen>,
}

pub(super) struct Seen {
    /// All that was committed up to here is accounted for.
    pub(super) stamp: Option<Stamp>,
    /// Commits of this process that are under way: the stamp may move, and nobody knows yet by whose doing.
    pub(super) flights: usize,
}

/// PostgreSQL says what was committed by anybody, but takes a moment.
pub(super) struct Lease {
    pub(super) start: Instant,
    /// Microseconds after the start until which it holds.
    pub(super) until: AtomicU64,
    /// All that anybody could see before this moment is accounted for.
    pub(super) heard: AtomicU64,
    /// When the store was last read for an account of which nothing was kept.
    pub(super) read: AtomicU64,
}

impl File {
    pub(super) fn seen(&self) -> RwLockReadGuard<'_, Seen> {
        // A panic cannot leave two numbers half-changed.
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seen_mut(&self) -> RwLockWriteGuard<'_, Seen> {
        self.seen.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn holds(&self) -> bool {
        self.moment(Instant::now()) < self.until.load(Ordering::Acquire)
    }

    pub(super) fn moment(&self, at: Instant) -> u64 {
        let micros = at.saturating_duration_since(self.start).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}
