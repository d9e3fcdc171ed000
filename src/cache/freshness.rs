//! How the cache knows that nothing has changed without its knowledge.
//!
//! SQLite says so itself: every commit, of any process, moves the stamp of its write-ahead log. PostgreSQL sends every
//! node a notice of every commit; how long its silence may be trusted is a lease.
//!
//! Invariant: what is said here errs on one side only. [`Freshness::Fresh`] is never said when a change may be missing.

use db::{Database, EngineKind, Stamp};
use std::{
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long PostgreSQL's silence is trusted after it was last known to have told everything. It is shorter than the
/// second within which every node must know what any node acknowledged; the rest is for the request itself.
pub const LEASE: Duration = Duration::from_millis(900);

/// Whether the cache may be used, as of one moment during a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Every change up to that moment that must be known is known.
    Fresh,
    /// Something may have changed: only the store knows.
    Unknown,
}

/// What tells that nothing has changed.
pub(super) struct FreshnessSource {
    /// How often everything was forgotten. What was cached in an earlier era is not used.
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
        /// Until when the lease lasts, in microseconds since `start`.
        until: AtomicU64,
        /// All that anybody could see in the store before this moment has been heard of.
        heard: AtomicU64,
    },
}

/// How far the embedded database is known.
struct Known {
    /// Every commit up to this stamp is accounted for.
    stamp: Option<Stamp>,
    /// Commits of this process that are under way: while there are any, nobody can tell who moved the stamp.
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
                heard: AtomicU64::new(0),
            },
        };
        FreshnessSource {
            era: AtomicU64::new(0),
            engine,
        }
    }

    /// Looks whether the cache may be used now. Begins a new era if another process has written to the file.
    pub(super) fn look(&self) -> Freshness {
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
        // While this thread waited, the file may have moved on, and another thread may have seen it.
        let now = db.stamp();
        if known.stamp != now {
            self.begin_era();
            known.stamp = now;
        }
        now.is_some()
    }

    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Forgets everything that is cached.
    pub(super) fn begin_era(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    /// On PostgreSQL: everything that anybody could see in the store before this moment has been heard of.
    pub(super) fn renew_lease(&self, at: Instant) {
        if let Engine::Postgres { until, heard, .. } = &self.engine {
            heard.store(self.moment(at), Ordering::Release);
            until.store(self.moment(at + LEASE), Ordering::Release);
        }
    }

    /// On PostgreSQL: nothing is heard from here on.
    pub(super) fn end_lease(&self) {
        if let Engine::Postgres { until, .. } = &self.engine {
            until.store(0, Ordering::Release);
        }
        self.begin_era();
    }

    /// A write transaction of this process, which began at this stamp, is about to be committed.
    pub(super) fn commit_begins(&self, began: Option<Stamp>) {
        if let Engine::Sqlite { known, .. } = &self.engine {
            let mut known = write(known);
            known.own_commits += 1;
            // The transaction holds the write lock, so whatever moved the stamp came before it.
            if known.stamp != began {
                self.begin_era();
                known.stamp = began;
            }
        }
    }

    /// That attempt is over, and everything that it changed is forgotten.
    pub(super) fn commit_ended(&self, began: Option<Stamp>) {
        if let Engine::Sqlite { db, known } = &self.engine {
            let now = db.stamp();
            let mut known = write(known);
            known.own_commits -= 1;
            // If the stamp moved by more than this one commit, another process's commit is among them.
            if let (Some(began), Some(now)) = (began, now)
                && known.stamp == Some(began)
                && now.follows(&began)
            {
                known.stamp = Some(now);
            }
        }
    }

    /// Now, in microseconds, to be compared by [`FreshnessSource::has_heard_all_up_to`]. Always 0 on SQLite.
    pub(super) fn now(&self) -> u64 {
        match &self.engine {
            Engine::Sqlite { .. } => 0,
            Engine::Postgres { .. } => self.moment(Instant::now()),
        }
    }

    /// Whether every change that a read of the store could see at this moment is accounted for. On SQLite a look at
    /// the stamp has told that already.
    pub(super) fn has_heard_all_up_to(&self, moment: u64) -> bool {
        match &self.engine {
            Engine::Sqlite { .. } => true,
            Engine::Postgres { heard, .. } => heard.load(Ordering::Acquire) >= moment,
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
