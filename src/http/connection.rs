//! A client's connection, as hyper reads and writes it.
//!
//! hyper answers a request that it cannot parse with a bare status line, and closes the connection of one that is too slow
//! without an answer. This wrapper replaces such answers by the envelope, limits the time in which a request's head must
//! arrive, and keeps a closed connection for a moment, so that a client that is still sending can read the last answer.
//!
//! Invariant: as long as HTTP allows an answer, the client gets one, in the envelope.

use super::{App, envelope::Refusal, exchange::Progress, observe::REQUEST_ID};
use crate::clock::Clock;
use socket2::{SockRef, Socket};
use std::{
    io::{self, IoSlice},
    mem::{self, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};

/// After the last answer, what the client still sends is read and dropped for at most this long. Closing the socket at once
/// would reset the connection, and the client could lose the answer.
const LINGER: Duration = Duration::from_secs(2);
/// The same limit in bytes.
const LINGER_BYTES: usize = 32 * 1024 * 1024;

/// The stream of a connection, between the socket and hyper.
pub struct Connection {
    stream: TcpStream,
    progress: Progress,
    clock: Clock,
    head_timeout: Duration,
    idle_timeout: Duration,
    wait: Wait,
    /// An answer of this wrapper, which is sent before anything else.
    unsent: Vec<u8>,
    /// The number of steps at which hyper last had nothing left to send.
    all_sent: u64,
    /// Fires when the client has read nothing of an answer for too long. `None` while it reads.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The answer to a request that is still incomplete when the connection ends.
    refusal: Refusal,
    /// Whether our side of the connection is closed.
    shut: bool,
}

/// The wait for a request's head.
struct Wait {
    /// The number of steps at which it began.
    since: u64,
    /// Whether a part of the head has arrived.
    begun: bool,
    deadline: Option<Instant>,
    /// One timer, used as long as the connection lives. If it fires before the deadline, it is set again.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// Wraps a socket. `progress` must learn when each request starts and ends.
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
            refusal: Refusal::BadRequest,
            shut: false,
        }
    }

    /// Whether the head of the next request should have arrived by now. If not, wakes the task when this may have changed.
    ///
    /// hyper does not read again after it was told that there are no bytes. So the timer must be set even while a request is
    /// being answered. It then fires too early, and is set again.
    fn head_is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.progress.is_upgraded() {
            return false;
        }
        loop {
            let steps = self.progress.steps();
            let idle = Progress::is_idle(steps);
            let wait = &mut self.wait;
            let deadline = match wait.deadline {
                Some(deadline) if wait.since == steps && idle => deadline,
                _ => {
                    wait.since = steps;
                    wait.begun = false;
                    // While a request is under way, the client waits for the answer, or sends a body, which has its own
                    // time limit.
                    let from = if idle {
                        self.progress.last_step()
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
            // The timer was set for an earlier wait.
            let later = deadline.max(Instant::now() + Duration::from_millis(1));
            timer.as_mut().reset(later);
        }
    }

    /// Whether the connection can end now: the server stops, and there is no request, not even in bytes that have arrived and
    /// are not read yet. Asks the system for those, since tokio may not know of them yet.
    fn can_end(&self) -> bool {
        let steps = self.progress.steps();
        let idle = Progress::is_idle(steps) && !(self.wait.begun && self.wait.since == steps);
        idle && self.progress.must_end_when_idle()
            && !self.progress.is_upgraded()
            && !self.peek().is_ok_and(|bytes| bytes > 0)
    }

    /// Whether the client has closed the connection during a long-lived answer. If not, wakes the task when this may have
    /// changed. hyper does not check this, since a client may close its side and still wait for an ordinary answer.
    fn has_left(&self, context: &mut Context<'_>) -> bool {
        if !self.progress.is_long_lived() || self.progress.is_upgraded() {
            return false;
        }
        while self.stream.poll_read_ready(context).is_ready() {
            match self.stream.try_io(Interest::READABLE, || self.peek()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(bytes) => return bytes == 0,
                Err(_) => return true,
            }
        }
        false
    }

    /// 1 if unread bytes have arrived, 0 if the client has closed its side, and an error if neither is so.
    fn peek(&self) -> io::Result<usize> {
        SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()])
    }

    /// Records that bytes have arrived. If they begin a head, its time limit starts.
    fn note_arrival(&mut self) {
        let steps = self.progress.steps();
        if Progress::is_idle(steps) && !(self.wait.since == steps && self.wait.begun) {
            self.wait.since = steps;
            self.wait.begun = true;
            self.wait.deadline = Some(Instant::now() + self.head_timeout);
        }
    }

    /// Writes to the socket. An error if the client reads nothing for as long as a connection may be idle.
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

    /// The refusal that hyper is writing on its own, if it does: all earlier answers are sent, and no request was handed over
    /// since.
    fn bare_answer(&self, slices: &[IoSlice<'_>]) -> Option<Refusal> {
        let idle = self.all_sent == self.progress.steps() && Progress::is_idle(self.all_sent);
        if !idle || self.progress.is_upgraded() {
            return None;
        }
        refusal_of(slices.iter().find(|slice| !slice.is_empty())?)
    }

    fn answer(&self, refusal: Refusal) -> Vec<u8> {
        let (status, _) = refusal.parts();
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

/// The refusal that corresponds to the status of hyper's own answer.
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
            // No bytes means to hyper that the client has closed the connection.
            Poll::Pending if this.can_end() => Poll::Ready(Ok(())),
            Poll::Pending if this.head_is_late(context) => {
                this.refusal = Refusal::HeadTooSlow;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                this.note_arrival();
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

    /// Writes head and body without copying them together.
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
        if this.has_left(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // hyper flushes once it has written all that it had.
        this.all_sent = this.progress.steps();
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        this.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Connection {
    /// Answers a request that is incomplete or not HTTP/1 at all, if the connection can still carry an answer. Then lets the
    /// client read the last answer. hyper does not always close the connection properly: for example, it does not after an
    /// upgrade that was refused.
    fn drop(&mut self) {
        if self.progress.is_upgraded() || self.stalled.is_some() {
            return;
        }
        if !self.shut && self.wait.begun && self.wait.since == self.progress.steps() {
            let answer = self.answer(self.refusal);
            if let Err(error) = self.stream.try_write(&answer) {
                tracing::debug!(%error, "the client cannot be told why its request is refused");
                return;
            }
        }
        let may_send = match self.peek() {
            Ok(bytes) => bytes > 0,
            Err(error) => self.shut && error.kind() == io::ErrorKind::WouldBlock,
        };
        if let Ok(runtime) = Handle::try_current()
            && may_send
        {
            match SockRef::from(&self.stream).try_clone() {
                Ok(stream) => {
                    runtime.spawn(linger(stream, self.progress.clone()));
                }
                Err(error) => tracing::debug!(%error, "a connection is closed at once"),
            }
        }
    }
}

/// Reads and drops what the client still sends. The connection keeps its place meanwhile, which `_progress` holds.
async fn linger(stream: Socket, _progress: Progress) {
    let read = async {
        let mut stream = TcpStream::from_std(stream.into())?;
        stream.shutdown().await?;
        let mut scratch = [0; 16 * 1024];
        let mut left = LINGER_BYTES;
        loop {
            match stream.read(&mut scratch).await? {
                0 => return Ok::<_, io::Error>(()),
                read => match left.checked_sub(read) {
                    Some(less) => left = less,
                    None => return Ok(()),
                },
            }
        }
    };
    // After an error nothing more arrives, and after the time limit the client had time enough.
    timeout(LINGER, read).await.ok();
}
