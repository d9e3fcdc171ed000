//! One request and its answer, as their connection counts them: from the request's head until hyper has taken the last of the
//! answer.
//!
//! Invariant: a client that is told that its connection goes on can go on. Where some of its request was left unread, it is
//! told that it cannot.

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

/// Bytes of an unread body that are worth reading so that its connection can go on.
const WORTH_READING: usize = 64 * 1024;

/// How far a connection's exchanges have come. Clones share it.
#[derive(Clone)]
pub struct Progress(Arc<Steps>);

struct Steps {
    /// How many exchanges have started and ended: odd while one is under way.
    count: AtomicU64,
    start: Instant,
    /// When the last step was taken, in milliseconds after the start.
    last: AtomicU64,
    /// Whether the answer that is under way goes on for long.
    long_lived: AtomicBool,
    /// Whether the connection speaks another protocol by now.
    upgraded: AtomicBool,
    /// Whether the connection is to end once nothing is asked.
    leaving: AtomicBool,
    /// The connection's place among those that ask and are answered.
    place: Mutex<Option<Box<dyn Send>>>,
}

impl Progress {
    /// Of a connection that has just been accepted, and holds this place.
    pub fn new(place: impl Send + 'static) -> Self {
        Progress(Arc::new(Steps {
            count: AtomicU64::new(0),
            start: Instant::now(),
            last: AtomicU64::new(0),
            long_lived: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            place: Mutex::new(Some(Box::new(place))),
        }))
    }

    fn step(&self) {
        let millis = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(millis, Ordering::Release);
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }

    /// The answer that is under way goes on for long. It is counted elsewhere, and the place is free for somebody who asks.
    pub fn long_lived(&self) {
        self.0.long_lived.store(true, Ordering::Release);
        self.0
            .place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// From here on the connection speaks another protocol. Who speaks it looks after the connection: no time limit of a
    /// request's applies.
    pub fn upgraded(&self) {
        self.0.upgraded.store(true, Ordering::Release);
        self.long_lived();
    }

    /// The connection is to end once nothing is asked.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Release);
    }

    /// Whether there was any request yet.
    pub fn begun(&self) -> bool {
        self.now() > 0
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Acquire)
    }

    pub(super) fn is_long_lived(&self) -> bool {
        self.0.long_lived.load(Ordering::Acquire)
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.0.upgraded.load(Ordering::Acquire)
    }

    /// The number of steps: even if nothing is under way.
    pub(super) fn now(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    pub(super) fn last(&self) -> Instant {
        self.0.start + Duration::from_millis(self.0.last.load(Ordering::Acquire))
    }
}

/// An exchange that is under way, as long as this is there.
pub struct Exchange {
    progress: Progress,
    unread: Unread,
    expects_continue: bool,
}

/// Where a request's body is put if it is dropped before its end, and whether anybody has begun to read it.
type Unread = Arc<Mutex<Option<(Incoming, bool)>>>;

impl Exchange {
    /// A request has come with this head, and a body that the returned one reads.
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

    /// Whether the client may go on to ask once the answer is there: only if nothing of its request is left unread. What little
    /// there is, is read here.
    pub fn may_go_on(&self) -> bool {
        let unread = self
            .unread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((mut body, begun)) = unread else {
            return true;
        };
        // Reading would ask such a client to send what nobody wants.
        if self.expects_continue && !begun {
            return false;
        }
        // What is not there yet is not waited for.
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

    /// The exchange ends when this body has been taken, or dropped.
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
