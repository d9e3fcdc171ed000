//! Tells whether anything was committed to a SQLite database, without a query: it reads the header of the write-ahead
//! log's index.
//!
//! Every commit of any process changes this header, at the moment when readers can see the commit. Reading it takes one
//! system call and no lock, whereas SQLite's own `data_version` takes a read transaction.
//! <https://www.sqlite.org/walformat.html#the_wal_index_header>
//!
//! Invariant: two stamps are equal only if nothing was committed between them.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

/// The length of the header, in bytes. The file has two copies of it; if they differ, a writer is just changing them.
const HEAD: usize = 48;
/// Offset of the commit counter in the header. It is in the machine's byte order.
const COMMITS: usize = 8;
/// Offset of the flag that says that the header is initialised.
const WRITTEN: usize = 12;

/// The state of a SQLite database after a certain commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; HEAD]);

impl Stamp {
    /// True if exactly one commit lies between `before` and this stamp. Two commits, one of them by another process, do
    /// not qualify.
    pub fn follows(&self, before: &Stamp) -> bool {
        self.commits() == before.commits().wrapping_add(1)
    }

    fn commits(&self) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[COMMITS..COMMITS + 4]);
        u32::from_ne_bytes(bytes)
    }
}

/// The opened index file of a write-ahead log.
#[derive(Clone, Copy)]
pub(crate) struct Index(&'static File);

/// Every index file that this process has opened, by device and inode.
///
/// They are never closed. When a process closes a file, POSIX drops all locks that the process holds on it, and
/// SQLite's locks are on this file.
/// <https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>
static OPEN: LazyLock<Mutex<HashMap<(u64, u64), &'static File>>> = LazyLock::new(Mutex::default);

impl Index {
    /// Opens the index of the database at this path. The database must be open in WAL mode, and must stay open.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let mut name = database.as_os_str().to_owned();
        name.push("-shm");
        // A panic cannot leave the map half-changed.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = |meta: Metadata| (meta.dev(), meta.ino());
        let wanted = identity(std::fs::metadata(&name)?);
        if let Some(file) = open.get(&wanted) {
            return Ok(Index(file));
        }
        let file: &'static File = Box::leak(Box::new(File::open(&name)?));
        open.insert(identity(file.metadata()?), file);
        Ok(Index(file))
    }

    /// Reads the current stamp. `None` while a writer is changing it, or if it cannot be read. The caller must then
    /// query the store.
    pub(crate) fn stamp(self) -> Option<Stamp> {
        let mut bytes = [0; 2 * HEAD];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let (first, second) = bytes.split_at(HEAD);
        if first != second || first[WRITTEN] == 0 {
            return None;
        }
        first.try_into().ok().map(Stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).expect("it opens");
        let made = connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (x INTEGER)");
        made.expect("it can be written");
        connection
    }

    #[test]
    fn a_stamp_changes_with_every_commit_and_with_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        let (one, other) = (open(&path), open(&path));
        let index = Index::of(&path).expect("there is an index");
        let stamp = || index.stamp().expect("nobody is writing");
        for number in 0..50 {
            let before = stamp();
            let write = if number % 2 == 0 { &one } else { &other };
            let done = write.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
            done.expect("it can be written");
            assert_eq!(stamp(), before, "not committed");
            write.execute_batch("COMMIT").expect("it is committed");
            let after = stamp();
            assert_ne!(after, before);
            assert!(after.follows(&before));
            one.query_row("SELECT COUNT(*) FROM t", [], |_| Ok(()))
                .expect("it can be read");
            other
                .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1); ROLLBACK")
                .expect("it can be taken back");
            assert_eq!(stamp(), after);
            let two = "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)";
            one.execute_batch(two).expect("it can be written");
            assert!(!stamp().follows(&after), "two commits");
        }
    }

    #[test]
    fn a_stamp_changes_when_the_log_starts_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        let connection = open(&path);
        let index = Index::of(&path).expect("there is an index");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20 {
            let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
            let folded = connection.query_row(fold, [], |_| Ok(()));
            folded.expect("nobody else reads");
            let done = connection.execute_batch("INSERT INTO t VALUES (1)");
            done.expect("it can be written");
            assert!(seen.insert(index.stamp().expect("nobody is writing").0));
        }
    }
}
