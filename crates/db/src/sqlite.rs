//! The SQLite engine: one file, one writer, and several readers beside it.
//!
//! Statements run on the calling thread, since a switch to another thread costs more than a short indexed read. `BEGIN
//! IMMEDIATE` and `COMMIT` may wait for another process or for the disk. They run on a blocking thread.
//!
//! Invariant: when a commit returns, it is on the disk (`synchronous=FULL`), in the file at the configured path.

mod checkpoint;
mod statistics;

use crate::{
    Error, Missing, Row, Value,
    stamp::{Index, Stamp},
};
use checkpoint::Checkpoints;
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    config::DbConfig,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE},
    params_from_iter,
};
use std::{
    fmt, fs,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    task,
    time::timeout,
};

/// How long a write waits for another process that is writing (for example, the command line).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How many idle readers are kept open. More may be in use at once; the surplus is closed after use.
const IDLE_READERS: usize = 16;
const STATEMENT_CACHE: usize = 256;

#[derive(Clone)]
pub(crate) struct Sqlite(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// Device and inode of the opened file. If the path leads to another file later, writes would be lost.
    file: (u64, u64),
    /// The index of the write-ahead log, which shows other processes' commits. Without it nothing can be cached.
    index: Option<Index>,
    readers: Mutex<Vec<Connection>>,
    writer: Arc<AsyncMutex<Connection>>,
    checkpoints: Arc<Checkpoints>,
}

impl Sqlite {
    pub(crate) fn reachable(&self) -> Result<(), Error> {
        if identity(&self.0.path) == Some(self.0.file) {
            return Ok(());
        }
        Err(Error::Unavailable(format!(
            "the database file {} was moved, deleted or replaced under the running server",
            self.0.path.display()
        )))
    }

    pub(crate) async fn open(path: &Path, missing: Missing) -> Result<Self, Error> {
        let path = path.to_owned();
        task::spawn_blocking(move || Self::open_blocking(path, missing))
            .await
            .map_err(|error| Error::Broken(error.to_string()))?
    }

