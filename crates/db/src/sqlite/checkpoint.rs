//! Folding the write-ahead log into the database file beside the writer, so that no commit waits for it.
//!
//! SQLite by itself does it within a commit, every 1000 pages: whoever waits for that commit then waits for the disk
//! three times instead of once.
//!
//! A log begins anew only if a writer finds all of it copied, which under a load without a pause never happens beside it.
//! So when the log is long, it is folded more and more often, until so little is left that the writer can copy it without
//! anybody noticing.
//!
//! Invariant: what is copied is committed, and nobody sees a difference. A log does not grow for ever.

use super::configure;
use rusqlite::{Connection, OpenFlags};
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tokio::task;

/// Pages that may wait to be copied: 4 MB, as in SQLite. With a fifth or sixteen times as many, deliveries wait no less.
const STEP: i64 = 1000;
/// Pages at which the log should begin anew: 64 MB.
const LONG: i64 = 16_000;
/// Pages that the writer copies in a few milliseconds. In a long log no more should wait.
const FEW: i64 = 100;
/// Pages at which the writer copies whatever is left, for as long as that takes.
const ENDLESS: i64 = 4 * LONG;

pub(super) struct Checkpoints {
    /// Pages in the log after the last commit of this process.
    logged: Arc<AtomicI64>,
    /// How many of them are in the file, too.
    copied: AtomicI64,
    /// How many the log had when the writer last tried to end it.
    tried: AtomicI64,
    /// Whether one is at work.
    busy: AtomicBool,
    connection: Mutex<Connection>,
}

impl Checkpoints {
    /// Takes over from SQLite's own for commits of this connection.
    pub(super) fn take_over(writer: &mut Connection, path: &Path) -> rusqlite::Result<Arc<Self>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        let logged = Arc::new(AtomicI64::new(0));
        let noted = logged.clone();
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            noted.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Arc::new(Checkpoints {
            logged,
            copied: AtomicI64::new(0),
            tried: AtomicI64::new(0),
            busy: AtomicBool::new(false),
            connection: Mutex::new(connection),
        }))
    }

    /// After a commit, on a thread that may block and holds the writer: ends a log that has grown long.
    pub(super) fn after_commit(&self) {
        let (logged, left) = self.pages();
        let little = left <= 2 * FEW && !self.busy.load(Ordering::Acquire);
        // Who reads an old state keeps the log from beginning anew, for a moment.
        let tried = self.tried.load(Ordering::Relaxed);
        let again = !(tried..tried + STEP).contains(&logged);
        if again && (logged >= LONG && little || logged >= ENDLESS) {
            self.tried.store(logged, Ordering::Relaxed);
            self.fold();
        }
    }

    /// After a commit whose caller need not wait: folds the log where enough waits.
    pub(super) fn beside(self: &Arc<Self>) {
        let (logged, left) = self.pages();
        let enough = if logged < LONG { STEP } else { FEW };
        if left >= enough && !self.busy.swap(true, Ordering::AcqRel) {
            let this = self.clone();
            task::spawn_blocking(move || {
                this.fold();
                this.busy.store(false, Ordering::Release);
            });
        }
    }

    /// How many pages the log has, and how many of them are not in the file yet.
    fn pages(&self) -> (i64, i64) {
        let logged = self.logged.load(Ordering::Relaxed);
        // A log that was copied whole begins anew.
        let copied = self.copied.load(Ordering::Relaxed);
        let copied = if copied > logged { 0 } else { copied };
        (logged, logged - copied)
    }

    fn fold(&self) {
        // A panic cannot leave a connection half-changed: a checkpoint that broke off is begun again.
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2));
        match folded {
            Ok(copied) => self.copied.store(copied, Ordering::Relaxed),
            // The log still has everything; the next commit tries again.
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log cannot be folded into the database")
            }
        }
    }
}
