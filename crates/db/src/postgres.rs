//! The PostgreSQL engine: a pool of connections to a server.
//!
//! Invariant: no connection returns to the pool with an open transaction.

mod arrays;
pub(crate) mod listen;

use crate::{Each, Error, Row, Value};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use futures_util::future::{try_join, try_join_all};
use rustls::{ClientConfig, RootCertStore};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;
use tokio_postgres::{
    Config, SimpleQueryMessage,
    config::{Host, SslMode},
    error::SqlState,
    types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections of one process. Each costs the server a few MB, and by default a server accepts 100 in total.
const CONNECTIONS: usize = 16;
/// Write transactions that run at the same time. While one waits for the disk, another can run its statements.
pub(crate) const WRITERS: usize = 2;
/// How long a session waits for a connection before the store counts as unavailable.
const WAIT: Duration = Duration::from_secs(5);
/// How long a statement may take, measured here, before the store counts as unavailable.
const STATEMENT_LIMIT: Duration = Duration::from_secs(8);

/// Settings of every connection.
///
/// Every statement looks up its rows by their keys, so it should always use an index, whatever the statistics say. The
/// statistics of a new table are out of date within seconds, and a plan that scans the whole table would be kept.
/// These settings give every other plan a very high cost. Since PostgreSQL compiles expensive statements to machine code
/// (`jit`), that is turned off, too.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '20s';
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off";
/// Settings of a transaction whose work grows with the amount of data: no time limit, and any plan.
const NO_LIMITS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL enable_hashjoin = on;
    SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on";

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
    /// The configuration of connections outside the pool.
    config: Arc<Config>,
}

impl Postgres {
    pub(crate) fn open(url: &str) -> Result<Self, Error> {
        // Certificates are always verified, so these two modes mean the same as `require`. The driver does not know
        // them.
        let url = &url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        // The parser's own message could quote a part of the URL, which contains a password.
        let mut config: Config = url.parse().map_err(|_| {
            Error::Address("the database URL is not a valid postgres:// address".into())
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(WAIT);
        }
        // With these settings a peer that has vanished is noticed within seconds. The kernel's default is two hours.
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(2);
        config.tcp_user_timeout(Duration::from_secs(15));
        if config.get_application_name().is_none() {
            config.application_name("inboxd");
        }
        // On the same machine TLS adds no protection, and the self-signed certificate of a Linux distribution would not
        // verify.
        if local(&config) && !url.contains("sslmode=") {
            config.ssl_mode(SslMode::Disable);
        }
        let manager = Manager::from_config(
            config.clone(),
            tls()?,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .timeouts(Timeouts {
                wait: Some(WAIT),
                create: Some(WAIT),
                recycle: Some(WAIT),
            })
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    client
                        .batch_execute(SETTINGS)
                        .await
                        .map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| Error::Broken(error.to_string()))?;
        Ok(Postgres {
            pool,
            config: Arc::new(config),
        })
    }

    async fn client(&self) -> Result<Object, Error> {
        self.pool
            .get()
            .await
            .map_err(|error| Error::Unavailable(with_causes(&error)))
    }

    pub(crate) async fn read(&self) -> Result<Session, Error> {
        Ok(Session::new(self.client().await?, false))
    }

    pub(crate) async fn write(&self) -> Result<Session, Error> {
        self.begin("BEGIN").await
    }

    /// Begins a transaction, and runs a query for one number in the same round trip. Returns that number.
    pub(crate) async fn write_with_query(
        &self,
        query: &str,
    ) -> Result<(Session, Option<i64>), Error> {
        let session = Session::new(self.client().await?, true);
        let client = session.client();
        let query = session.answer(client.prepare_cached(query)).await?;
        // The driver sends the requests of one client in the order in which their futures are first polled.
        let both = try_join(client.batch_execute("BEGIN"), client.query_opt(&query, &[]));
        let ((), row) = session.answer(both).await?;
        let answer = row.map(|row| Row::Postgres(&row).get(0)).transpose()?;
        Ok((session, answer))
    }

    pub(crate) async fn snapshot(&self) -> Result<Session, Error> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
    }

