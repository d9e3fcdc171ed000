//! One SQL text on two engines: embedded SQLite, and PostgreSQL.
//!
//! A [`Database`] hands out [`Session`]s: a read, a snapshot or a write transaction. The same text with
//! `$1…` runs on either engine; only where the dialects must differ does a [`Sql`] hold two. This crate
//! knows no table of ours: what is stored, and how, is its caller's.
//!
//! Invariant: a session that is dropped without [`Session::commit`] leaves no trace in the database.

mod migrate;
mod postgres;
mod session;
mod sql;
mod sqlite;
mod stamp;
mod value;
mod writes;

pub use migrate::Migration;
pub use postgres::listen::{Heard, Listener};
pub use session::{NOTICE, Session};
pub use sql::{Each, Sql};
pub use stamp::Stamp;
pub use value::{Column, Row, Value};

use session::Inner;
use std::{path::PathBuf, str::FromStr, sync::Arc};
use writes::{VERSION, Writes};

/// What went wrong in the database, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached or written just now: nothing was changed, and a later try may work.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A unique key is taken.
    #[error("already there: {0}")]
    Taken(String),
    /// The engine refuses this very value, today and tomorrow.
    #[error("the store refuses this value: {0}")]
    Refused(String),
    /// The database was made by a newer version of this program.
    #[error(
        "this database is at schema version {found}, newer than this program knows ({known}): run a newer inboxd, or restore a backup"
    )]
    Newer {
        /// The version that the database is at.
        found: i64,
        /// The last version that this program knows.
        known: i64,
    },
    /// The address of the database makes no sense.
    #[error("{0}")]
    Address(String),
    /// A fault of this program: a statement that does not fit the schema.
    #[error("the store failed: {0}")]
    Broken(String),
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A file on this machine: `sqlite:PATH`.
    Sqlite(PathBuf),
    /// A PostgreSQL server: `postgres://…` as libpq writes it.
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

/// A database, open. Cheap to clone.
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

/// Which engine a database runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// The embedded one.
    Sqlite,
    /// The server.
    Postgres,
}

/// Whether a missing database is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is an error that says so.
    Fail,
    /// It is created, empty.
    Create,
}

impl Database {
    /// Opens the database. PostgreSQL is not contacted yet: its pool connects when first asked.
    pub async fn open(address: &Address, missing: Missing) -> Result<Self, Error> {
        let engine = match address {
            Address::Sqlite(path) => Engine::Sqlite(sqlite::Sqlite::open(path, missing).await?),
            Address::Postgres(url) => Engine::Postgres(postgres::Postgres::open(url)?),
        };
        let writes = Arc::new(Writes::new());
        Ok(Database { engine, writes })
    }

    /// Which engine it runs on.
    pub fn engine(&self) -> EngineKind {
        match &self.engine {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// A session for single statements, each of which sees the latest commit. For reads: on SQLite it cannot write.
    pub async fn read(&self) -> Result<Session, Error> {
        let inner = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read().map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.read().await.map(Inner::Postgres),
        };
        counted("read", inner.map(Session::reading))
    }

    /// A read of many statements that all see the same commit.
    pub async fn snapshot(&self) -> Result<Session, Error> {
        let inner = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.snapshot().map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.snapshot().await.map(Inner::Postgres),
        };
        counted("snapshot", inner.map(Session::reading))
    }

    /// A write transaction. On SQLite there is one at a time, and others wait in line.
    ///
    /// Once [`Database::migrate`] has said which schema this program knows, a newer one is [`Error::Unavailable`]: a newer
    /// program has migrated the database under this one. See [`Database::outdated`].
    pub async fn write(&self) -> Result<Session, Error> {
        let begun = match self.writes.guarded() {
            true => self.begin_guarded().await,
            false => self.begin().await,
        };
        counted("write", self.writes.noted(begun))
    }

    /// A write transaction on whatever schema there is.
    async fn begin(&self) -> Result<Session, Error> {
        let inner = match &self.engine {
            Engine::Sqlite(sqlite) => Inner::Sqlite(sqlite.write().await?),
            Engine::Postgres(postgres) => Inner::Postgres(postgres.write().await?),
        };
        Ok(self.writing(inner))
    }

