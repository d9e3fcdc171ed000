//! Serves one connection, from its first request to its end. hyper reads and writes it. A request that the cache can
//! answer is answered here at once; the routes answer all others.
//!
//! Invariant: a request that comes after the last answer (`Connection: close`) is not carried out.

use crate::{
    http::{
        App, LongLived, Peer,
        connection::Connection,
        exchange::{Answer, Exchange, Progress},
    },
    router::cached_answer,
};
use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time::sleep};
use tower::Service;

/// After the server has begun to stop, how long a connection without any request may stay open.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// How many unsent bytes the system may hold for a connection, beyond what the client's window has room for. It is
/// enough to keep a client that reads supplied, and a client that reads nothing cannot occupy the system's memory.
const UNSENT: u32 = 128 * 1024;

/// Answers the requests of one connection until it is closed, or until the server stops. Holds its
/// place as long, or until an answer goes on for long: such ones have places of their own.
pub async fn converse(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    app: App,
    mut stopped: watch::Receiver<bool>,
    place: impl Send + 'static,
) {
    let set = stream.set_nodelay(true);
    if let Err(error) = set.and_then(|()| SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)) {
        tracing::debug!(%error, "the options of a connection cannot be set");
    }
    let progress = Progress::new(place);
    let io = Connection::new(stream, progress.clone(), &app);
    let head = app.limits.head;
    let shared = Arc::new(Shared {
        router,
        app,
        peer,
        progress: progress.clone(),
        stopped: stopped.clone(),
    });
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(head)
            // `Connection` measures this time itself, and answers with 408 when it is over.
            .header_read_timeout(None)
            // Whoever asks no more still gets its answer.
            .half_close(true)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = wait_for_stop(&mut stopped, &progress) => {
            progress.leave();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// What the requests of one connection share.
struct Shared {
    router: Router,
    app: App,
    peer: Peer,
    progress: Progress,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    /// Answers a request.
    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let (mut parts, body) = request.into_parts();
        let (exchange, body) = Exchange::begin(self.progress.clone(), &parts.headers, body);
        parts.extensions.insert(self.peer);
        let cached = match body.is_end_stream() {
            true => cached_answer(&self.app, &parts),
            false => None,
        };
        let mut response = match cached {
            Some(response) => response,
            None => {
                self.route(Request::from_parts(parts, Body::new(body)))
                    .await
            }
        };
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let long_lived = upgraded || response.extensions().get::<LongLived>().is_some();
        if long_lived {
            self.progress.long_lived();
        }
        if upgraded {
            self.progress.upgraded();
        } else if long_lived || !exchange.may_go_on() || *self.stopped.borrow() {
            // Nothing more is answered here, and who would go on to ask has to know that before.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response.map(|body| exchange.answer(body))
    }

    async fn route(&self, mut request: Request<Body>) -> Response<Body> {
        trim_slash(request.uri_mut());
        let Ok(response) = self.router.clone().call(request).await;
        response
    }
}

/// Waits until the server stops. A connection that has not asked for anything yet gets a moment more: who has just
/// connected is about to, and would be cut off without an answer.
async fn wait_for_stop(stopped: &mut watch::Receiver<bool>, progress: &Progress) {
    const STEP: Duration = Duration::from_millis(5);
    // An error means that the server is gone, too.
    stopped.wait_for(|stopped| *stopped).await.ok();
    let mut left = FIRST_REQUEST;
    while !progress.begun() && !left.is_zero() {
        sleep(STEP).await;
        left = left.saturating_sub(STEP);
    }
}

/// Removes trailing slashes: `/inboxes/` becomes `/inboxes`. The documentation pages are real folders, and keep theirs.
fn trim_slash(uri: &mut Uri) {
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || trimmed.is_empty() || path.starts_with("/docs") {
        return;
    }
    let text = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(path_and_query);
        // The other parts of an absolute URI stay as they are. They fit any path.
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}
