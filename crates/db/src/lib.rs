//! One SQL text on two engines: embedded SQLite, and PostgreSQL.
//!
//! A [`Database`] hands out [`Session`]s: a read, a snapshot or a write transaction. The same text with
//! `$1…` runs on either engine; only where the dialects must differ does a [`Sql`] hold two. This crate
//! knows no table of ours: what is stored, and how, is its caller's.
//!
//! Invariant: a session that is dropped without [`Session::commit`] leaves no trace in the database.

mod migrate;
mod postgres;
mod sql;
mod sqlite;
mod stamp;
mod value;

pub use migrate::Migration;
pub use postgres::listen::{Heard, Listener};
pub use sql::{Each, Sql};
pub use stamp::Stamp;
pub use value::{Column, Row, Value};

use std::{path::PathBuf, str::FromStr};

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
pub struct Database(Engine);

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
        Ok(Database(match address {
            Address::Sqlite(path) => Engine::Sqlite(sqlite::Sqlite::open(path, missing).await?),
            Address::Postgres(url) => Engine::Postgres(postgres::Postgres::open(url)?),
        }))
    }

    /// Which engine it runs on.
    pub fn engine(&self) -> EngineKind {
        match &self.0 {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// A session for single statements, each of which sees the latest commit. For reads: on SQLite it cannot write.
    pub async fn read(&self) -> Result<Session, Error> {
        let session = match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.read().map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.read().await.map(Inner::Postgres),
        };
        counted("read", session.map(Session))
    }

    /// A read of many statements that all see the same commit.
    pub async fn snapshot(&self) -> Result<Session, Error> {
        let session = match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.snapshot().map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.snapshot().await.map(Inner::Postgres),
        };
        counted("snapshot", session.map(Session))
    }

    /// A write transaction. On SQLite there is one at a time, and others wait in line.
    pub async fn write(&self) -> Result<Session, Error> {
        let session = match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.write().await.map(Inner::Sqlite),
            Engine::Postgres(postgres) => postgres.write().await.map(Inner::Postgres),
        };
        counted("write", session.map(Session))
    }

    /// How many write transactions of one process are worth having under way at once.
    pub fn writers(&self) -> usize {
        match &self.0 {
            Engine::Sqlite(_) => 1,
            Engine::Postgres(_) => postgres::WRITERS,
        }
    }

    /// How far the embedded database has come, through any process. `None` if that cannot be told just now, and always
    /// on PostgreSQL, which does not say so without being asked.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.stamp(),
            Engine::Postgres(_) => None,
        }
    }

    /// Listens to what any process says with [`Session::notify`]. `None` on SQLite, whose [`Database::stamp`] tells
    /// that something happened, if not what.
    pub async fn listen(&self, channel: &str) -> Result<Option<Listener>, Error> {
        match &self.0 {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => postgres.listen(channel).await.map(Some),
        }
    }

    /// How many processes listen to this channel.
    pub async fn listeners(&self, channel: &str) -> Result<usize, Error> {
        match &self.0 {
            Engine::Sqlite(_) => Ok(0),
            Engine::Postgres(postgres) => postgres.listeners(channel).await,
        }
    }

    /// Brings the schema up to the last of `migrations`, under a lock, in one transaction: any number of
    /// processes may start at once. Returns the versions that it applied.
    pub async fn migrate(&self, migrations: &[Migration], now: i64) -> Result<Vec<i64>, Error> {
        migrate::run(self, migrations, now).await
    }

    /// Prepares a statement and runs nothing: whether this engine understands it.
    pub async fn check(&self, sql: &Sql) -> Result<(), Error> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.check(sql.sqlite),
            Engine::Postgres(postgres) => postgres.check(sql.postgres).await,
        }
    }

    /// The same for one that runs many times at once, which is another text on PostgreSQL.
    pub async fn check_each(&self, each: &Each) -> Result<(), Error> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.check(each.sql().sqlite),
            Engine::Postgres(postgres) => postgres.check_each(each).await,
        }
    }

    /// Whether a write would find its database: the embedded one's file can be moved away under a running program.
    pub async fn reachable(&self) -> Result<(), Error> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.reachable(),
            Engine::Postgres(postgres) => postgres.read().await.map(|_| ()),
        }
    }

    /// What has to be done for the engine every few seconds, so that it finds short ways through tables that are growing.
    pub async fn tend(&self) -> Result<(), Error> {
        match &self.0 {
            // It takes each statement's index by the schema alone.
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.look_at_new_tables().await,
        }
    }

    /// Ends the connections. On SQLite the write-ahead log is folded into the database file.
    pub async fn close(&self) {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }
}

/// Bytes that a notice must stay below. <https://www.postgresql.org/docs/current/sql-notify.html>
pub const NOTICE: usize = 8000;

/// A conversation with the database: a read, or a transaction that takes effect with [`Session::commit`].
pub struct Session(Inner);