    /// A write transaction on a schema that this program knows. On PostgreSQL the look at it takes no round trip.
    async fn begin_guarded(&self) -> Result<Session, Error> {
        let version = |row: &Row<'_>| row.get::<i64>(0);
        let (inner, found) = match &self.engine {
            Engine::Sqlite(sqlite) => {
                let mut session = sqlite.write().await?;
                let found = session.query(VERSION.sqlite, &[], &mut { version })?;
                (Inner::Sqlite(session), found.first().copied())
            }
            Engine::Postgres(postgres) => {
                let (session, found) = postgres.write_asking(VERSION.postgres).await?;
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

    /// Waits until a write has met a schema that this program does not know: it must not go on. Returns what to say.
    pub async fn outdated(&self) -> Error {
        self.writes.outdated().await
    }

    /// Whether the last write found the store not available (a full disk, for one), so that the next one may, too.
    pub fn writes_fail(&self) -> bool {
        self.writes.failing()
    }

    /// How many write transactions of one process are worth having under way at once.
    pub fn writers(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(_) => 1,
            Engine::Postgres(_) => postgres::WRITERS,
        }
    }

    /// How far the embedded database has come, through any process. `None` if that cannot be told just now, and always
    /// on PostgreSQL, which does not say so without being asked.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.stamp(),
            Engine::Postgres(_) => None,
        }
    }

    /// Listens to what any process says with [`Session::notify`]. `None` on SQLite, whose [`Database::stamp`] tells
    /// that something happened, if not what.
    pub async fn listen(&self, channel: &str) -> Result<Option<Listener>, Error> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => postgres.listen(channel).await.map(Some),
        }
    }

    /// How many processes listen to this channel.
    pub async fn listeners(&self, channel: &str) -> Result<usize, Error> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(0),
            Engine::Postgres(postgres) => postgres.listeners(channel).await,
        }
    }

    /// Brings the schema up to the last of `migrations`, under a lock, in one transaction: any number of
    /// processes may start at once. Returns the versions that it applied.
    pub async fn migrate(&self, migrations: &[Migration], now: i64) -> Result<Vec<i64>, Error> {
        migrate::run(self, migrations, now).await
    }

    /// Whether the database was ever migrated. A new one was not, nor was one of another program.
    pub async fn migrated(&self) -> Result<bool, Error> {
        migrate::begun(self).await
    }

    /// Prepares a statement and runs nothing: whether this engine understands it.
    pub async fn check(&self, sql: &Sql) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.check(sql.sqlite),
            Engine::Postgres(postgres) => postgres.check(sql.postgres).await,
        }
    }

    /// The same for one that runs many times at once, which is another text on PostgreSQL.
    pub async fn check_each(&self, each: &Each) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.check(each.sql().sqlite),
            Engine::Postgres(postgres) => postgres.check_each(each).await,
        }
    }

    /// How this engine would run a statement, whatever its parameters are, in lines of its own words. Nothing is run.
    pub async fn plan(&self, sql: &Sql) -> Result<Vec<String>, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.plan(sql.sqlite),
            Engine::Postgres(postgres) => postgres.plan(sql.postgres).await,
        }
    }

    /// The same for one that runs many times at once.
    pub async fn plan_each(&self, each: &Each) -> Result<Vec<String>, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.plan(each.sql().sqlite),
            Engine::Postgres(postgres) => postgres.plan_each(each).await,
        }
    }

    /// Whether a write would find its database: the embedded one's file can be moved away under a running program.
    pub async fn reachable(&self) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.reachable(),
            Engine::Postgres(postgres) => postgres.read().await.map(|_| ()),
        }
    }

    /// What has to be done for the engine every few seconds, so that it finds short ways through tables that are growing.
    pub async fn tend(&self) -> Result<(), Error> {
        match &self.engine {
            // It plans by the statistics that were written with the schema.
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.look_at_new_tables().await,
        }
    }

    /// Ends the connections. On SQLite the write-ahead log is folded into the database file.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }
}

/// Counts a call to the store by its kind and how it ended.
fn counted<T>(call: &'static str, done: Result<T, Error>) -> Result<T, Error> {
    let outcome = if done.is_ok() { "ok" } else { "error" };
    metrics::counter!("inboxd_store_calls_total", "call" => call, "outcome" => outcome)
        .increment(1);
    done
}
