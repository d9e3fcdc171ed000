//! Stand-ins for the providers: a small HTTP server inside the process that plays Meta's Graph API and Telegram's Bot API for
//! the demonstration's inboxes. It takes what inboxd sends; what is reported of it afterwards is in [`super::report`].
//!
//! It is no provider: nobody gets anything, and it knows nothing but the demonstration's own inboxes.
//!
//! Invariant: it listens on the loopback address only, and whatever is asked of it is bounded: connections, bodies, messages
//! of which there is something to report.

use super::{
    hooks::Hooks,
    provider::{self, Answer, Asked, Tokens},
    report::Reporter,
};
use crate::{clock::Clock, config::Providers};
use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// Connections that are open at once; others wait. More than inboxd opens for one account.
const CONNECTIONS: usize = 256;
/// Bytes of a request's head, and of its body.
const HEAD: usize = 16 * 1024;
const BODY: usize = 64 * 1024;
/// How long a request's body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a connection may be idle: longer than inboxd keeps one.
const IDLE: Duration = Duration::from_secs(60);
/// Messages of which there is still something to report. More are to come again.
const UNDER_WAY: usize = 512;
/// How long to wait after a connection could not be accepted.
const AGAIN: Duration = Duration::from_millis(100);

/// The stand-ins, as long as they do not answer yet.
pub struct StandIns {
    listener: TcpListener,
    address: SocketAddr,
    tokens: Tokens,
}

/// The stand-ins at work. They are gone when this is dropped.
pub struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl StandIns {
    /// Binds a free port of the loopback address, and makes the tokens that will be good there.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn bind(clock: &Clock) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Not to be guessed: another program on this machine, or a page in its browser, has no business here.
        let unique = clock.uuid().simple();
        Ok(StandIns {
            listener,
            address,
            tokens: Tokens {
                access: format!("demo-{unique}"),
                bot: format!("100000001:demo-{unique}"),
            },
        })
    }

    /// The settings of a server whose providers they play.
    pub fn config(&self) -> Providers {
        let at = |name| format!("http://{}/{name}", self.address);
        Providers {
            telegram_url: at("telegram"),
            graph_url: at("whatsapp"),
            instagram_url: at("instagram"),
            ..Providers::default()
        }
    }

    pub(super) fn access_token(&self) -> &str {
        &self.tokens.access
    }

    pub(super) fn bot_token(&self) -> &str {
        &self.tokens.bot
    }

    /// Answers from now on, and reports to these hooks.
    pub(super) fn run(self, hooks: Hooks, clock: Clock) -> Running {
        tracing::info!(
            address = %self.address,
            "stand-ins play the providers of this demonstration: what is sent reaches nobody"
        );
        let stage = Arc::new(Stage {
            tokens: self.tokens,
            reporter: Arc::new(Reporter::new(hooks, clock)),
            under_way: Mutex::default(),
        });
        Running(tokio::spawn(accept(self.listener, stage)))
    }
}

/// What the connections share.
struct Stage {
    tokens: Tokens,
    reporter: Arc<Reporter>,
    /// A task for each message of which there is something to report. They end with this.
    under_way: Mutex<JoinSet<()>>,
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    // A semaphore that nobody closes always has a place some time.
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                let stage = stage.clone();
                connections.spawn(async move {
                    converse(stream, stage).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the stand-ins for the providers cannot accept a connection");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, stage: Arc<Stage>) {
    let service = service_fn(move |request| {
        let stage = stage.clone();
        async move { Ok::<_, Infallible>(stage.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the stand-ins for the providers ended with an error");
    }
}

impl Stage {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = match timeout(BODY_TIME, Limited::new(body, BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            // Too long, too slow, or broken off.
            Ok(Err(_)) | Err(_) => return said(StatusCode::BAD_REQUEST, Body::empty()),
        };
        let authorization = parts.headers.get(header::AUTHORIZATION);
        let asked = Asked {
            path: parts.uri.path(),
            authorization: authorization.and_then(|value| value.to_str().ok()),
            body: &serde_json::from_slice(&body).unwrap_or_default(),
        };
        let (status, answer) = self.take(&asked);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        said(status, Body::from(answer.to_string()))
    }

    /// Takes a message, and has its reports follow.
    fn take(&self, asked: &Asked<'_>) -> Answer {
        let took = match provider::take(asked, &self.tokens, self.reporter.number()) {
            Ok(took) => took,
            Err(answer) => return answer,
        };
        let under_way = self.under_way.lock();
        // It is right after every statement.
        let mut under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= UNDER_WAY {
            return provider::too_much(took.channel);
        }
        let answer = took.answer(self.reporter.now());
        under_way.spawn(self.reporter.clone().report(took));
        answer
    }
}

fn said(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
