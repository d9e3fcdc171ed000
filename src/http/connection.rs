//! A client's connection, as hyper reads and writes it.
//!
//! hyper answers a request that it cannot parse itself, with a bare status line, and drops one that is too
//! slow without a word. This wrapper gives such answers the contract's shape, bounds the time that a client
//! may take to say what it wants, and lets a client that is still talking read the last answer.
//!
//! Invariant: as long as HTTP allows an answer, the client gets one, in the envelope.

use super::{App, envelope::Refusal, observe::REQUEST_ID};
use crate::clock::Clock;
use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// After the last answer: how long, and for how many bytes, a client that still sends is listened to. Closing
/// at once would reset the connection and could take the answer with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 32 * 1024 * 1024;

/// How many requests of a connection have started and ended, odd while one is being answered, and when the last did. A request
/// ends when hyper has taken all of its answer.
#[derive(Clone)]
pub struct Progress(Arc<Steps>);

struct Steps {
    count: AtomicU64,
    start: Instant,
    /// Milliseconds after the start.
    last: AtomicU64,
    /// Whether the connection speaks another protocol by now.
    upgraded: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Progress(Arc::new(Steps {
            count: AtomicU64::new(0),
            start: Instant::now(),
            last: AtomicU64::new(0),
            upgraded: AtomicBool::new(false),
        }))
    }
}

impl Progress {
    /// A request starts, or ends.
    pub fn step(&self) {
        let millis = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(millis, Ordering::Release);
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }

    /// From here on the connection speaks another protocol. Who speaks it looks after the connection: no time limit of a
    /// request's applies.
    pub fn upgraded(&self) {
        self.0.upgraded.store(true, Ordering::Release);
    }

    /// Whether there was any request yet.
    pub fn begun(&self) -> bool {
        self.now() > 0
    }

    fn is_upgraded(&self) -> bool {
        self.0.upgraded.load(Ordering::Acquire)
    }

    fn now(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    fn last(&self) -> Instant {
        self.0.start + Duration::from_millis(self.0.last.load(Ordering::Acquire))
    }
}

/// The wrapper.
pub struct Connection {
    stream: TcpStream,
    progress: Progress,
    clock: Clock,
    head_timeout: Duration,
    idle_timeout: Duration,
    wait: Wait,
    /// Bytes of ours that go out before anything else.
    unsent: Vec<u8>,
    /// At which progress hyper last had nothing left to send.
    all_sent: u64,
    /// Rings if the client takes nothing of what it is sent for too long. There only while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What an unfinished request gets when the connection ends.
    last_word: Refusal,
    lingered: usize,
    closing: Option<Instant>,
}

/// The wait for a request's head.
struct Wait {
    /// At which progress it began.
    since: u64,
    /// Whether some of the head is there.
    begun: bool,
    deadline: Option<Instant>,
    /// One timer for the connection's life. It may ring early, and is then set again.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// Wraps a stream. `progress` is told of each request's start and end.
    pub fn new(stream: TcpStream, progress: Progress, app: &App) -> Self {
        Connection {
            stream,
            progress,
            clock: app.context.clock.clone(),
            head_timeout: app.limits.head_timeout,
            idle_timeout: app.limits.idle_timeout,
            wait: Wait {
                since: 0,
                begun: false,
                deadline: None,
                timer: None,
            },
            unsent: Vec::new(),
            all_sent: 0,
            stalled: None,
            last_word: Refusal::BadRequest,
            lingered: 0,
            closing: None,
        }
    }

    /// Whether the head of the next request is due by now. Registers to be woken when it may be.
    ///
    /// hyper does not ask again once it was told that nothing is there, so the timer must be set even while a
    /// request is being answered: it then rings early, and is set again.
    fn overdue(&mut self, context: &mut Context<'_>) -> bool {
        if self.progress.is_upgraded() {
            return false;
        }
        loop {
            let progress = self.progress.now();
            let idle = progress.is_multiple_of(2);
            let wait = &mut self.wait;
            let deadline = match wait.deadline {
                Some(deadline) if wait.since == progress && idle => deadline,
                _ => {
                    wait.since = progress;
                    wait.begun = false;
                    // The client waits for us, or sends a body, which has a time limit of its own.
                    let from = if idle {
                        self.progress.last()
                    } else {
                        Instant::now()
                    };
                    *wait.deadline.insert(from + self.idle_timeout)
                }
            };
            let timer = wait
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(context).is_pending() {
                return false;
            }
            if idle && Instant::now() >= deadline {
                return true;
            }
            // It rang for an earlier wait.
            let later = deadline.max(Instant::now() + Duration::from_millis(1));
            timer.as_mut().reset(later);
        }
    }

