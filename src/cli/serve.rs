//! The command `inboxd serve`.

use super::{
    Global,
    failure::Failure,
    open_files,
    output::say,
    settings::{ProviderFlags, duration, network, public_url, send_patience, whole, within},
};
use crate::{
    clock::Clock,
    config::{CACHE, Config, Limits},
    demo::{self, DemoError, StandIns},
    domain::Account,
    id::ConversationId,
    ops::{self, SecretKey, accounts, keys::MOST_REQUESTS},
    serve::Server,
};
use clap::Args;
use db::{Address, Missing};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the server until SIGTERM or SIGINT. Requests in flight are finished first
#[derive(Args)]
pub(super) struct Serve {
    /// Where to listen. Port 0 picks a free port
    #[arg(
        long,
        env = "INBOXD_LISTEN",
        default_value = "127.0.0.1:8080",
        value_parser = socket_address,
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
    /// The URL under which providers and browsers reach this server, used in webhook URLs. By default the address that
    /// it listens on
    #[arg(long, env = "INBOXD_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    #[command(flatten)]
    providers: ProviderFlags,
    /// How long to keep trying while a message cannot be sent
    #[arg(long, env = "INBOXD_SEND_PATIENCE", default_value = "24h", value_parser = send_patience, value_name = "DURATION")]
    send_patience: Duration,
    /// Run a demonstration on a temporary database, with four inboxes, a few messages, and stand-ins that play the providers
    #[arg(long, conflicts_with_all = ["telegram_api_url", "graph_api_url", "instagram_api_url"])]
    demo: bool,
    /// Size of the cache for API keys, answers and app secrets, in bytes; 0 turns it off
    #[arg(long, env = "INBOXD_CACHE_BYTES", default_value_t = CACHE, value_parser = whole::<u64>, value_name = "N")]
    cache_bytes: u64,
    /// Connections that may be open at the same time
    #[arg(long, env = "INBOXD_MAX_CONNECTIONS", default_value_t = Limits::default().connections, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_connections: usize,
    /// Streams of events and live-chat sockets open at once, beside the connections; more are refused
    #[arg(long, env = "INBOXD_MAX_STREAMS", default_value_t = Limits::default().streams, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_streams: usize,
    /// Bytes of a request's URL and headers
    #[arg(long, env = "INBOXD_MAX_HEADER_BYTES", default_value_t = Limits::default().head, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_header_bytes: usize,
    /// Longest body of an API request, in bytes
    #[arg(long, env = "INBOXD_MAX_BODY_BYTES", default_value_t = Limits::default().body, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_body_bytes: usize,
    /// Bytes of an update that a provider sends
    #[arg(long, env = "INBOXD_MAX_UPDATE_BYTES", default_value_t = Limits::default().update, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_update_bytes: usize,
    /// The former name of `--max-update-bytes`, for one version
    #[arg(long, env = "INBOXD_MAX_DELIVERY_BYTES", value_parser = whole::<usize>, hide = true)]
    max_delivery_bytes: Option<usize>,
    /// Bytes of memory for requests' bodies and what is read from them; one address gets an eighth of it
    #[arg(long, env = "INBOXD_MAX_BODY_MEMORY", default_value_t = Limits::default().body_memory, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_body_memory: usize,
    /// Updates that may wait for the store; more are told to come again
    #[arg(long, env = "INBOXD_MAX_QUEUE", default_value_t = Limits::default().queue, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_queue: usize,
    /// Live-chat sockets that one client address may have open
    #[arg(long, env = "INBOXD_MAX_SOCKETS_PER_ADDRESS", default_value_t = Limits::default().sockets_per_address, value_parser = whole::<usize>, value_name = "N", help_heading = "Limits")]
    max_sockets_per_address: usize,
    /// Requests per minute of an API key that has no limit of its own; 0 for no limit
    #[arg(long, env = "INBOXD_RATE_LIMIT", default_value_t = Limits::default().rate_limit, value_parser = |text: &str| within(text, 0, MOST_REQUESTS), value_name = "N", help_heading = "Limits")]
    rate_limit: i64,
    /// Wrong API keys per minute from one client address; 0 for no limit
    #[arg(long, env = "INBOXD_AUTH_FAILURES", default_value_t = Limits::default().auth_failures, value_parser = |text: &str| within(text, 0, MOST_REQUESTS), value_name = "N", help_heading = "Limits")]
    auth_failures: i64,
    /// Proxies whose X-Forwarded-For is trusted: addresses and ranges, for example 127.0.0.1,10.0.0.0/8. By default
    /// none
    #[arg(long, env = "INBOXD_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network, value_name = "ADDRESSES", help_heading = "Limits")]
    trusted_proxies: Vec<IpNet>,
    /// How long the headers of a request may take to arrive
    #[arg(long, env = "INBOXD_HEADER_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION", help_heading = "Limits")]
    header_timeout: i64,
    /// How long the body of a request may take to arrive
    #[arg(long, env = "INBOXD_BODY_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "DURATION", help_heading = "Limits")]
    body_timeout: i64,
    /// How long a connection may be idle, or a client read nothing of its answer
    #[arg(long, env = "INBOXD_IDLE_TIMEOUT", default_value = "75s", value_parser = duration, value_name = "DURATION", help_heading = "Limits")]
    idle_timeout: i64,
    /// How long requests in flight may take to finish when the server stops
    #[arg(long, env = "INBOXD_SHUTDOWN_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "DURATION", help_heading = "Limits")]
    shutdown_timeout: i64,
}

