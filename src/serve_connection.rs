//! Serves one connection, from its first request to its end. hyper reads and writes it. A request that the cache can answer
//! is answered here. All others go to the router.
//!
//! Invariant: a request that arrives after the last answer (`Connection: close`) has no effect.

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

/// How many unsent bytes the system may keep for a connection, in addition to the client's window. This is enough for a
/// client that reads, and a client that reads nothing cannot use up the system's memory.
const UNSENT: u32 = 128 * 1024;

/// Answers the requests of one connection until it is closed, or until the server stops. The connection keeps its `place`
/// among `--max-connections` as long, or until it has a long-lived answer, which counts among the streams.
pub async fn serve_connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    app: App,
    mut stopped: watch::Receiver<bool>,
    place: impl Send + 'static,
) {
    let set = stream.set_nodelay(true);
    if let Err(error) = set.and_then(|()| SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)) {
        tracing::debug!(%error, "the options of a socket cannot be set");
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
            // `Connection` has its own timer for this, and answers with 408.
            .header_read_timeout(None)
            // A client may close its side after a request and still wait for the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = wait_for_stop(&mut stopped, &progress) => {
            progress.end_when_idle();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// The state that the requests of one connection share.
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
        } else if long_lived || !exchange.keeps_connection() || *self.stopped.borrow() {
            // This is the last answer, so the client must not send another request.
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

/// Waits until the server stops. If the connection has had no request yet, waits a moment longer, since a client that has
/// just connected is about to send one.
async fn wait_for_stop(stopped: &mut watch::Receiver<bool>, progress: &Progress) {
    const STEP: Duration = Duration::from_millis(5);
    // An error means that the sender is gone, so the server has stopped.
    stopped.wait_for(|stopped| *stopped).await.ok();
    let mut left = FIRST_REQUEST;
    while !progress.has_begun() && !left.is_zero() {
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
        // The other parts of the URI stay as they are, so it stays valid.
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}