    /// Notes that some bytes came: if they open a head, the rest of it is due soon.
    fn heard(&mut self) {
        let progress = self.progress.now();
        if progress.is_multiple_of(2) && !(self.wait.since == progress && self.wait.begun) {
            self.wait.since = progress;
            self.wait.begun = true;
            self.wait.deadline = Some(Instant::now() + self.head_timeout);
        }
    }

    /// Writes. A client that takes nothing for as long as a connection may be idle is cut off.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let patience = self.idle_timeout;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let unsent = mem::take(&mut self.unsent);
            let sent = self.poll_send(context, &[IoSlice::new(&unsent)]);
            self.unsent = unsent;
            let sent = ready!(sent)?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// What hyper refuses by itself, if that is what it is writing: everything that it was given to send has left, and nobody
    /// has been asked for an answer since.
    fn bare_answer(&self, slices: &[IoSlice<'_>]) -> Option<Refusal> {
        let idle = self.all_sent == self.progress.now() && self.all_sent.is_multiple_of(2);
        if !idle || self.progress.is_upgraded() {
            return None;
        }
        refusal_of(slices.iter().find(|slice| !slice.is_empty())?)
    }

    fn answer(&self, refusal: Refusal) -> Vec<u8> {
        let (status, _, _) = refusal.parts();
        metrics::counter!("inboxd_http_unparsed_requests_total", "status" => status.as_str().to_owned())
            .increment(1);
        let body = refusal.body();
        let id = self.clock.uuid().simple();
        tracing::info!(request_id = %id, status = status.as_u16(), "a request that is not HTTP as it should be");
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\n{REQUEST_ID}: {id}\r\ncontent-type: application/json\r\n\
             access-control-allow-origin: *\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        bytes
    }
}

/// What a bare answer of hyper's is about, by its status.
fn refusal_of(head: &[u8]) -> Option<Refusal> {
    let status = head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    match status {
        b"400" => Some(Refusal::BadRequest),
        b"414" => Some(Refusal::UrlTooLong),
        b"431" => Some(Refusal::HeadTooLarge),
        _ => None,
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending if this.overdue(context) => {
                this.last_word = Refusal::HeadTooSlow;
                // For hyper this is the end of the connection.
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                this.heard();
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// Spares copying each body behind its head.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        let Some(refusal) = this.bare_answer(slices) else {
            return this.poll_send(context, slices);
        };
        this.wait.begun = false;
        this.unsent = this.answer(refusal);
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        // hyper flushes once it has written all that it had.
        this.all_sent = this.progress.now();
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        let deadline = match this.closing {
            Some(deadline) => deadline,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
                let deadline = Instant::now() + LINGER;
                this.wait.timer = Some(Box::pin(sleep_until(deadline)));
                *this.closing.insert(deadline)
            }
        };
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    this.lingered += buffer.filled().len();
                    if this.lingered > LINGER_BYTES || Instant::now() >= deadline {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    return match &mut this.wait.timer {
                        Some(timer) => timer.as_mut().poll(context).map(Ok),
                        None => Poll::Ready(Ok(())),
                    };
                }
            }
        }
    }
}

impl Drop for Connection {
    /// A request that was begun and neither answered nor refused, because it stopped half-way or is not HTTP/1
    /// at all, still gets its answer, if the connection can carry one.
    fn drop(&mut self) {
        let unfinished = self.wait.begun
            && self.wait.since == self.progress.now()
            && !self.progress.is_upgraded()
            && self.stalled.is_none();
        if unfinished && self.closing.is_none() {
            let answer = self.answer(self.last_word);
            if let Err(error) = self.stream.try_write(&answer) {
                tracing::debug!(%error, "nobody is there to be told");
            }
        }
    }
}
