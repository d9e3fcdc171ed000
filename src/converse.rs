//! One connection, from its first request to its end.
//!
//! As long as a client asks for nothing but its list, plainly, a few lines here are all of HTTP that it takes; from the first
//! other request on, it is hyper's.
//!
//! Invariant: whoever asks is answered in the same words, on either way. What follows an answer that was said to be the last
//! is not carried out.

use crate::{
    http::{
        App, Asked, Peer,
        connection::{Connection, Progress},
        plain::{self, Room},
    },
    router::{LIST, at_once},
};
use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery},
    response::IntoResponse,
};
use bytes::Bytes;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::{
    convert::Infallible,
    future::pending,
    io::{self, IoSlice},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tower::Service;

/// How long a connection may go without its first request once the server stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Bytes that may wait in the system to be sent, beyond what the client has room for. Of a client that takes something there
/// is always room for more soon, and one that takes nothing does not hold the system's memory.
const UNSENT: u32 = 128 * 1024;

/// Answers the requests of one connection until it is closed, or until the server stops. Holds its place as long.
pub async fn converse(
    mut stream: TcpStream,
    peer: Peer,
    router: Router,
    app: App,
    stopped: watch::Receiver<bool>,
    _place: impl Send,
) {
    let set = stream.set_nodelay(true);
    if let Err(error) = set.and_then(|()| SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)) {
        tracing::debug!(%error, "a connection stays as the system makes it");
    }
    let talk = Arc::new(Talk {
        router,
        app,
        peer,
        progress: Progress::default(),
        stopped,
    });
    match talk.answer_plainly(&mut stream).await {
        Ok(Next::Answer(heard)) => answer_with_hyper(talk, stream, Some(heard)).await,
        Ok(Next::Close) => answer_with_hyper(talk, stream, None).await,
        Ok(Next::Nothing) => {}
        Err(error) => tracing::debug!(%error, "a connection ended early"),
    }
}

/// What is left to do for a connection once it is no longer answered plainly.
enum Next {
    /// All else that is asked, of which this much was read.
    Answer(Vec<u8>),
    /// To end it in order: whatever else is asked is not answered.
    Close,
    /// The client has left, or has not asked for long.
    Nothing,
}

/// What the requests of one connection share.
struct Talk {
    router: Router,
    app: App,
    peer: Peer,
    progress: Progress,
    stopped: watch::Receiver<bool>,
}

impl Talk {
    /// Answers as long as all that is asked for is the list, plainly.
    async fn answer_plainly(&self, stream: &mut TcpStream) -> io::Result<Next> {
        let patience = self.app.limits.idle_timeout;
        let mut stopped = self.stopped.clone();
        let mut stop = pin!(stopped.wait_for(|stopped| *stopped));
        let mut idle = pin!(sleep(patience));
        let mut heard = Vec::with_capacity(plain::HEAD);
        let mut head = Vec::new();
        loop {
            let since = Instant::now();
            while heard.is_empty() {
                tokio::select! {
                    biased;
                    read = stream.read_buf(&mut heard) => if read? == 0 {
                        return Ok(Next::Nothing);
                    },
                    // hyper knows how to end a connection.
                    _ = stop.as_mut() => return Ok(Next::Answer(heard)),
                    // It is seldom set anew, and may ring for an earlier wait.
                    () = idle.as_mut() => {
                        if since.elapsed() >= patience {
                            return Ok(Next::Nothing);
                        }
                        idle.as_mut().reset(since + patience);
                    }
                }
            }
            // hyper tells whoever asks now that it is the last time.
            if *self.stopped.borrow() {
                return Ok(Next::Answer(heard));
            }
            head.clear();
            let mut last = false;
            let (length, body) = match self.read_plainly(&heard, &mut head) {
                None => return Ok(Next::Answer(heard)),
                Some((length, Ok(body))) => (length, body),
                Some((length, Err(request))) => {
                    let mut response = tokio::select! {
                        biased;
                        response = self.route(request) => response,
                        () = gone(stream), if heard.len() == length => return Ok(Next::Nothing),
                    };
                    last = self.say_if_it_is_the_last(&mut response);
                    let body = plain::whole(&mut head, response).await;
                    (length, body.map_err(io::Error::other)?)
                }
            };
            send(stream, &head, &body, patience).await?;
            if last {
                return Ok(Next::Close);
            }
            heard.drain(..length);
            if !self.progress.begun() {
                self.progress.step();
                self.progress.step();
            }
        }
    }

