//! Serves one connection, from its first request to its end. hyper reads and writes it. A request that the cache can
//! answer is answered here at once; the routes answer all others.
//!
//! Invariant: a request that comes after the last answer (`Connection: close`) is not carried out.

use crate::{
    http::{
        App, Peer,
        connection::{Connection, Progress},
    },
    router::at_once,
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

/// Answers the requests of one connection until it is closed, or until the server stops. `_place` is the connection's
/// slot, which is released at the end.
pub async fn converse(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    app: App,
    mut stopped: watch::Receiver<bool>,
    _place: impl Send,
) {
    let set = stream.set_nodelay(true);
    if let Err(error) = set.and_then(|()| SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)) {
        tracing::debug!(%error, "the options of a connection cannot be set");
    }
    let progress = Progress::default();
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
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = wait_for_stop(&mut stopped, &progress) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// The state that all requests of one connection share.
struct Shared {
    router: Router,
    app: App,
    peer: Peer,
    progress: Progress,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.progress.step();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(self.peer);
        let at_once = match body.is_end_stream() {
            true => at_once(&self.app, &parts),
            false => None,
        };
        let mut response = match at_once {
            Some(response) => response,
            None => {
                self.route(Request::from_parts(parts, Body::new(body)))
                    .await
            }
        };
        let other_protocol = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if other_protocol || response.body().size_hint().exact().is_none() {
            self.progress.endless();
        }
        if *self.stopped.borrow() && !other_protocol {
            // The client must know that the server will not answer its next request on this connection.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        self.progress.step();
        response
    }

    async fn route(&self, mut request: Request<Body>) -> Response<Body> {
        trim_slash(request.uri_mut());
        let Ok(response) = self.router.clone().call(request).await;
        response
    }
}

/// Waits until the server stops. A connection without any request so far gets a little more time: its client has only
/// just connected, and its first request may be on its way.
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
