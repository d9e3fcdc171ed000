//! Keep-alive connections that send requests made beforehand, as fast as they are answered or at a given rate.
//!
//! It shares its cores with the server that it loads, so it does as little as it can: requests are put together and
//! signed before the clock starts, and of an answer it reads no more than its status and its length.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
    time::{sleep_until, timeout},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How requests follow each other.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection sends its next when it has its answer.
    Busy,
    /// So many a second, whether the server keeps up or not.
    Rate(f64),
}

/// What came of it.
pub(crate) struct Outcome {
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// How long each answer took, shortest first. At a rate: from the moment at which its request was due, so that
    /// what waits for a free connection counts.
    pub(crate) waits: Vec<Duration>,
    /// Answers other than a success.
    pub(crate) wrong: u64,
    /// The answers themselves, and when each was there, in microseconds since 1970: if they were to be kept.
    pub(crate) answers: Vec<(u64, Vec<u8>)>,
}

struct Shared {
    keeps: bool,
    answers: RefCell<Vec<(u64, Vec<u8>)>>,
    next: Cell<usize>,
    wrong: Cell<u64>,
    waits: RefCell<Vec<Duration>>,
}

/// Sends all requests once. `keeps`: whether the answers are of interest.
pub(crate) async fn send(
    port: u16,
    requests: Rc<Vec<Vec<u8>>>,
    connections: usize,
    pace: Pace,
    keeps: bool,
) -> io::Result<Outcome> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let shared = Rc::new(Shared {
        keeps,
        answers: RefCell::default(),
        next: Cell::new(0),
        wrong: Cell::new(0),
        waits: RefCell::new(Vec::with_capacity(requests.len())),
    });
    let tasks = LocalSet::new();
    let start = now();
    let senders: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            tasks.spawn_local(converse(
                stream,
                requests.clone(),
                shared.clone(),
                start,
                pace,
            ))
        })
        .collect();
    tasks
        .run_until(async {
            for sender in senders {
                sender.await.map_err(io::Error::other)??;
            }
            Ok::<_, io::Error>(())
        })
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    let mut waits = shared.waits.take();
    waits.sort_unstable();
    Ok(Outcome {
        seconds,
        waits,
        wrong: shared.wrong.get(),
        answers: shared.answers.take(),
    })
}

async fn converse(
    mut stream: TcpStream,
    requests: Rc<Vec<Vec<u8>>>,
    shared: Rc<Shared>,
    start: Instant,
    pace: Pace,
) -> io::Result<()> {
    let mut answer = Vec::with_capacity(4096);
    loop {
        let number = shared.next.get();
        let Some(request) = requests.get(number) else {
            return Ok(());
        };
        shared.next.set(number + 1);
        let since = match pace {
            Pace::Busy => now(),
            Pace::Rate(rate) => {
                let due = start + Duration::from_secs_f64(number as f64 / rate);
                sleep_until(due.into()).await;
                // The timer's tick is a millisecond: what it is late is not the server's.
                if due.elapsed() < Duration::from_millis(2) {
                    now()
                } else {
                    due
                }
            }
        };
        stream.write_all(request).await?;
        let status = timeout(PATIENCE, read(&mut stream, &mut answer)).await??;
        shared.waits.borrow_mut().push(since.elapsed());
        if shared.keeps {
            shared.answers.borrow_mut().push((micros(), answer.clone()));
        }
        if !(200..300).contains(&status) {
            shared.wrong.set(shared.wrong.get() + 1);
        }
    }
}

/// Reads an answer to its end. Returns its status.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<u16> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&answer[..end]).map_err(io::Error::other)?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        let (Some(status), Some(length)) = (status, length) else {
            return Err(io::Error::other(format!(
                "an answer that is not understood: {head}"
            )));
        };
        while answer.len() < end + 4 + length {
            if stream.read_buf(answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(status);
    }
}

/// The moment, for measuring.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The moment in microseconds since 1970, to be compared with that of another process.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
