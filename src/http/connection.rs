//! A client's connection, as hyper reads and writes it.
//!
//! hyper answers a request that it cannot parse itself, with a bare status line, and drops one that is too
//! slow without a word. This wrapper gives such answers the contract's shape, bounds the time that a client
//! may take to say what it wants, and lets a client that is still talking read the last answer.
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

/// After the last answer: how long, and for how many bytes, a client that still sends is listened to. Closing
/// at once would reset the connection and could take the answer with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 32 * 1024 * 1024;

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

    /// Whether the connection is to end now: nothing is asked, not even in bytes that have come and are not read yet. tokio
    /// may not have heard of those, but the system has.
    fn may_leave(&self) -> bool {
        let progress = self.progress.now();
        let idle = progress.is_multiple_of(2) && !(self.wait.begun && self.wait.since == progress);
        idle && self.progress.is_leaving()
            && !self.progress.is_upgraded()
            && !self.peek().is_ok_and(|bytes| bytes > 0)
    }

    /// Whether the client has left in the middle of an answer that goes on for long. Registers to be woken when that may have
    /// changed. hyper does not look: whoever gets an ordinary answer may have said its last, and still wants it.
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

    /// How many of the bytes that come next are there: one, or none at the end.
    fn peek(&self) -> io::Result<usize> {
        SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()])
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
            // For hyper this is the end of the connection.
            Poll::Pending if this.may_leave() => Poll::Ready(Ok(())),
            Poll::Pending if this.overdue(context) => {
                this.last_word = Refusal::HeadTooSlow;
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
        if this.has_left(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
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
    /// at all, still gets its answer, if the connection can carry one. hyper ends a connection without another word, too, if
    /// another protocol was asked for in vain: then, too, the client is to read what it was sent.
    fn drop(&mut self) {
        if self.progress.is_upgraded() || self.stalled.is_some() || self.closing.is_some() {
            return;
        }
        if self.wait.begun && self.wait.since == self.progress.now() {
            let answer = self.answer(self.last_word);
            if let Err(error) = self.stream.try_write(&answer) {
                tracing::debug!(%error, "nobody is there to be told");
                return;
            }
        }
        let still_sends = self.peek().is_ok_and(|bytes| bytes > 0);
        if let Ok(runtime) = Handle::try_current()
            && still_sends
        {
            match SockRef::from(&self.stream).try_clone() {
                Ok(stream) => {
                    runtime.spawn(linger(stream, self.progress.clone()));
                }
                Err(error) => tracing::debug!(%error, "a connection ends at once"),
            }
        }
    }
}

/// Listens to a client that still sends, as at the end of any connection. `_progress` holds its place as long.
async fn linger(stream: Socket, _progress: Progress) {
    let listen = async {
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
    // Whatever comes of it, the client had its chance.
    timeout(LINGER, listen).await.ok();
}