    /// The length of a plain request for the list, and its answer from memory: the head is written, the body returned. Without
    /// such an answer the request is.
    fn read_plainly(
        &self,
        heard: &[u8],
        head: &mut Vec<u8>,
    ) -> Option<(usize, Result<Bytes, Request<Body>>)> {
        let mut room = Room::default();
        let plain = plain::read(heard, LIST, &mut room)?;
        let asked = Asked {
            path: LIST,
            query: plain.query,
            fields: plain.fields,
            peer: self.peer,
        };
        let answer = match at_once(&self.app, &asked) {
            Some(noted) => Ok(noted.write(head)),
            None => Err(plain.request(LIST)?),
        };
        Some((plain.length, answer))
    }

    /// Answers any request.
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.progress.step();
        let mut response = match self.at_once(&request) {
            Some(response) => response,
            None => self.route(request.map(Body::new)).await,
        };
        let other_protocol = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if other_protocol || response.body().size_hint().exact().is_none() {
            self.progress.endless();
        }
        if !other_protocol {
            self.say_if_it_is_the_last(&mut response);
        }
        self.progress.step();
        response
    }

    /// Who goes on to ask a server that stops is not answered, and has to know that before. Returns whether it is so.
    fn say_if_it_is_the_last(&self, response: &mut Response<Body>) -> bool {
        let last = *self.stopped.borrow();
        if last {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        last
    }

    fn at_once(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        if request.method() != Method::GET || !request.body().is_end_stream() {
            return None;
        }
        let asked = Asked {
            path: request.uri().path(),
            query: request.uri().query(),
            fields: request.headers(),
            peer: self.peer,
        };
        at_once(&self.app, &asked).map(IntoResponse::into_response)
    }

    async fn route(&self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().insert(self.peer);
        trim_slash(request.uri_mut());
        let Ok(response) = self.router.clone().call(request).await;
        response
    }
}

/// Waits until the client has left. One that says more has not.
async fn gone(stream: &TcpStream) {
    if stream.peek(&mut [0]).await.is_ok_and(|there| there > 0) {
        pending::<()>().await;
    }
}

/// Sends an answer. A client that takes none of it for as long as `patience` is cut off.
async fn send(
    stream: &mut TcpStream,
    head: &[u8],
    body: &[u8],
    patience: Duration,
) -> io::Result<()> {
    let sent = match stream.try_write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        sent => sent?,
    };
    let rest_of_head = head.get(sent..).unwrap_or_default();
    let rest_of_body = &body[sent.saturating_sub(head.len())..];
    for mut rest in [rest_of_head, rest_of_body] {
        while !rest.is_empty() {
            let written = timeout(patience, stream.write(rest)).await??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[written..];
        }
    }
    Ok(())
}

/// Answers whatever is asked, until the connection is closed. `heard` is the beginning of what the client says; without it
/// the connection is closed at once.
async fn answer_with_hyper(talk: Arc<Talk>, stream: TcpStream, heard: Option<Vec<u8>>) {
    let close = heard.is_none();
    let heard = heard.unwrap_or_default();
    let io = Connection::new(stream, heard, talk.progress.clone(), &talk.app);
    let service = service_fn(|request: Request<Incoming>| {
        let talk = talk.clone();
        async move { Ok::<_, Infallible>(talk.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(talk.app.limits.head)
            // `Connection` keeps the time, and answers when it is over.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    if close {
        // Nothing was read or written here, so hyper neither reads nor answers any more.
        connection.as_mut().graceful_shutdown();
    }
    let mut stopped = talk.stopped.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = time_to_go(&mut stopped, &talk.progress) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until the server stops. A connection that has not asked for anything yet gets a moment more: who has just
/// connected is about to, and would be cut off without an answer.
async fn time_to_go(stopped: &mut watch::Receiver<bool>, progress: &Progress) {
    const STEP: Duration = Duration::from_millis(5);
    // An error means that the server is gone, too.
    stopped.wait_for(|stopped| *stopped).await.ok();
    let mut left = FIRST_REQUEST;
    while !progress.begun() && !left.is_zero() {
        sleep(STEP).await;
        left = left.saturating_sub(STEP);
    }
}

/// `/inboxes/` is `/inboxes`. The documentation pages are real folders, and keep theirs.
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
        // An absolute URI keeps its other parts, which fit any path.
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}