impl Serve {
    pub(super) fn is_demo(&self) -> bool {
        self.demo
    }

    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        // From here on a signal stops the server, even while it is starting.
        let mut stop = Stop::listen()?;
        if self.demo {
            let folder = TemporaryFolder::make()?;
            let address = Address::Sqlite(folder.0.join("demo.db"));
            return self
                .serve(address, SecretKey::BesideDatabase, global.json, &mut stop)
                .await;
        }
        self.serve(
            global.address()?,
            global.secret_key()?,
            global.json,
            &mut stop,
        )
        .await
    }

    async fn serve(
        &self,
        address: Address,
        secret_key: SecretKey,
        json: bool,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        let mut config = self.config()?;
        let limits = &mut config.limits;
        (limits.connections, limits.streams) =
            open_files::make_room(limits.connections, limits.streams);
        let clock = Clock::system();
        let mut context = ops::open(
            &address,
            Missing::Create,
            &secret_key,
            &config.public_url,
            clock,
        )
        .await?;
        context.set_cache(config.cache);
        let stand_ins = match self.demo {
            true => Some(StandIns::bind(&context.clock).await.map_err(demo_failed)?),
            false => None,
        };
        context.set_providers(match &stand_ins {
            Some(stand_ins) => stand_ins.config(),
            None => self.providers.config(),
        });
        context.send_patience = self.send_patience;
        let server = Server::start(context.clone(), &config)
            .await
            .map_err(|error| {
                Failure::Failed(format!(
                    "cannot listen on {}: {error}. Listen elsewhere with --listen ADDRESS:PORT",
                    config.listen
                ))
            })?;
        let listening = server.address();
        let name = if self.demo { "Demo" } else { "My business" };
        let lost = accounts::first_key_is_unseen(&context).await?;
        if lost {
            tracing::warn!(
                "the first API key was created, but was never shown: create another with \
                 `inboxd key create --name NAME --scope read,write,send`"
            );
        }
        let first = accounts::create_first(&context, name).await?;
        // They play on until the server has stopped: what is under way then still gets its answer.
        let demo = match (&first, stand_ins) {
            (Some((account, _)), Some(stand_ins)) => {
                let started = demo::start(&context, &account.id, reachable(listening), stand_ins);
                Some(started.await.map_err(demo_failed)?)
            }
            _ => None,
        };
        tracing::info!(store = ops::engine_name(&context), %listening, "ready");
        let url = format!("http://{}", reachable(listening));
        if json {
            let first = first.as_ref().map(|(account, key)| {
                json!({"id": account.id, "name": account.name, "key": key.expose_secret()})
            });
            say(&json!({"url": url, "first_account": first}).to_string())?;
        } else {
            if let Some((account, key)) = &first {
                let path = match &address {
                    Address::Sqlite(path) if self.demo => Some(path.as_path()),
                    _ => None,
                };
                print_first_account(account, key, &url, path)?;
                if let (Some(path), Some((_, conversation))) = (path, &demo) {
                    print_demo(path, &url, key, conversation)?;
                }
            }
            say(&format!("inboxd is ready at {url}"))?;
        }
        // If the process ends before this line, the next start warns that the key was never shown.
        if first.is_some() || lost {
            accounts::first_key_was_shown(&context).await?;
        }
        let ended = tokio::select! {
            () = stop.wait() => Ok(()),
            newer = context.db.outdated() => Err(newer.to_string()),
        };
        match &ended {
            Ok(()) => tracing::info!("stopping"),
            Err(reason) => {
                tracing::error!(reason, "stopping: a newer inboxd has migrated the database")
            }
        }
        server.stop().await;
        drop(demo);
        ended.map_err(Failure::Failed)
    }

    /// By its old name, too, unless the new one says something of its own.
    fn max_update_bytes(&self) -> usize {
        match self.max_delivery_bytes {
            Some(bytes) if self.max_update_bytes == Limits::default().update => bytes,
            _ => self.max_update_bytes,
        }
    }

    fn config(&self) -> Result<Config, Failure> {
        let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
        for (flag, value, least) in [
            ("max-connections", self.max_connections, 1),
            ("max-streams", self.max_streams, 1),
            ("max-header-bytes", self.max_header_bytes, 8192),
            ("max-body-bytes", self.max_body_bytes, 1024),
            ("max-update-bytes", self.max_update_bytes(), 1024),
            ("max-queue", self.max_queue, 1),
            ("max-sockets-per-address", self.max_sockets_per_address, 1),
        ] {
            if value < least || value > 1 << 30 {
                return Err(Failure::Usage(format!(
                    "--{flag} must be from {least} to {}",
                    1 << 30
                )));
            }
        }
        let largest = self.max_body_bytes.max(self.max_update_bytes());
        if self.max_body_memory < 2 * largest {
            return Err(Failure::Usage(format!(
                "--max-body-memory must be at least twice the largest body: {}",
                2 * largest
            )));
        }
        let own_url = || format!("http://{}", reachable(self.listen));
        Ok(Config {
            listen: self.listen,
            cache: self.cache_bytes,
            public_url: self.public_url.clone().unwrap_or_else(own_url),
            limits: Limits {
                connections: self.max_connections,
                streams: self.max_streams,
                head: self.max_header_bytes,
                body: self.max_body_bytes,
                update: self.max_update_bytes(),
                body_memory: self.max_body_memory,
                head_timeout: seconds(self.header_timeout),
                body_timeout: seconds(self.body_timeout),
                idle_timeout: seconds(self.idle_timeout),
                shutdown_timeout: seconds(self.shutdown_timeout),
                sockets_per_address: self.max_sockets_per_address,
                rate_limit: self.rate_limit,
                auth_failures: self.auth_failures,
                trusted_proxies: self.trusted_proxies.clone(),
                queue: self.max_queue,
            },
        })
    }
}