    fn open_blocking(path: PathBuf, missing: Missing) -> Result<Self, Error> {
        if missing == Missing::Fail && !path.exists() {
            return Err(Error::Address(format!(
                "there is no database at {}: say where it is with --database-url, or make one with `inboxd migrate` or `inboxd serve`",
                path.display()
            )));
        }
        let cannot_open = |error: &dyn fmt::Display| {
            let path = path.display();
            Error::Address(format!("cannot open the database {path}: {error}"))
        };
        let explain = |error: rusqlite::Error| cannot_open(&error);
        // The file is created here, and not by SQLite, to set its mode: it contains people's messages. SQLite gives the
        // files beside it the same mode.
        fs::OpenOptions::new()
            .append(true)
            .create(missing == Missing::Create)
            .mode(0o600)
            .open(&path)
            .map_err(|error| cannot_open(&error))?;
        let mut writer = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(explain)?;
        let mode = use_log(&writer).map_err(explain)?;
        writer.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
        if mode != "wal" {
            return Err(Error::Address(format!(
                "the database {} cannot use a write-ahead log (journal mode {mode})",
                path.display()
            )));
        }
        configure(&writer).map_err(explain)?;
        let file = identity(&path)
            .ok_or_else(|| Error::Address(format!("{} vanished", path.display())))?;
        // The first query creates the index file.
        writer
            .query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))
            .map_err(explain)?;
        // SQLite's own path of the file has its symbolic links resolved, as have the names of the files beside it.
        let name = writer.path().map_or_else(|| path.clone(), PathBuf::from);
        let index = Index::of(&name)
            .inspect_err(|error| tracing::warn!(%error, "the write-ahead log's index cannot be read, so nothing is cached"))
            .ok();
        let checkpoints = Checkpoints::take_over(&mut writer, &path).map_err(explain)?;
        Ok(Sqlite(Arc::new(Shared {
            path,
            file,
            index,
            readers: Mutex::new(Vec::new()),
            writer: Arc::new(AsyncMutex::new(writer)),
            checkpoints,
        })))
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.0.index?.stamp()
    }

    pub(crate) fn read(&self) -> Result<Session, Error> {
        let idle = self.readers().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        Ok(Session {
            connection: Some(Held::Reader(connection, self.clone())),
            began: None,
        })
    }

    /// The first statement fixes the state that all statements of the snapshot see.
    pub(crate) fn snapshot(&self) -> Result<Session, Error> {
        let session = self.read()?;
        session
            .connection()
            .execute_batch("BEGIN")
            .map_err(explain)?;
        Ok(session)
    }

    fn open_reader(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0.path, flags).map_err(explain)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
        configure(&connection).map_err(explain)?;
        Ok(connection)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A panic cannot leave the vector half-changed.
        self.0
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn write(&self) -> Result<Session, Error> {
        // While one writer waits for another process, all others wait for at most this long in total, not one after the
        // other.
        let turn = timeout(BUSY_TIMEOUT, self.0.writer.clone().lock_owned());
        let guard = turn
            .await
            .map_err(|_| Error::Unavailable("other writes took too long".into()))?;
        self.reachable()?;
        // A caller that gave up before it had its session has left the transaction open.
        roll_back(&guard);
        let guard = match begin(&guard, Duration::ZERO) {
            // Another process is writing.
            Err(Error::Unavailable(_)) => {
                blocking(guard, |connection| begin(connection, BUSY_TIMEOUT)).await?
            }
            begun => begun.map(|()| guard)?,
        };
        Ok(Session {
            connection: Some(Held::Writer(guard, self.0.checkpoints.clone())),
            // Nobody else can commit before this session ends.
            began: self.stamp(),
        })
    }

    pub(crate) fn check(&self, sql: &str) -> Result<(), Error> {
        let session = self.read()?;
        let statement = session.connection().prepare(sql).map_err(explain)?;
        // SQLite numbers `$…` parameters in the order of their first use, whatever their digits are.
        for index in 1..=statement.parameter_count() {
            let name = statement.parameter_name(index).unwrap_or_default();
            if name != format!("${index}") {
                return Err(Error::Broken(format!(
                    "parameter {index} is called {name}: number them in the order of their first use"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn plan(&self, sql: &str) -> Result<Vec<String>, Error> {
        let session = self.read()?;
        let explain_it = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = session.connection().prepare(&explain_it).map_err(explain)?;
        // Parameters without a value are null.
        let steps = statement.raw_query().mapped(|row| row.get("detail"));
        steps.collect::<Result<_, _>>().map_err(explain)
    }

    pub(crate) async fn close(&self) {
        self.readers().clear();
        let guard = self.0.writer.clone().lock_owned().await;
        let copied = blocking(guard, |connection| {
            connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .map_err(explain)
        })
        .await;
        if let Err(error) = copied {
            tracing::warn!(%error, "the write-ahead log could not be copied into the database and stays beside it");
        }
    }
}

/// Begins a write transaction, and waits up to `limit` for another process that is writing.
fn begin(connection: &Connection, limit: Duration) -> Result<(), Error> {
    connection.busy_timeout(limit).map_err(explain)?;
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(explain);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    begun
}

/// Runs `work` on a blocking thread. Returns the connection if it succeeds.
async fn blocking(
    guard: OwnedMutexGuard<Connection>,
    work: impl FnOnce(&Connection) -> Result<(), Error> + Send + 'static,
) -> Result<OwnedMutexGuard<Connection>, Error> {
    let run = task::spawn_blocking(move || {
        let outcome = work(&guard);
        outcome.map(|()| guard)
    });
    run.await
        .map_err(|error| Error::Broken(error.to_string()))?
}

/// Turns on the write-ahead log, which is a lasting property of the database. Returns the journal mode.
///
/// If several processes do this at once on a new file, SQLite refuses some of them immediately, whatever the busy
/// timeout is, because each holds a lock that another one waits for. So this retries.
/// <https://www.sqlite.org/c3ref/busy_handler.html>
fn use_log(connection: &Connection) -> rusqlite::Result<String> {
    const STEP: Duration = Duration::from_millis(10);
    connection.busy_timeout(Duration::ZERO)?;
    let mut left = BUSY_TIMEOUT;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        let busy = mode.as_ref().is_err_and(|error: &rusqlite::Error| {
            error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
        });
        if !busy || left.is_zero() {
            return mode;
        }
        thread::sleep(STEP);
        left = left.saturating_sub(STEP);
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Without this, a query plan may depend on the values of `LIMIT` and other parameters, and SQLite recompiles the
    // statement whenever they are bound. Compiling takes longer than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096;
         PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
    )
}

/// Device and inode of the file that is now at this path.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

pub(crate) struct Session {
    /// `None` only after the session has ended.
    connection: Option<Held>,
    /// The stamp when a write transaction began.
    began: Option<Stamp>,
}

enum Held {
    Reader(Connection, Sqlite),
    Writer(OwnedMutexGuard<Connection>, Arc<Checkpoints>),
}

impl Session {
    pub(crate) fn began(&self) -> Option<Stamp> {
        self.began
    }

    fn connection(&self) -> &Connection {
        match self.connection.as_ref() {
            Some(Held::Reader(connection, _)) => connection,
            Some(Held::Writer(guard, _)) => guard,
            None => unreachable!("a session holds its connection until it ends"),
        }
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let mut statement = self.connection().prepare_cached(sql).map_err(explain)?;
        let changed = statement
            .execute(params_from_iter(params))
            .map_err(explain)?;
        Ok(changed as u64)
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        read: &mut impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection().prepare_cached(sql).map_err(explain)?;
        let mut rows = statement.query(params_from_iter(params)).map_err(explain)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(explain)? {
            found.push(read(&Row::Sqlite(row))?);
        }
        Ok(found)
    }

    pub(crate) fn set_statistics(&mut self) -> Result<bool, Error> {
        statistics::ensure(self.connection())
    }

    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.connection().execute_batch(sql).map_err(explain)
    }

    pub(crate) async fn commit(
        mut self,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        if let Some(Held::Writer(guard, checkpoints)) = self.connection.take() {
            let after = checkpoints.clone();
            blocking(guard, move |connection| {
                let committed = connection.execute_batch("COMMIT").map_err(explain);
                then();
                match &committed {
                    Ok(()) => after.after_commit(),
                    Err(_) => roll_back(connection),
                }
                committed
            })
            .await?;
            checkpoints.start_if_due();
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match self.connection.take() {
            Some(Held::Writer(guard, _)) => roll_back(&guard),
            Some(Held::Reader(connection, sqlite)) => {
                roll_back(&connection);
                let mut readers = sqlite.readers();
                if readers.len() < IDLE_READERS {
                    readers.push(connection);
                }
            }
            None => {}
        }
    }
}

/// Rolls back the open transaction, if there is one. Some errors (for example, a full disk) have rolled it back
/// already.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn explain(error: rusqlite::Error) -> Error {
    let text = error.to_string();
    let Some(code) = error.sqlite_error() else {
        return Error::Broken(text);
    };
    match code.code {
        ErrorCode::ConstraintViolation
            if matches!(
                code.extended_code,
                SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY
            ) =>
        {
            Error::Taken(text)
        }
        ErrorCode::TooBig | ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation => {
            Error::Refused(text)
        }
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ReadOnly
        | ErrorCode::SystemIoFailure
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::PermissionDenied
        | ErrorCode::OutOfMemory => Error::Unavailable(text),
        _ => Error::Broken(text),
    }
}
