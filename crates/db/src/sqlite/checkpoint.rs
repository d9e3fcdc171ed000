//! Checkpoints: copies the write-ahead log into the database file beside the writer, so that commits need not wait for
//! it.
//!
//! By default SQLite does this within a commit, every 1000 pages. The caller of that commit then waits for the disk
//! three times instead of once.
//!
//! SQLite restarts a log from its beginning only if a writer finds that all of it is copied. Under constant load that
//! never happens beside the writer. So a long log is copied more and more often, until so few pages are left that the
//! writer itself can copy them without a noticeable delay.
//!
//! Invariants: only committed pages are copied, readers see no difference, and the log does not grow without limit.

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

/// How many pages may wait to be copied: 4 MB, SQLite's own default. Measured with a fifth and with sixteen times as
/// many, updates did not wait less.
const STEP: i64 = 1000;
/// The length at which a log should be restarted, in pages: 64 MB.
const LONG: i64 = 16_000;
/// How many pages the writer can copy in a few milliseconds. At most this many should wait in a long log.
const FEW: i64 = 100;
/// The length at which the writer copies everything that is left, however long that takes, in pages.
const ENDLESS: i64 = 4 * LONG;

pub(super) struct Checkpoints {
    /// Pages in the log after this process's last commit.
    logged: Arc<AtomicI64>,
    /// How many of these pages are copied to the database file.
    copied: AtomicI64,
    /// How many pages the log had when the writer last tried to restart it.
    tried: AtomicI64,
    /// True while a checkpoint is running beside the writer.
    busy: AtomicBool,
    connection: Mutex<Connection>,
}

impl Checkpoints {
    /// Turns off SQLite's own checkpoints for this connection, and does them here instead.
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

    /// To be called after a commit, on a thread that may block and holds the writer. Restarts a log that has become
    /// long.
    pub(super) fn after_commit(&self) {
        let (logged, left) = self.pages();
        let little = left <= 2 * FEW && !self.busy.load(Ordering::Acquire);
        // A reader of an old snapshot can keep the log from being restarted for a moment. Try again only after some
        // more pages.
        let tried = self.tried.load(Ordering::Relaxed);
        let again = !(tried..tried + STEP).contains(&logged);
        if again && (logged >= LONG && little || logged >= ENDLESS) {
            self.tried.store(logged, Ordering::Relaxed);
            self.copy();
        }
    }

    /// To be called after a commit, without making the caller wait. Starts a checkpoint if enough pages are waiting.
    pub(super) fn start_if_due(self: &Arc<Self>) {
        let (logged, left) = self.pages();
        let enough = if logged < LONG { STEP } else { FEW };
        if left >= enough && !self.busy.swap(true, Ordering::AcqRel) {
            let this = self.clone();
            task::spawn_blocking(move || {
                this.copy();
                this.busy.store(false, Ordering::Release);
            });
        }
    }

    /// How many pages the log has, and how many of them are not copied yet.
    fn pages(&self) -> (i64, i64) {
        let logged = self.logged.load(Ordering::Relaxed);
        // A log that was copied completely has been restarted.
        let copied = self.copied.load(Ordering::Relaxed);
        let copied = if copied > logged { 0 } else { copied };
        (logged, logged - copied)
    }

    fn copy(&self) {
        // A panic cannot leave the connection half-changed: an interrupted checkpoint is simply run again.
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2));
        match copied {
            Ok(copied) => self.copied.store(copied, Ordering::Relaxed),
            // Nothing is lost: the log still has every page, and the next commit tries again.
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log cannot be copied into the database")
            }
        }
    }
}
