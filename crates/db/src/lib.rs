//! Runs the same SQL on two engines: embedded SQLite, and PostgreSQL.
//!
//! A [`Database`] opens [`Session`]s: for single reads, for a snapshot, or for a write transaction. The same text with
//! parameters `$1…` runs on either engine. Where the dialects differ, a [`Sql`] holds two texts. This crate knows no
//! tables except the one that records migrations: the schema belongs to the caller.
//!
//! Invariant: a session that is dropped without [`Session::commit`] changes nothing in the database.

mod migrate;
mod postgres;
mod session;
mod sql;
mod sqlite;
mod stamp;
mod value;
mod writes;

pub use migrate::Migration;
pub use postgres::listen::{Listener, Received};
pub use session::{MAX_NOTICE, Session};
pub use sql::{Each, Sql};
pub use stamp::Stamp;
pub use value::{Column, Row, Value};

use session::Inner;
use std::{path::PathBuf, str::FromStr, sync::Arc};
use writes::{VERSION, Writes};

/// Why a call to the database failed. The variants differ in what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached or written at the moment. Nothing was changed, and another try may succeed.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// This transaction and another one waited for each other, and the store gave this one up. Nothing was changed, and the
    /// same transaction may succeed when it is run again.
    #[error("the store gave up a transaction that waited for another: {0}")]
    Deadlock(String),
    /// The value of a unique key exists already.
    #[error("this key exists already: {0}")]
    Taken(String),
    /// The engine does not accept this value. Another try will fail, too.
    #[error("the store refuses this value: {0}")]
    Refused(String),
    /// The database was migrated by a newer version of this program.
    #[error(
        "this database is at schema version {found}, newer than this program knows ({known}): run a newer inboxd, or restore a backup"
    )]
    Newer {
        /// The schema version of the database.
        found: i64,
        /// The newest schema version that this program knows.
        known: i64,
    },
    /// The database URL is not valid, or the database that it names cannot be opened. The text says why.
    #[error("{0}")]
    Address(String),
    /// A bug in this program: for example, a statement that does not fit the schema.
    #[error("the store failed: {0}")]
    Broken(String),
}

/// Where the database is. Parsed from the text of a database URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The path of a SQLite file: `sqlite:PATH`.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL server: `postgres://…`, in the format of libpq.
    Postgres(String),
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(":memory:") {
                return Err(Error::Address(
                    "sqlite: needs a file's path, as in sqlite:inboxd.db".into(),
                ));
            }
            return Ok(Address::Sqlite(path.into()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Address::Postgres(url.to_owned()));
        }
        Err(Error::Address(
            "the database URL must start with sqlite: or postgres://".into(),
        ))
    }
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
    writes: Arc<Writes>,
}

#[derive(Clone)]
enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// The kind of a database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// SQLite, embedded in this process.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// What to do if the database does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Return an error.
    Fail,
    /// Create an empty database.
    Create,
}

impl Database {
    /// Opens the database. For PostgreSQL this makes no connection yet: the pool connects at the first session.
    pub async fn open(address: &Address, missing: Missing) -> Result<Self, Error> {
        let engine = match address {
            Address::Sqlite(path) => Engine::Sqlite(sqlite::Sqlite::open(path, missing).await?),
            Address::Postgres(url) => Engine::Postgres(postgres::Postgres::open(url)?),
        };
        let writes = Arc::new(Writes::new());
        Ok(Database { engine, writes })
    }

    /// The engine of this database.
    pub fn engine(&self) -> EngineKind {
        match &self.engine {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// Opens a session for single read statements. Each statement sees the latest commit. On SQLite the session cannot
    /// write.
    pub async fn read(&self) -> Result<Session, Error> {
        let inner = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read().map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.read().await.map(Inner::Postgres),
        };
        counted("read", inner.map(Session::reading))
    }

    /// Opens a session for several read statements that all see the same state of the database.
    pub async fn snapshot(&self) -> Result<Session, Error> {
        let inner = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.snapshot().map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.snapshot().await.map(Inner::Postgres),
        };
        counted("snapshot", inner.map(Session::reading))
    }

    /// Begins a write transaction. On SQLite only one is open at a time; others wait for it.
    ///
    /// Returns [`Error::Unavailable`] if the schema is newer than the one that [`Database::migrate`] brought it to: a
    /// newer program has migrated the database while this one was running. See [`Database::outdated`].
    pub async fn write(&self) -> Result<Session, Error> {
        let begun = match self.writes.checked() {
            true => self.begin_checked().await,
            false => self.begin().await,
        };
        counted("write", self.writes.record(begun))
    }

    /// Begins a write transaction without a check of the schema's version.
    async fn begin(&self) -> Result<Session, Error> {
        let inner = match &self.engine {
            Engine::Sqlite(sqlite) => Inner::Sqlite(sqlite.write().await?),
            Engine::Postgres(postgres) => Inner::Postgres(postgres.write().await?),
        };
        Ok(self.writing(inner))
    }

