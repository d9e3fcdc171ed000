//! The running server: accepting connections, background work, and a stop that loses nothing.
//!
//! Invariant: a stop first lets the requests in flight finish, then the updates in line, then closes the store.

use crate::{
    clock,
    config::Config,
    converse::converse,
    error::Error,
    http::{App, Parts, Peer, body_memory::BodyMemory, bounds::Bounds, rates::Rates},
    ops::{Context, changes, ingest::Ingest, keys::Uses, purge, quarantine},
    router::router,
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
    task::JoinHandle,
    time::{interval, sleep, timeout},
};

/// How often uses of keys go to the store, and metrics are tidied.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// How often the log says again that no connection can be accepted.
const REPEATED: Duration = Duration::from_secs(60);

/// A server that answers.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    storing: JoinHandle<()>,
    following: JoinHandle<()>,
    purging: JoinHandle<()>,
    context: Context,
    uses: Uses,
}

impl Server {
    /// Starts to answer.
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
        let accepting = tokio::spawn(accept(listener, router(app.clone()), app, stopped.clone()));
        let housekeeping = tokio::spawn(keep_house(
            context.clone(),
            uses.clone(),
            bounds,
            metrics,
            stopped,
        ));
        Ok(Server {
            address,
            stop,
            accepting,
            housekeeping,
            storing,
            following,
            purging,
            context,
            uses,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it. Requests in flight finish first.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in [
            self.accepting,
            self.housekeeping,
            self.storing,
            self.following,
            self.purging,
        ] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the server failed");
            }
        }
        noted(self.uses.flush_all(&self.context).await);
        self.context.db.close().await;
    }
}

/// The process's metrics. There is one recorder a process, however many servers.
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

async fn keep_house(
    context: Context,
    uses: Uses,
    bounds: Bounds,
    recorder: PrometheusHandle,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tick = interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = tick.tick() => {}
        }
        noted(uses.flush(&context).await);
        match quarantine::count(&context).await {
            Ok(count) => metrics::gauge!("inboxd_quarantined_updates").set(count as f64),
            Err(error) => tracing::warn!(cause = error.cause(), "quarantine cannot be counted"),
        }
        if let Err(error) = context.db.tend().await {
            tracing::warn!(%error, "the store could not be tended");
        }
        bounds.tidy();
        recorder.run_upkeep();
    }
}

fn noted(flushed: Result<(), Error>) {
    match flushed {
        Ok(()) => {}
        Err(Error::Unavailable(cause)) => {
            tracing::warn!(cause, "uses of keys are noted later");
        }
        Err(error) => tracing::error!(cause = error.cause(), "uses of keys cannot be noted"),
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    app: App,
    mut stopped: watch::Receiver<bool>,
) {
    let all = app.limits.connections;
    let places = Arc::new(Semaphore::new(all));
    let mut said: Option<Instant> = None;
    loop {
        // A place first: who finds none waits in the kernel's queue, and costs nothing here.
        let place = tokio::select! {
            _ = stopped.changed() => break,
            place = places.clone().acquire_owned() => place,
        };
        let (stream, peer) = tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, Peer(peer)),
                Err(error) => {
                    // Out of file handles, most likely. Trying again at once would only burn CPU.
                    metrics::counter!("inboxd_accept_failures_total").increment(1);
                    if said.is_none_or(|at| at.elapsed() > REPEATED) {
                        tracing::error!(%error, "connections cannot be accepted");
                        said = Some(clock::stopwatch());
                    }
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        tokio::spawn(converse(
            stream,
            peer,
            router.clone(),
            app.clone(),
            stopped.clone(),
            place,
        ));
    }
    if let Err(error) = take_in_the_queue(listener, |stream, peer| {
        let place = places.clone().try_acquire_owned().ok()?;
        let (router, app, stopped) = (router.clone(), app.clone(), stopped.clone());
        tokio::spawn(converse(stream, Peer(peer), router, app, stopped, place));
        Some(())
    }) {
        tracing::debug!(%error, "connections that nobody took are cut off");
    }
    // Every place is free again once every connection is closed.
    let closed = async {
        let all = places.acquire_many(u32::try_from(all).unwrap_or(u32::MAX));
        let (_all, ()) = tokio::join!(all, app.bounds.streams_closed());
    };
    if timeout(app.limits.shutdown_timeout, closed).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

/// Takes those who wait in the kernel's queue, and closes it. They believe to be connected, and have sent a request by
/// now: closing the queue over them would cut them off without an answer.
fn take_in_the_queue(
    listener: TcpListener,
    mut take: impl FnMut(TcpStream, SocketAddr) -> Option<()>,
) -> io::Result<()> {
    // tokio may not have heard yet of who came last; the kernel has.
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
