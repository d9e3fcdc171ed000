//! A session: one connection to the database, on either engine.
//!
//! This file only passes calls on to the engine. Each engine runs statements in its own module, and their meaning
//! belongs to the caller.
//!
//! Invariant: [`Writes`] learns the outcome of every write transaction.

use crate::{Error, Row, Sql, Stamp, Value, counted, postgres, sqlite, writes::Writes};
use std::sync::Arc;

/// The length that a notification's text must stay below, in bytes.
/// <https://www.postgresql.org/docs/current/sql-notify.html>
pub const MAX_NOTICE: usize = 8000;

/// A connection to the database, for reads or for one transaction. A write transaction takes effect with
/// [`Session::commit`].
pub struct Session {
    pub(crate) inner: Inner,
    /// Records the outcome of a write transaction. `None` for a session that only reads.
    pub(crate) writes: Option<Arc<Writes>>,
}

pub(crate) enum Inner {
    Sqlite(sqlite::Session),
    Postgres(postgres::Session),
}

impl Session {
    pub(crate) fn reading(inner: Inner) -> Self {
        Session {
            inner,
            writes: None,
        }
    }

    /// Records the outcome of a statement.
    fn record<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        match &self.writes {
            Some(writes) => writes.record(done),
            None => done,
        }
    }

    /// Runs a statement. Returns how many rows it changed.
    pub async fn execute(&mut self, sql: &Sql, params: &[Value<'_>]) -> Result<u64, Error> {
        asks(1);
        let done = match &mut self.inner {
            Inner::Sqlite(session) => session.execute(sql.sqlite, params),
            Inner::Postgres(session) => session.execute(sql.postgres, params).await,
        };
        self.record(done)
    }

    /// Runs a statement, and reads each row of its result.
    pub async fn query<T>(
        &mut self,
        sql: &Sql,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        asks(1);
        let done = match &mut self.inner {
            Inner::Sqlite(session) => session.query(sql.sqlite, params, &mut read),
            Inner::Postgres(session) => session.query(sql.postgres, params, &mut read).await,
        };
        self.record(done)
    }

    /// Runs a statement whose result has at most one row.
    pub async fn query_opt<T>(
        &mut self,
        sql: &Sql,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.query(sql, params, read).await?.pop())
    }

    /// Runs one statement many times, in order, and reads the rows of each run. On PostgreSQL the runs share one round
    /// trip.
    pub async fn query_each<T>(
        &mut self,
        sql: &Sql,
        runs: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        asks(runs.len());
        let done = match &mut self.inner {
            Inner::Sqlite(session) => runs
                .iter()
                .map(|params| session.query(sql.sqlite, params, &mut read))
                .collect(),
            Inner::Postgres(session) => session.query_each(sql.postgres, runs, &mut read).await,
        };
        self.record(done)
    }

    /// Runs a query many times, in order, and reads the rows of each run. Rows are locked in that order, too.
    ///
    /// On PostgreSQL the runs become one statement, which costs far less than one statement for each. So the query's
    /// columns must have distinct names, and its parameters must be texts or integers.
    pub async fn find_each<T>(
        &mut self,
        sql: &Sql,
        runs: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => self.query_each(sql, runs, read).await,
            Inner::Postgres(session) => {
                asks(1);
                session.find_each(sql.postgres, runs, &mut read).await
            }
        };
        self.record(done)
    }

    /// Runs an `INSERT` of one row of `VALUES` many times, under the same rules as [`Session::find_each`]. Returns the
    /// rows that all runs returned, in order.
    pub async fn insert_each<T>(
        &mut self,
        sql: &Sql,
        runs: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => {
                let given = self.query_each(sql, runs, read).await?;
                Ok(given.into_iter().flatten().collect())
            }
            Inner::Postgres(session) => {
                asks(1);
                session.insert_each(sql.postgres, runs, &mut read).await
            }
        };
        self.record(done)
    }

    /// Runs an `UPDATE` of one row many times, under the same rules as [`Session::find_each`]. Each run must update a
    /// different row. The engine chooses the order in which the rows are locked.
    pub async fn update_each(&mut self, sql: &Sql, runs: &[Vec<Value<'_>>]) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => self.query_each(sql, runs, |_| Ok(())).await.map(|_| ()),
            Inner::Postgres(session) => {
                asks(1);
                session.update_each(sql.postgres, runs).await
            }
        };
        self.record(done)
    }

    /// Runs a text of several statements, without parameters. Used for migrations.
    pub async fn batch(&mut self, sql: &Sql) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(session) => session.batch(sql.sqlite),
            Inner::Postgres(session) => session.batch(sql.postgres).await,
        };
        self.record(done)
    }

    /// Writes the statistics for SQLite's planner, if they are missing. Returns whether they were. PostgreSQL collects its
    /// statistics itself: see `Database::maintain`.
    pub(crate) fn set_statistics(&mut self) -> Result<bool, Error> {
        match &mut self.inner {
            Inner::Sqlite(session) => session.set_statistics(),
            Inner::Postgres(_) => Ok(false),
        }
    }

    /// Sends these texts to every `Listener` of this channel, in order, when this transaction is committed. Each must be
    /// shorter than [`MAX_NOTICE`] bytes. On SQLite this does nothing, since there are no listeners.
    pub async fn notify(&mut self, channel: &str, notices: &[String]) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(session) => session.notify(channel, notices).await,
        };
        self.record(done)
    }

    /// The database's stamp when this write transaction began. Nobody else can commit before it ends. `None` on
    /// PostgreSQL.
    pub fn began(&self) -> Option<Stamp> {
        match &self.inner {
            Inner::Sqlite(session) => session.began(),
            Inner::Postgres(_) => None,
        }
    }

    /// Removes the time limits of the statements that follow, for work that grows with the amount of data. Without
    /// this, a PostgreSQL server that does not answer for some seconds is [`Error::Unavailable`].
    pub async fn lift_time_limits(&mut self) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(session) => session.lift_time_limits().await,
        };
        self.record(done)
    }

    /// Commits. After this has returned, the changes survive a power cut.
    pub async fn commit(self) -> Result<(), Error> {
        self.commit_then(|| ()).await
    }

    /// Commits, and calls `then` as soon as the attempt is over, whether it succeeded or failed. On SQLite `then` runs
    /// on the thread that committed, so that it does not have to wait for a busy runtime.
    pub async fn commit_then(self, then: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let committed = match self.inner {
            Inner::Sqlite(session) => session.commit(then).await,
            Inner::Postgres(session) => {
                let committed = session.commit().await;
                then();
                committed
            }
        };
        counted(
            "commit",
            match self.writes {
                Some(writes) => writes.record_commit(committed),
                None => committed,
            },
        )
    }
}

/// Counts statements that an engine is about to run.
fn asks(statements: usize) {
    metrics::counter!("inboxd_store_statements_total").increment(statements as u64);
}
