//! A conversation with the database, whichever engine it runs on.
//!
//! What a statement means is its caller's; how it runs is the engine's. This file only leads from the one to the other.
//!
//! Invariant: how a write transaction went is known to [`Writes`], whichever way it ended.

use crate::{Error, Row, Sql, Stamp, Value, counted, postgres, sqlite, writes::Writes};
use std::sync::Arc;

/// Bytes that a notice must stay below. <https://www.postgresql.org/docs/current/sql-notify.html>
pub const NOTICE: usize = 8000;

/// A conversation with the database: a read, or a transaction that takes effect with [`Session::commit`].
pub struct Session {
    pub(crate) inner: Inner,
    /// Of a write transaction: whom to tell how it went.
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

    /// Takes note of how a statement went.
    fn noted<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        match &self.writes {
            Some(writes) => writes.noted(done),
            None => done,
        }
    }

    /// Runs a statement. Returns how many rows it changed.
    pub async fn execute(&mut self, sql: &Sql, params: &[Value<'_>]) -> Result<u64, Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(session) => session.execute(sql.sqlite, params),
            Inner::Postgres(session) => session.execute(sql.postgres, params).await,
        };
        self.noted(done)
    }

    /// Runs a statement and reads each row that it gives.
    pub async fn query<T>(
        &mut self,
        sql: &Sql,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(session) => session.query(sql.sqlite, params, &mut read),
            Inner::Postgres(session) => session.query(sql.postgres, params, &mut read).await,
        };
        self.noted(done)
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
        let done = match &mut self.inner {
            Inner::Sqlite(session) => runs
                .iter()
                .map(|params| session.query(sql.sqlite, params, &mut read))
                .collect(),
            Inner::Postgres(session) => session.query_each(sql.postgres, runs, &mut read).await,
        };
        self.noted(done)
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
        let done = match &mut self.inner {
            Inner::Sqlite(_) => self.query_each(sql, runs, read).await,
            Inner::Postgres(session) => session.find_each(sql.postgres, runs, &mut read).await,
        };
        self.noted(done)
    }

    /// The same for an `INSERT` of one row of `VALUES`. Returns the rows that all runs gave back, in order.
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
            Inner::Postgres(session) => session.insert_each(sql.postgres, runs, &mut read).await,
        };
        self.noted(done)
    }

    /// The same for an `UPDATE` of one row, another one in each run. In which order they are locked is the engine's choice.
    pub async fn update_each(&mut self, sql: &Sql, runs: &[Vec<Value<'_>>]) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => self.query_each(sql, runs, |_| Ok(())).await.map(|_| ()),
            Inner::Postgres(session) => session.update_each(sql.postgres, runs).await,
        };
        self.noted(done)
    }

    /// Runs a text of many statements, without parameters: for schemas.
    pub async fn batch(&mut self, sql: &Sql) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(session) => session.batch(sql.sqlite),
            Inner::Postgres(session) => session.batch(sql.postgres).await,
        };
        self.noted(done)
    }

    /// Tells the planner of the embedded database what the tables are made for. Returns whether that is new to it. The
    /// server gathers its statistics itself: see `Database::tend`.
    pub(crate) fn set_statistics(&mut self) -> Result<bool, Error> {
        match &mut self.inner {
            Inner::Sqlite(session) => session.set_statistics(),
            Inner::Postgres(_) => Ok(false),
        }
    }

    /// Has every [`Listener`] of this channel hear these texts, in order, once this transaction is committed, and not
    /// otherwise. Each must be shorter than [`NOTICE`] bytes. On SQLite nobody listens, and nothing happens.
    pub async fn notify(&mut self, channel: &str, notices: &[String]) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(session) => session.notify(channel, notices).await,
        };
        self.noted(done)
    }

    /// At which stamp a write transaction on the embedded database began: nobody else can commit before it ends.
    pub fn began(&self) -> Option<Stamp> {
        match &self.inner {
            Inner::Sqlite(session) => session.began(),
            Inner::Postgres(_) => None,
        }
    }

    /// Lets the statements from here on take as long as they need: for work that grows with the data. Otherwise a
    /// server that does not answer is [`Error::Unavailable`] after some seconds.
    pub async fn be_patient(&mut self) -> Result<(), Error> {
        let done = match &mut self.inner {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(session) => session.be_patient().await,
        };
        self.noted(done)
    }

    /// Makes everything that a write transaction did durable: after this returns, a power cut loses nothing.
    pub async fn commit(self) -> Result<(), Error> {
        self.commit_then(|| ()).await
    }

    /// The same, and does something at once when the attempt is over, however it went: on SQLite on the very thread, so
    /// that between a commit and what has to follow it nobody waits for a busy runtime.
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
                Some(writes) => writes.committed(committed),
                None => committed,
            },
        )
    }
}