    /// Begins a write transaction and checks the schema's version. On PostgreSQL the check needs no extra round trip.
    async fn begin_checked(&self) -> Result<Session, Error> {
        let version = |row: &Row<'_>| row.get::<i64>(0);
        let (inner, found) = match &self.engine {
            Engine::Sqlite(sqlite) => {
                let mut session = sqlite.write().await?;
                let found = session.query(VERSION.sqlite, &[], &mut { version })?;
                (Inner::Sqlite(session), found.first().copied())
            }
            Engine::Postgres(postgres) => {
                let (session, found) = postgres.write_with_query(VERSION.postgres).await?;
                (Inner::Postgres(session), found)
            }
        };
        let found = found.ok_or_else(|| Error::Broken("the schema has no version".into()))?;
        self.writes.check(found)?;
        Ok(self.writing(inner))
    }

    fn writing(&self, inner: Inner) -> Session {
        Session {
            inner,
            writes: Some(self.writes.clone()),
        }
    }

    /// Waits until a write transaction finds a schema that is newer than this program knows. Returns the error to show.
    /// The program must then stop.
    pub async fn outdated(&self) -> Error {
        self.writes.outdated().await
    }

    /// True if the last write found the store unavailable (for example, because the disk is full). The next write may
    /// fail, too.
    pub fn writes_fail(&self) -> bool {
        self.writes.failing()
    }

    /// How many write transactions one process should have open at the same time.
    pub fn writers(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(_) => 1,
            Engine::Postgres(_) => postgres::WRITERS,
        }
    }

    /// A stamp that changes with every commit of any process. `None` if it cannot be read at the moment, and always on
    /// PostgreSQL, where reading it would need a query.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.stamp(),
            Engine::Postgres(_) => None,
        }
    }

    /// Listens for the notifications that any process sends on this channel with [`Session::notify`]. `None` on SQLite,
    /// where [`Database::stamp`] shows that something was committed, but not what.
    pub async fn listen(&self, channel: &str) -> Result<Option<Listener>, Error> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => postgres.listen(channel).await.map(Some),
        }
    }

    /// How many processes listen on this channel. Always 0 on SQLite.
    pub async fn listeners(&self, channel: &str) -> Result<usize, Error> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(0),
            Engine::Postgres(postgres) => postgres.listeners(channel).await,
        }
    }

    /// Migrates the schema to the last of `migrations`, in one transaction and under a lock, so that several processes
    /// may start at the same time. `now` is recorded as the time of the migration, in the caller's unit. Returns the
    /// versions that were applied.
    pub async fn migrate(&self, migrations: &[Migration], now: i64) -> Result<Vec<i64>, Error> {
        migrate::run(self, migrations, now).await
    }

    /// True if this database was ever migrated by this program.
    pub async fn migrated(&self) -> Result<bool, Error> {
        migrate::begun(self).await
    }

    /// Prepares a statement without running it, to check that this engine accepts it.
    pub async fn check(&self, sql: &Sql) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.check(sql.sqlite),
            Engine::Postgres(postgres) => postgres.check(sql.postgres).await,
        }
    }

    /// Prepares a statement that runs many times at once, to check that this engine accepts it. On PostgreSQL its text
    /// is rewritten for that.
    pub async fn check_each(&self, each: &Each) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.check(each.sql().sqlite),
            Engine::Postgres(postgres) => postgres.check_each(each).await,
        }
    }

    /// The engine's plan for a statement with any parameters, as lines of text. The statement is not run.
    pub async fn plan(&self, sql: &Sql) -> Result<Vec<String>, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.plan(sql.sqlite),
            Engine::Postgres(postgres) => postgres.plan(sql.postgres).await,
        }
    }

    /// The same for a statement that runs many times at once.
    pub async fn plan_each(&self, each: &Each) -> Result<Vec<String>, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.plan(each.sql().sqlite),
            Engine::Postgres(postgres) => postgres.plan_each(each).await,
        }
    }

    /// Returns an error if the database cannot be reached. The file of a SQLite database may have been moved.
    pub async fn reachable(&self) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.reachable(),
            Engine::Postgres(postgres) => postgres.read().await.map(|_| ()),
        }
    }

    /// Maintains the engine's statistics. To be called every few seconds, so that queries on growing tables keep using
    /// the right index.
    pub async fn maintain(&self) -> Result<(), Error> {
        match &self.engine {
            // Its statistics were written with the schema.
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.analyze_new_tables().await,
        }
    }

    /// Closes the connections. On SQLite the write-ahead log is first copied into the database file.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }
}

/// Counts a call to the store in the metrics, by its kind and its outcome.
fn counted<T>(call: &'static str, done: Result<T, Error>) -> Result<T, Error> {
    let outcome = if done.is_ok() { "ok" } else { "error" };
    metrics::counter!("inboxd_store_calls_total", "call" => call, "outcome" => outcome)
        .increment(1);
    done
}