    async fn begin(&self, how: &str) -> Result<Session, Error> {
        let session = Session::new(self.client().await?, true);
        session.batch(how).await?;
        Ok(session)
    }

    pub(crate) async fn check(&self, sql: &str) -> Result<(), Error> {
        self.client().await?.prepare(sql).await.map_err(explain)?;
        Ok(())
    }

    pub(crate) async fn check_each(&self, each: &Each) -> Result<(), Error> {
        let many = self.for_many_runs(each).await?;
        self.check(&many).await
    }

    async fn for_many_runs(&self, each: &Each) -> Result<String, Error> {
        let client = self.client().await?;
        let one = client.prepare(each.sql().postgres).await.map_err(explain)?;
        arrays::for_types(each, one.params())
    }

    pub(crate) async fn plan(&self, sql: &str) -> Result<Vec<String>, Error> {
        let session = self.write().await?;
        let statement = session.client().prepare(sql).await.map_err(explain)?;
        let nulls = vec!["NULL"; statement.params().len()].join(", ");
        let arguments = match nulls.as_str() {
            "" => nulls,
            _ => format!("({nulls})"),
        };
        // The end of the transaction takes the setting back. The statement would stay.
        let script = format!(
            "SET LOCAL plan_cache_mode = force_generic_plan; PREPARE planned AS {sql};
             EXPLAIN EXECUTE planned{arguments}; DEALLOCATE planned"
        );
        let answers = session.answer(session.client().simple_query(&script));
        let rows = answers
            .await?
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
        Ok(rows.collect())
    }

    pub(crate) async fn plan_each(&self, each: &Each) -> Result<Vec<String>, Error> {
        let many = self.for_many_runs(each).await?;
        self.plan(&many).await
    }

    /// Computes the statistics of tables that have grown but were never analysed.
    ///
    /// The server does so itself about a minute later. Until then its planner treats the tables as empty, so that every
    /// index looks equally good, and a query can become slower with every row.
    pub(crate) async fn analyze_new_tables(&self) -> Result<(), Error> {
        const UNSEEN: &str =
            "SELECT format('ANALYZE %I.%I', schemaname, relname) FROM pg_stat_user_tables
            WHERE schemaname = current_schema() AND n_mod_since_analyze >= 500
              AND last_analyze IS NULL AND last_autoanalyze IS NULL";
        let mut session = self.write().await?;
        let mut read = |row: &Row<'_>| row.get::<String>(0);
        let unseen = session.query(UNSEEN, &[], &mut read).await?;
        // A database that was just restored from a dump may have much to analyse.
        session.lift_time_limits().await?;
        for analyze in unseen {
            session.batch(&analyze).await?;
        }
        session.commit().await
    }

    /// Clears the cached statements: one that was prepared under the old schema may not fit the new one.
    pub(crate) fn clear_statements(&self) {
        self.pool.manager().statement_caches.clear();
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

fn local(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
    })
}

