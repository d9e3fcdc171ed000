//! Tells whether the cache knows of every change.
//!
//! On SQLite the database shows this: every commit of any process changes the stamp of its write-ahead log. On
//! PostgreSQL every commit sends a notification to every node. A lease limits how long a node may rely on having
//! received all of them.
//!
//! Invariant: errors are on the safe side. [`Freshness::Fresh`] is never returned if a change may be missing.

use db::{Database, EngineKind, Stamp};
use std::{
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long the cache may be used after the last moment for which every notification has certainly arrived. A node must
/// know within one second what any node has acknowledged. This leaves 0.1 s for the request itself.
pub const LEASE: Duration = Duration::from_millis(900);

/// Whether the cache may be used, at one moment during a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The cache knows every change that it must know at that moment.
    Fresh,
    /// A change may be missing, so the store must be read.
    Unknown,
}

/// The source of [`Freshness`].
pub(super) struct FreshnessSource {
    /// How often all entries were invalidated. An entry of an earlier era is not used.
    era: AtomicU64,
    engine: Engine,
}

enum Engine {
    Sqlite {
        db: Database,
        known: RwLock<Known>,
    },
    Postgres {
        start: Instant,
        /// When the lease ends, in microseconds since `start`.
        until: AtomicU64,
        /// The moment for which every notification has arrived, in microseconds since `start`.
        received: AtomicU64,
    },
}

/// Which commits to the SQLite database are known.
struct Known {
    /// Every commit up to this stamp is known.
    stamp: Option<Stamp>,
    /// How many commits of this process are under way. Meanwhile nobody can tell which process has changed the stamp.
    own_commits: usize,
}

impl FreshnessSource {
    pub(super) fn new(db: &Database) -> Self {
        let engine = match db.engine() {
            EngineKind::Sqlite => Engine::Sqlite {
                db: db.clone(),
                known: RwLock::new(Known {
                    stamp: None,
                    own_commits: 0,
                }),
            },
            EngineKind::Postgres => Engine::Postgres {
                start: Instant::now(),
                until: AtomicU64::new(0),
                received: AtomicU64::new(0),
            },
        };
        FreshnessSource {
            era: AtomicU64::new(0),
            engine,
        }
    }

    /// Checks whether the cache may be used now. Invalidates every entry if another process has written to
    /// the SQLite database.
    pub(super) fn check(&self) -> Freshness {
        let fresh = match &self.engine {
            Engine::Sqlite { db, known } => self.knows_every_commit(db, known),
            Engine::Postgres { until, .. } => {
                self.moment(Instant::now()) < until.load(Ordering::Acquire)
            }
        };
        match fresh {
            true => Freshness::Fresh,
            false => Freshness::Unknown,
        }
    }

    fn knows_every_commit(&self, db: &Database, known: &RwLock<Known>) -> bool {
        let Some(now) = db.stamp() else {
            return false;
        };
        {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            if known.stamp == Some(now) {
                return true;
            }
            if known.own_commits > 0 {
                return false;
            }
        }
        let mut known = write(known);
        if known.own_commits > 0 {
            return false;
        }
        // While this thread waited for the lock, there may have been another commit, or another thread may have handled
        // this one.
        let now = db.stamp();
        if known.stamp != now {
            self.invalidate_all();
            known.stamp = now;
        }
        now.is_some()
    }

    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Invalidates every entry.
    pub(super) fn invalidate_all(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    /// Renews the lease. PostgreSQL only: every notification of what could be seen in the store before `at` has
    /// arrived.
    pub(super) fn renew_lease(&self, at: Instant) {
        if let Engine::Postgres {
            until, received, ..
        } = &self.engine
        {
            received.store(self.moment(at), Ordering::Release);
            until.store(self.moment(at + LEASE), Ordering::Release);
        }
    }

    /// Ends the lease. PostgreSQL only: no notifications arrive from now on.
    pub(super) fn end_lease(&self) {
        if let Engine::Postgres { until, .. } = &self.engine {
            until.store(0, Ordering::Release);
        }
        self.invalidate_all();
    }

    /// Records that this process is about to commit a write transaction, which began at this stamp.
    pub(super) fn commit_begins(&self, began: Option<Stamp>) {
        if let Engine::Sqlite { known, .. } = &self.engine {
            let mut known = write(known);
            known.own_commits += 1;
            // The transaction holds the write lock, so any other change of the stamp was before it.
            if known.stamp != began {
                self.invalidate_all();
                known.stamp = began;
            }
        }
    }

    /// Records that the attempt to commit is over. The caller must have dropped what it changed.
    pub(super) fn commit_ended(&self, began: Option<Stamp>) {
        if let Engine::Sqlite { db, known } = &self.engine {
            let now = db.stamp();
            let mut known = write(known);
            known.own_commits -= 1;
            // If the stamp has advanced by more than one commit, another process has committed, too.
            if let (Some(began), Some(now)) = (began, now)
                && known.stamp == Some(began)
                && now.follows(&began)
            {
                known.stamp = Some(now);
            }
        }
    }

    /// The current time in microseconds since the start, for [`FreshnessSource::has_received_all_up_to`]. Always 0 on
    /// SQLite.
    pub(super) fn now(&self) -> u64 {
        match &self.engine {
            Engine::Sqlite { .. } => 0,
            Engine::Postgres { .. } => self.moment(Instant::now()),
        }
    }

    /// True if every change that a read of the store could see at this moment is known. Always true on SQLite, where
    /// the stamp was checked before.
    pub(super) fn has_received_all_up_to(&self, moment: u64) -> bool {
        match &self.engine {
            Engine::Sqlite { .. } => true,
            Engine::Postgres { received, .. } => received.load(Ordering::Acquire) >= moment,
        }
    }

    fn moment(&self, at: Instant) -> u64 {
        match &self.engine {
            Engine::Sqlite { .. } => 0,
            Engine::Postgres { start, .. } => {
                let micros = at.saturating_duration_since(*start).as_micros();
                u64::try_from(micros).unwrap_or(u64::MAX)
            }
        }
    }
}

fn write(known: &RwLock<Known>) -> RwLockWriteGuard<'_, Known> {
    // A panic cannot leave two numbers half-changed.
    known.write().unwrap_or_else(PoisonError::into_inner)
}
