//! The server engine: PostgreSQL through a pool of connections.
//!
//! Invariant: no connection goes back to the pool with a transaction open on it.

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

/// Connections of one process. Each costs the server a few MB, and its default limit is 100 for all.
const CONNECTIONS: usize = 16;
/// Write transactions that go on beside each other: while one waits for the disk, another can be filled.
pub(crate) const WRITERS: usize = 2;
/// How long a request waits for a connection before the store counts as not available.
const WAIT: Duration = Duration::from_secs(5);
/// How long a statement may take, seen from here, before the store counts as not available.
const PATIENCE: Duration = Duration::from_secs(8);

/// For each connection. What a statement reads is named by its keys, and is found along an index, whatever the statistics
/// say: those of a young table are old after a second, and a plan that reads the whole of it would be kept. Such a detour
/// counts as very dear, which is what has statements compiled to machine code first.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '20s';
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off";
/// For a transaction whose work grows with the data: as long as it takes, and in whichever way.
const PATIENT: &str = "SET LOCAL statement_timeout = 0; SET LOCAL enable_hashjoin = on;
    SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on";

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
    /// For connections outside the pool.
    config: Arc<Config>,
}

impl Postgres {
    pub(crate) fn open(url: &str) -> Result<Self, Error> {
        // Certificates are verified in any case: these are other words for `require`, which the driver does not know.
        let url = &url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        // The parser's own message could repeat a piece of the URL, which holds a password.
        let mut config: Config = url.parse().map_err(|_| {
            Error::Address("the database URL is not a valid postgres:// address".into())
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(WAIT);
        }
        // A peer that vanished without a word is noticed within seconds, not after the kernel's two hours.
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(2);
        config.tcp_user_timeout(Duration::from_secs(15));
        if config.get_application_name().is_none() {
            config.application_name("inboxd");
        }
        // On the same machine TLS protects nothing, and a distribution's self-signed certificate would not verify.
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

    /// Begins with a question that has a number for an answer, in the same round trip.
    pub(crate) async fn write_asking(
        &self,
        question: &str,
    ) -> Result<(Session, Option<i64>), Error> {
        let session = Session::new(self.client().await?, true);
        let client = session.client();
        let question = session.answer(client.prepare_cached(question)).await?;
        // Futures of one client are sent in the order in which they are first polled.
        let both = try_join(
            client.batch_execute("BEGIN"),
            client.query_opt(&question, &[]),
        );
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

    /// Has statistics made of tables that have grown and that the server has not looked at yet.
    ///
    /// It does so by itself a minute later. Until then it plans as if they were empty, where any index is as good
    /// as any other, and each look-up can take longer the more there is.
    pub(crate) async fn look_at_new_tables(&self) -> Result<(), Error> {
        const UNSEEN: &str =
            "SELECT format('ANALYZE %I.%I', schemaname, relname) FROM pg_stat_user_tables
            WHERE schemaname = current_schema() AND n_mod_since_analyze >= 500
              AND last_analyze IS NULL AND last_autoanalyze IS NULL";
        let mut session = self.write().await?;
        let mut read = |row: &Row<'_>| row.get::<String>(0);
        let unseen = session.query(UNSEEN, &[], &mut read).await?;
        // Of a dump that was restored, there may be much to look at.
        session.be_patient().await?;
        for analyze in unseen {
            session.batch(&analyze).await?;
        }
        session.commit().await
    }

    /// A statement prepared under the old schema may not fit the new one.
    pub(crate) fn forget_statements(&self) {
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

/// Certificates are checked against the system's roots, also for `sslmode=require`: stricter than libpq.
fn tls() -> Result<MakeRustlsConnect, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for certificate in found.certs {
        // A root that rustls cannot read is one that it will not trust: no reason to refuse to start.
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, "a system root certificate was passed over");
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
    /// Gone only after a commit or a drop.
    client: Option<Object>,
    /// Whether a transaction is open.
    open: bool,
    /// How long the server may take for an answer.
    patience: Option<Duration>,
    /// Whether it took longer: nobody knows then what the connection is doing.
    lost: AtomicBool,
}

impl Session {
    fn new(client: Object, open: bool) -> Self {
        Session {
            client: Some(client),
            open,
            patience: Some(PATIENCE),
            lost: AtomicBool::new(false),
        }
    }

    /// Waits for the server, but not for ever: one that accepts and does not answer is as good as away.
    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let Some(patience) = self.patience else {
            return asked.await.map_err(explain);
        };
        match timeout(patience, asked).await {
            Ok(answered) => answered.map_err(explain),
            Err(_) => {
                self.lost.store(true, Ordering::Release);
                Err(Error::Unavailable(
                    "the PostgreSQL server does not answer".into(),
                ))
            }
        }
    }

    pub(crate) async fn be_patient(&mut self) -> Result<(), Error> {
        self.batch(PATIENT).await?;
        self.patience = None;
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
        // Futures of one client are sent in the order in which they are first polled, without waiting for each other.
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
                        "a transaction ends with its connection"
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

/// Says which kind of failure it was. Classes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn explain(error: tokio_postgres::Error) -> Error {
    let text = with_causes(&error);
    let Some(code) = error.code() else {
        // No answer from the server: the connection is what failed, unless a parameter could not be written.
        return match std::error::Error::source(&error) {
            Some(cause) if cause.is::<std::io::Error>() => Error::Unavailable(text),
            None if error.is_closed() => Error::Unavailable(text),
            _ if error.is_closed() => Error::Unavailable(text),
            _ => Error::Broken(text),
        };
    };
    if *code == SqlState::UNIQUE_VIOLATION {
        return Error::Taken(text);
    }
    match &code.code()[..2] {
        // Connection, serialization, resources (a full disk), intervention, system; a read-only standby.
        "08" | "40" | "53" | "57" | "58" | "25" | "55" => Error::Unavailable(text),
        // Data exceptions and broken constraints.
        "22" | "23" => Error::Refused(text),
        _ => Error::Broken(text),
    }
}

/// The driver's own text stops at "db error": the cause is in its sources.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some layers repeat the next one's words.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
