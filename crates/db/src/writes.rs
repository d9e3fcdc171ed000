//! What a process knows about writing to its database: which schema it may write to, and how its last write went.
//!
//! Invariant: a write transaction begins only on a schema that the program knows, and no newer one comes under it before
//! it ends. SQLite has one writer at a time; on PostgreSQL a migration waits for all that have begun.

use crate::{Error, Sql};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::watch;

/// The version of the schema. On PostgreSQL whoever asks keeps a migration from its table until his transaction ends.
pub(crate) const VERSION: Sql =
    Sql::same("SELECT COALESCE(MAX(version), 0) FROM schema_migrations");
/// Waits for all transactions that have asked for [`VERSION`], and holds up those that ask from now on.
pub(crate) const KEEP_WRITERS_OUT: Sql = Sql {
    sqlite: "SELECT 1",
    postgres: "LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE",
};

pub(crate) struct Writes {
    /// The last version that the program knows; 0 as long as it has not said so.
    known: AtomicI64,
    /// The version that was met and is newer.
    newer: watch::Sender<Option<i64>>,
    /// Whether the last write found the store not available.
    failing: AtomicBool,
}

impl Writes {
    pub(crate) fn new() -> Self {
        Writes {
            known: AtomicI64::new(0),
            newer: watch::Sender::new(None),
            failing: AtomicBool::new(false),
        }
    }

    /// From now on only this version, or an older one, may be written to.
    pub(crate) fn know(&self, version: i64) {
        self.known.store(version, Ordering::Release);
    }

    /// Whether the version has to be looked at.
    pub(crate) fn guarded(&self) -> bool {
        self.known.load(Ordering::Acquire) > 0
    }

    /// Refuses a schema that the program does not know.
    pub(crate) fn check(&self, found: i64) -> Result<(), Error> {
        let known = self.known.load(Ordering::Acquire);
        if found <= known {
            return Ok(());
        }
        let newer = Error::Newer { found, known };
        self.newer.send_replace(Some(found));
        Err(Error::Unavailable(newer.to_string()))
    }

    /// Waits until a newer schema was met.
    pub(crate) async fn outdated(&self) -> Error {
        let mut newer = self.newer.subscribe();
        // The sender is in `self`, so the wait cannot fail; the value stays once it is there.
        let found = newer.wait_for(Option::is_some).await;
        Error::Newer {
            found: found.ok().and_then(|found| *found).unwrap_or(0),
            known: self.known.load(Ordering::Acquire),
        }
    }

    pub(crate) fn failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Takes note of how a part of a write went. Only a commit shows that the store can be written again.
    pub(crate) fn noted<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Unavailable(_)) = done {
            self.failing.store(true, Ordering::Release);
        }
        done
    }

    pub(crate) fn committed(&self, done: Result<(), Error>) -> Result<(), Error> {
        if done.is_ok() {
            self.failing.store(false, Ordering::Release);
        }
        self.noted(done)
    }
}