/// Verifies certificates against the system's roots, even with `sslmode=require`. libpq is less strict.
fn tls() -> Result<MakeRustlsConnect, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for certificate in found.certs {
        // A root that rustls cannot read is not trusted. That is no reason not to start.
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, "a system root certificate was ignored");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Broken(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

pub(crate) struct Session {
    /// `None` only after the session has ended.
    client: Option<Object>,
    /// True while a transaction is open.
    open: bool,
    /// How long a statement may take. `None` for no limit.
    limit: Option<Duration>,
    /// True after a statement took longer. The state of the connection is unknown then, so it is not reused.
    lost: AtomicBool,
}

impl Session {
    fn new(client: Object, open: bool) -> Self {
        Session {
            client: Some(client),
            open,
            limit: Some(STATEMENT_LIMIT),
            lost: AtomicBool::new(false),
        }
    }

    /// Waits for the server's answer up to the session's time limit. A server that accepts connections but does not
    /// answer counts as unavailable.
    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let Some(limit) = self.limit else {
            return asked.await.map_err(explain);
        };
        let answered = timeout(limit, asked).await;
        self.lost.fetch_or(answered.is_err(), Ordering::AcqRel);
        answered.map_err(|_| no_answer())?.map_err(explain)
    }

    pub(crate) async fn lift_time_limits(&mut self) -> Result<(), Error> {
        self.batch(NO_LIMITS).await?;
        self.limit = None;
        Ok(())
    }

    fn client(&self) -> &Object {
        match &self.client {
            Some(client) => client,
            None => unreachable!("a session holds its client until it ends"),
        }
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, Error> {
        let client = self.client();
        let statement = self.answer(client.prepare_cached(sql)).await?;
        self.answer(client.execute(&statement, &as_params(params)))
            .await
    }

    pub(crate) async fn query<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        read: &mut impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let client = self.client();
        let statement = self.answer(client.prepare_cached(sql)).await?;
        let rows = self
            .answer(client.query(&statement, &as_params(params)))
            .await?;
        rows.iter().map(|row| read(&Row::Postgres(row))).collect()
    }

    pub(crate) async fn query_each<T>(
        &self,
        sql: &str,
        runs: &[Vec<Value<'_>>],
        read: &mut impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        let client = self.client();
        let statement = self.answer(client.prepare_cached(sql)).await?;
        let params: Vec<_> = runs.iter().map(|run| as_params(run)).collect();
        // The driver sends the requests of one client in the order in which their futures are first polled, without
        // waiting for the answers in between.
        let asked = params.iter().map(|run| client.query(&statement, run));
        let answers = self.answer(try_join_all(asked)).await?;
        answers
            .iter()
            .map(|rows| rows.iter().map(|row| read(&Row::Postgres(row))).collect())
            .collect()
    }

    pub(crate) async fn notify(&self, channel: &str, notices: &[String]) -> Result<(), Error> {
        const NOTIFY: &str = "SELECT pg_notify($1, $2)";
        let runs: Vec<_> = notices
            .iter()
            .map(|notice| vec![channel.into(), notice.into()])
            .collect();
        self.query_each(NOTIFY, &runs, &mut |_| Ok(())).await?;
        Ok(())
    }

    pub(crate) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.answer(self.client().batch_execute(sql)).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        if self.open {
            self.batch("COMMIT").await?;
            self.open = false;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.lost.get_mut() {
            self.client.take().map(Object::take);
            return;
        }
        if self.open
            && let Some(client) = self.client.take()
        {
            let Ok(runtime) = tokio::runtime::Handle::try_current() else {
                drop(Object::take(client));
                return;
            };
            runtime.spawn(async move {
                if let Err(error) = client.batch_execute("ROLLBACK").await {
                    tracing::debug!(
                        error = with_causes(&error),
                        "a transaction could not be rolled back, so its connection is closed"
                    );
                    drop(Object::take(client));
                }
            });
        }
    }
}

fn as_params<'a>(params: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect()
}

fn no_answer() -> Error {
    Error::Unavailable("the PostgreSQL server does not answer".into())
}

/// Converts an error of the driver. The codes are listed at
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn explain(error: tokio_postgres::Error) -> Error {
    let text = with_causes(&error);
    let Some(code) = error.code() else {
        // The server sent no answer: the connection failed, unless a parameter could not be encoded.
        return match std::error::Error::source(&error) {
            Some(cause) if cause.is::<std::io::Error>() => Error::Unavailable(text),
            _ if error.is_closed() => Error::Unavailable(text),
            _ => Error::Broken(text),
        };
    };
    match &code.code()[..2] {
        _ if *code == SqlState::UNIQUE_VIOLATION => Error::Taken(text),
        _ if *code == SqlState::T_R_DEADLOCK_DETECTED => Error::Deadlock(text),
        // Classes of errors that may pass: connection, serialization, resources (such as a full disk), intervention by
        // an operator, system, locks, and a server that is read-only.
        "08" | "40" | "53" | "57" | "58" | "25" | "55" => Error::Unavailable(text),
        // Invalid data, and violated constraints.
        "22" | "23" => Error::Refused(text),
        _ => Error::Broken(text),
    }
}

/// The error's text with its causes. The driver's own text is only "db error".
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some errors repeat the text of their cause.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
