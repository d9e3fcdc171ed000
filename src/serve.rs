//! The running server: accepts connections, does background work, and stops without losing anything.
//!
//! Invariant: a stop first lets the requests in flight finish, then the updates in line, then closes the store.

use crate::{
    clock,
    config::Config,
    http::{App, Parts, Peer, body_memory::BodyMemory, bounds::Bounds, rates::Rates},
    ops::{Context, changes, contacts, ingest::Ingest, joins, keys::Uses, purge},
    router::router,
    serve_connection::serve_connection,
    worker,
};
use axum::Router;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// How often the log may repeat that connections cannot be accepted.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    sending: JoinHandle<()>,
    storing: JoinHandle<()>,
    following: JoinHandle<()>,
    purging: JoinHandle<()>,
    joining: JoinHandle<()>,
    filling: JoinHandle<()>,
    context: Context,
    uses: Uses,
    shutdown_timeout: Duration,
}

impl Server {
    /// Binds the address of the configuration, and starts to answer.
    pub async fn start(context: Context, config: &Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let uses = Uses::default();
        let metrics = recorder().map_err(io::Error::other)?;
        let (ingest, storing) = Ingest::start(context.clone(), config.limits.queue);
        let (stop, stopped) = watch::channel(false);
        let bounds = Bounds::new(config.limits.sockets_per_address, config.limits.streams);
        let app = App::new(Parts {
            context: context.clone(),
            ingest,
            bounds: bounds.clone(),
            body_memory: BodyMemory::new(config.limits.body_memory),
            rates: Rates::new(&config.limits),
            uses: uses.clone(),
            limits: config.limits.clone(),
            stopped: stopped.clone(),
            metrics: metrics.clone(),
        });
        let following = tokio::spawn(changes::follow(context.clone(), stopped.clone()));
        let purging = tokio::spawn(purge::work(context.clone(), stopped.clone()));
        let joining = tokio::spawn(joins::work(context.clone(), stopped.clone()));
        let filling = tokio::spawn(contacts::fill::work(context.clone(), stopped.clone()));
        let accepting = tokio::spawn(accept(listener, router(app.clone()), app, stopped.clone()));
        let sending = tokio::spawn(worker::send(context.clone(), stopped.clone()));
        let housekeeping = tokio::spawn(worker::keep_house(
            context.clone(),
            uses.clone(),
            move || {
                bounds.tidy();
                metrics.run_upkeep();
            },
            stopped,
        ));
        Ok(Server {
            address,
            stop,
            accepting,
            housekeeping,
            sending,
            storing,
            following,
            purging,
            joining,
            filling,
            context,
            uses,
            shutdown_timeout: config.limits.shutdown_timeout,
        })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server. Requests in flight finish first, within the configured time.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in [
            self.accepting,
            self.housekeeping,
            self.following,
            self.purging,
            self.joining,
            self.filling,
        ] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task of the server failed");
            }
        }
        // What is being sent may take longer than a stop: then nobody knows what came of it.
        let sending = self.sending.abort_handle();
        match timeout(self.shutdown_timeout, self.sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "sending failed"),
            Err(_) => sending.abort(),
        }
        // This ends when nobody can add an update any more. A live-chat socket whose client reads nothing may still exist.
        let storing = self.storing.abort_handle();
        match timeout(self.shutdown_timeout, self.storing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "storing updates failed"),
            Err(_) => storing.abort(),
        }
        worker::log_failure(self.uses.flush_all(&self.context).await);
        self.context.db.close().await;
    }
}

/// The recorder of the process's metrics. All servers of one process share it.
fn recorder() -> Result<PrometheusHandle, String> {
    static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    RECORDER.get_or_init(install_recorder).clone()
}

fn install_recorder() -> Result<PrometheusHandle, String> {
    let seconds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    ];
    let updates = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_updates".into()), &updates)
        })
        .map_err(|error| error.to_string())?
        .install_recorder()
        .map_err(|error| error.to_string())
}

async fn accept(
    listener: TcpListener,
    router: Router,
    app: App,
    mut stopped: watch::Receiver<bool>,
) {
    let all = app.limits.connections;
    let places = Arc::new(Semaphore::new(all));
    // Kept here, so that connections that do not end in time can be aborted.
    let mut connections = JoinSet::new();
    let mut logged_at: Option<Instant> = None;
    loop {
        // Reserves a slot first. A connection without one waits in the kernel's queue, where it costs this process
        // nothing.
        let place = tokio::select! {
            _ = stopped.changed() => break,
            place = places.clone().acquire_owned() => place,
        };
        let (stream, peer) = tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, Peer(peer)),
                Err(error) => {
                    // Most likely there are no file descriptors left. Retrying at once would only waste CPU time.
                    metrics::counter!("inboxd_accept_failures_total").increment(1);
                    if logged_at.is_none_or(|at| at.elapsed() > LOG_AGAIN) {
                        tracing::error!(%error, "connections cannot be accepted");
                        logged_at = Some(clock::stopwatch());
                    }
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(serve_connection(
            stream,
            peer,
            router.clone(),
            app.clone(),
            stopped.clone(),
            place,
        ));
    }
    if let Err(error) = accept_queued(listener, |stream, peer| {
        let place = places.clone().try_acquire_owned().ok()?;
        let (router, app, stopped) = (router.clone(), app.clone(), stopped.clone());
        connections.spawn(serve_connection(
            stream,
            Peer(peer),
            router,
            app,
            stopped,
            place,
        ));
        Some(())
    }) {
        tracing::debug!(%error, "the connections that are left in the queue are closed");
    }
    // Every place is free again once every connection is closed.
    let closed = async {
        let all = places.acquire_many(u32::try_from(all).unwrap_or(u32::MAX));
        let (_all, ()) = tokio::join!(all, app.bounds.streams_closed());
    };
    if timeout(app.limits.shutdown_timeout, closed).await.is_err() {
        tracing::warn!("some requests did not finish in time, and are aborted");
    }
    connections.shutdown().await;
}

/// Accepts the connections that wait in the kernel's queue, and closes the queue. Their clients are already connected, and
/// may have sent a request. If the queue were closed first, they would get no answer.
fn accept_queued(
    listener: TcpListener,
    mut take: impl FnMut(TcpStream, SocketAddr) -> Option<()>,
) -> io::Result<()> {
    // tokio may not know of the newest connections yet, so the kernel is asked directly.
    let listener = listener.into_std()?;
    loop {
        let (stream, peer) = match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            accepted => accepted?,
        };
        stream.set_nonblocking(true)?;
        if take(TcpStream::from_std(stream)?, peer).is_none() {
            return Ok(());
        }
    }
}
