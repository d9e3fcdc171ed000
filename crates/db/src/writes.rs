//! What a process knows about writing to its database: the newest schema that it may write to, and whether its last
//! write failed.
//!
//! Invariant: a write transaction begins only on a schema that the program knows, and the schema cannot change before
//! the transaction ends. SQLite has one writer at a time. On PostgreSQL a migration waits for every open write
//! transaction.

use crate::{Error, Sql};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::watch;

/// Reads the schema's version. On PostgreSQL this also keeps a migration from changing the schema until the reader's
/// transaction ends.
pub(crate) const VERSION: Sql =
    Sql::same("SELECT COALESCE(MAX(version), 0) FROM schema_migrations");
/// Waits for every transaction that has read [`VERSION`], and blocks those that read it from now on.
pub(crate) const KEEP_WRITERS_OUT: Sql = Sql {
    sqlite: "SELECT 1",
    postgres: "LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE",
};

pub(crate) struct Writes {
    /// The newest schema version that the program knows. 0 until it is set.
    known: AtomicI64,
    /// A newer schema version that was found in the database.
    newer: watch::Sender<Option<i64>>,
    /// True if the last write found the store unavailable.
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

    /// Sets the newest schema version that may be written to.
    pub(crate) fn set_known(&self, version: i64) {
        self.known.store(version, Ordering::Release);
    }

    /// True if a write transaction must check the schema's version.
    pub(crate) fn checked(&self) -> bool {
        self.known.load(Ordering::Acquire) > 0
    }

    /// Returns an error if the schema is newer than the program knows.
    pub(crate) fn check(&self, found: i64) -> Result<(), Error> {
        let known = self.known.load(Ordering::Acquire);
        if found <= known {
            return Ok(());
        }
        let newer = Error::Newer { found, known };
        self.newer.send_replace(Some(found));
        Err(Error::Unavailable(newer.to_string()))
    }

    /// Waits until a newer schema is found.
    pub(crate) async fn outdated(&self) -> Error {
        let mut newer = self.newer.subscribe();
        // The wait cannot fail: `self` owns the sender. And the value is never removed.
        let found = newer.wait_for(Option::is_some).await;
        Error::Newer {
            found: found.ok().and_then(|found| *found).unwrap_or(0),
            known: self.known.load(Ordering::Acquire),
        }
    }

    pub(crate) fn failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Records the outcome of one statement of a write. A success proves nothing here: only a commit shows that the
    /// store can be written again.
    pub(crate) fn record<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Unavailable(_)) = done {
            self.failing.store(true, Ordering::Release);
        }
        done
    }

    pub(crate) fn record_commit(&self, done: Result<(), Error>) -> Result<(), Error> {
        if done.is_ok() {
            self.failing.store(false, Ordering::Release);
        }
        self.record(done)
    }
}
