//! Folding the write-ahead log into the database file beside the writer, so that no commit waits for it.
//!
//! SQLite by itself does it within a commit, every 1000 pages: whoever waits for that commit then waits for the disk
//! three times instead of once.
//!
//! Invariant: what is copied is committed, and nobody sees a difference. A log that grows faster than it is folded
//! is folded by the writer, and begins anew.

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

/// Pages that may wait to be copied: 4 MB, as in SQLite.
const STEP: i64 = 1000;
/// Pages at which the writer lends a hand: 64 MB. Under a load without a pause the log would never end otherwise.
const LONG: i64 = 16_000;

pub(super) struct Checkpoints {
    /// Pages in the log after the last commit of this process.
    logged: Arc<AtomicI64>,
    /// How many of them are in the file, too.
    copied: AtomicI64,
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
            busy: AtomicBool::new(false),
            connection: Mutex::new(connection),
        }))
    }

    /// After a commit, on a thread that may block and holds the writer: folds a log that has grown long.
    pub(super) fn after_commit(&self) {
        if self.due() && self.logged.load(Ordering::Relaxed) >= LONG {
            self.fold();
        }
    }

    /// After a commit whose caller need not wait: folds the log where enough waits.
    pub(super) fn beside(self: &Arc<Self>) {
        if self.due() && !self.busy.swap(true, Ordering::AcqRel) {
            let this = self.clone();
            task::spawn_blocking(move || {
                this.fold();
                this.busy.store(false, Ordering::Release);
            });
        }
    }

    fn due(&self) -> bool {
        let logged = self.logged.load(Ordering::Relaxed);
        // A log that was copied whole begins anew.
        let copied = self.copied.load(Ordering::Relaxed);
        let copied = if copied > logged { 0 } else { copied };
        logged - copied >= STEP
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