enum Inner {
    Sqlite(sqlite::Session),
    Postgres(postgres::Session),
}

impl Session {
    /// Runs a statement. Returns how many rows it changed.
    pub async fn execute(&mut self, sql: &Sql, params: &[Value<'_>]) -> Result<u64, Error> {
        match &mut self.0 {
            Inner::Sqlite(session) => session.execute(sql.sqlite, params),
            Inner::Postgres(session) => session.execute(sql.postgres, params).await,
        }
    }

    /// Runs a statement and reads each row that it gives.
    pub async fn query<T>(
        &mut self,
        sql: &Sql,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        match &mut self.0 {
            Inner::Sqlite(session) => session.query(sql.sqlite, params, &mut read),
            Inner::Postgres(session) => session.query(sql.postgres, params, &mut read).await,
        }
    }

    /// Runs a statement that gives at most one row.
    pub async fn query_opt<T>(
        &mut self,
        sql: &Sql,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.query(sql, params, read).await?.pop())
    }

    /// Runs one statement many times, in order, and reads the rows of each. On PostgreSQL the runs share one round trip.
    pub async fn query_each<T>(
        &mut self,
        sql: &Sql,
        runs: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        match &mut self.0 {
            Inner::Sqlite(session) => runs
                .iter()
                .map(|params| session.query(sql.sqlite, params, &mut read))
                .collect(),
            Inner::Postgres(session) => session.query_each(sql.postgres, runs, &mut read).await,
        }
    }

    /// The same for a query, whose columns must have names of their own, and whose parameters are texts or integers. On
    /// PostgreSQL the runs are one statement, which costs far less than one for each. It, too, goes through them in order,
    /// and locks rows in that order.
    pub async fn find_each<T>(
        &mut self,
        sql: &Sql,
        runs: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        match &mut self.0 {
            Inner::Sqlite(_) => self.query_each(sql, runs, read).await,
            Inner::Postgres(session) => session.find_each(sql.postgres, runs, &mut read).await,
        }
    }

    /// The same for an `INSERT` of one row of `VALUES`. Returns the rows that all runs gave back, in order.
    pub async fn insert_each<T>(
        &mut self,
        sql: &Sql,
        runs: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        match &mut self.0 {
            Inner::Sqlite(_) => {
                let given = self.query_each(sql, runs, read).await?;
                Ok(given.into_iter().flatten().collect())
            }
            Inner::Postgres(session) => session.insert_each(sql.postgres, runs, &mut read).await,
        }
    }

    /// The same for an `UPDATE` of one row, another one in each run. In which order they are locked is the engine's choice.
    pub async fn update_each(&mut self, sql: &Sql, runs: &[Vec<Value<'_>>]) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Sqlite(_) => self.query_each(sql, runs, |_| Ok(())).await.map(|_| ()),
            Inner::Postgres(session) => session.update_each(sql.postgres, runs).await,
        }
    }

    /// Runs a text of many statements, without parameters: for schemas.
    pub async fn batch(&mut self, sql: &Sql) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Sqlite(session) => session.batch(sql.sqlite),
            Inner::Postgres(session) => session.batch(sql.postgres).await,
        }
    }

    /// Has every [`Listener`] of this channel hear these texts, in order, once this transaction is committed, and not
    /// otherwise. Each must be shorter than [`NOTICE`] bytes. On SQLite nobody listens, and nothing happens.
    pub async fn notify(&mut self, channel: &str, notices: &[String]) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(session) => session.notify(channel, notices).await,
        }
    }

    /// At which stamp a write transaction on the embedded database began: nobody else can commit before it ends.
    pub fn began(&self) -> Option<Stamp> {
        match &self.0 {
            Inner::Sqlite(session) => session.began(),
            Inner::Postgres(_) => None,
        }
    }

    /// Lets the statements from here on take as long as they need: for work that grows with the data. Otherwise a
    /// server that does not answer is [`Error::Unavailable`] after some seconds.
    pub async fn be_patient(&mut self) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(session) => session.be_patient().await,
        }
    }

    /// Makes everything that a write transaction did durable: after this returns, a power cut loses nothing.
    pub async fn commit(self) -> Result<(), Error> {
        self.commit_then(|| ()).await
    }

    /// The same, and does something at once when the attempt is over, however it went: on SQLite on the very thread, so
    /// that between a commit and what has to follow it nobody waits for a busy runtime.
    pub async fn commit_then(self, then: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let committed = match self.0 {
            Inner::Sqlite(session) => session.commit(then).await,
            Inner::Postgres(session) => {
                let committed = session.commit().await;
                then();
                committed
            }
        };
        counted("commit", committed)
    }
}

/// Counts a call to the store by its kind and how it ended.
fn counted<T>(call: &'static str, done: Result<T, Error>) -> Result<T, Error> {
    let outcome = if done.is_ok() { "ok" } else { "error" };
    metrics::counter!("inboxd_store_calls_total", "call" => call, "outcome" => outcome)
        .increment(1);
    done
}