fn demo_failed(error: impl Into<DemoError>) -> Failure {
    Failure::Failed(error.into().to_string())
}

/// Prints the first account and its key, and how to use it.
fn print_first_account(
    account: &Account,
    key: &SecretString,
    url: &str,
    demo: Option<&Path>,
) -> Result<(), Failure> {
    let demo = demo.map(|path| format!(" --database-url sqlite:{}", path.display()));
    say(&format!(
        "Account {} ({}) and its first API key, shown this once:\n\n  {key}\n\nTry it:\n\n  \
         curl -X GET \"{url}/inboxes\" -H \"Authorization: Bearer {key}\"\n\n\
         If you lose the key, create another: inboxd key create --name NAME --scope read,write,send{}\n\
         Documentation: {url}/docs\n",
        account.id,
        account.name,
        demo.unwrap_or_default(),
        key = key.expose_secret(),
    ))
}

/// Prints what the demonstration is, and how to use it.
fn print_demo(
    database: &Path,
    url: &str,
    key: &SecretString,
    conversation: &ConversationId,
) -> Result<(), Failure> {
    let key = key.expose_secret();
    say(&format!(
        "Send a message, and look at its conversation until it is read and answered, some seconds later:\n\n  \
         curl \"{url}/messages\" -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \
         -d '{{\"conversation_id\":\"{conversation}\",\"type\":\"text\",\"content\":{{\"text\":\"Yes, it is.\"}}}}'\n  \
         curl \"{url}/messages?conversation_id={conversation}&limit=2\" -H \"Authorization: Bearer {key}\"\n\n\
         This is a demonstration: small stand-ins in this process play WhatsApp, Instagram and Telegram. Nothing leaves this \
         machine, and the answers are theirs.\n\
         Its database is temporary, and is deleted when the server stops. To use commands with it:\n\n  \
         inboxd inbox list --database-url sqlite:{}\n\n\
         Only failed requests are logged. To log all of them, use --log info.\n",
        database.display()
    ))
}

/// Reads an address to listen on.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an IP address and a port, as in 127.0.0.1:8080 or [::]:8080".to_owned()
    })
}

/// An address that a client on this machine can use: "all addresses" is none.
pub(super) fn reachable(listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listening.port())
        }
        _ => listening,
    }
}

/// The signals that stop the server.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("signals: {error}"));
        Ok(Stop {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A temporary folder, which is deleted when this is dropped.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> Result<Self, Failure> {
        let name = format!("inboxd-demo-{}", Clock::system().uuid().simple());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|error| failed(&path, &error))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the temporary database could not be deleted");
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
