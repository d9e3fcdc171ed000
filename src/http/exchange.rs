//! An exchange: one request and its answer, from the request's head until hyper has taken the last part of the answer.
//!
//! Invariant: a client may send another request unless the answer says `Connection: close`. It says so if a part of the
//! request was left unread.

use axum::{
    body::{Body, Bytes, HttpBody},
    http::HeaderMap,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    header,
};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// The maximum length of an unread body that is read to keep its connection open, in bytes.
const WORTH_READING: usize = 64 * 1024;

/// The progress of a connection's exchanges. Clones share it.
#[derive(Clone)]
pub struct Progress(Arc<Steps>);

struct Steps {
    /// The number of steps: the start and the end of each exchange are one step each. So it is odd while an exchange is
    /// under way.
    count: AtomicU64,
    start: Instant,
    /// When the last step was, in milliseconds after the start.
    last: AtomicU64,
    /// Whether the current answer is long-lived.
    long_lived: AtomicBool,
    /// Whether the connection has switched to another protocol.
    upgraded: AtomicBool,
    /// Whether the connection must end as soon as it is idle.
    ending: AtomicBool,
    /// The connection's place among `--max-connections`.
    place: Mutex<Option<Box<dyn Send>>>,
}

impl Progress {
    /// Starts with a connection that was just accepted and has this place.
    pub fn new(place: impl Send + 'static) -> Self {
        Progress(Arc::new(Steps {
            count: AtomicU64::new(0),
            start: Instant::now(),
            last: AtomicU64::new(0),
            long_lived: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            place: Mutex::new(Some(Box::new(place))),
        }))
    }

    fn step(&self) {
        let millis = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(millis, Ordering::Release);
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that the current answer is long-lived, and frees the connection's place. The answer counts among the streams.
    pub fn long_lived(&self) {
        self.0.long_lived.store(true, Ordering::Release);
        self.0
            .place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Records that the connection has switched to another protocol. The time limits of requests do not apply to it.
    pub fn upgraded(&self) {
        self.0.upgraded.store(true, Ordering::Release);
        self.long_lived();
    }

    /// Records that the connection must end as soon as it is idle.
    pub fn end_when_idle(&self) {
        self.0.ending.store(true, Ordering::Release);
    }

    /// Whether there was a request yet.
    pub fn has_begun(&self) -> bool {
        self.steps() > 0
    }

    pub(super) fn must_end_when_idle(&self) -> bool {
        self.0.ending.load(Ordering::Acquire)
    }

    pub(super) fn is_long_lived(&self) -> bool {
        self.0.long_lived.load(Ordering::Acquire)
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.0.upgraded.load(Ordering::Acquire)
    }

    /// The number of steps so far.
    pub(super) fn steps(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// Whether no exchange is under way after this number of steps.
    pub(super) fn is_idle(steps: u64) -> bool {
        steps.is_multiple_of(2)
    }

    /// When the last step was.
    pub(super) fn last_step(&self) -> Instant {
        self.0.start + Duration::from_millis(self.0.last.load(Ordering::Acquire))
    }
}

/// An exchange that is under way. It ends when this is dropped.
pub struct Exchange {
    progress: Progress,
    unread: Unread,
    expects_continue: bool,
}

/// The body of a request that was dropped before its end, and whether anybody has begun to read it.
type Unread = Arc<Mutex<Option<(Incoming, bool)>>>;

impl Exchange {
    /// Begins an exchange for a request with these headers and this body. The returned body replaces it.
    pub fn begin(progress: Progress, headers: &HeaderMap, body: Incoming) -> (Self, Request) {
        progress.step();
        let exchange = Exchange {
            progress,
            unread: Unread::default(),
            expects_continue: headers.contains_key(header::EXPECT),
        };
        let request = Request {
            body: Some(body),
            begun: false,
            unread: exchange.unread.clone(),
        };
        (exchange, request)
    }

    /// Whether the client may send another request after the answer: only if no part of this request is left unread. Reads
    /// a short rest of the body first.
    pub fn keeps_connection(&self) -> bool {
        let unread = self
            .unread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((mut body, begun)) = unread else {
            return true;
        };
        // Reading would ask the client to send a body that nobody uses.
        if self.expects_continue && !begun {
            return false;
        }
        // Reads only what has already arrived.
        let mut now = Context::from_waker(Waker::noop());
        let mut left = WORTH_READING;
        loop {
            let bytes = match Pin::new(&mut body).poll_frame(&mut now) {
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            };
            match left.checked_sub(bytes) {
                Some(less) => left = less,
                None => return false,
            }
        }
    }

    /// Returns the answer's body. The exchange ends when it was taken, or dropped.
    pub fn answer(self, body: Body) -> Answer {
        Answer {
            body,
            _exchange: self,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.progress.step();
    }
}

/// The body of a request.
pub struct Request {
    body: Option<Incoming>,
    /// Whether anybody has begun to read it.
    begun: bool,
    unread: Unread,
}

impl HttpBody for Request {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.begun = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        *unread = body.map(|body| (body, self.begun));
    }
}

/// The body of an answer.
pub struct Answer {
    body: Body,
    _exchange: Exchange,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
