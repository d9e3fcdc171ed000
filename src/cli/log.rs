//! The log: lines for people on a terminal, JSON for machines anywhere else; always on standard error.
//!
//! The line of a request was a fifth of what the request cost, with the subscriber's own JSON and a write for each.
//! Away from a terminal, lines are therefore made in one pass, gathered for a moment, and written together.
//!
//! Invariant: no line waits longer than [`MOMENT`], and none is lost by an orderly end.

use super::output;
use crate::clock;
use std::{
    io::{self, IsTerminal, Write, stderr},
    mem,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    filter::filter_fn,
    fmt::{
        self, FmtContext, MakeWriter,
        format::{FormatEvent, FormatFields, Writer},
    },
    prelude::*,
    registry::LookupSpan,
};

/// How long a line may wait for others.
const MOMENT: Duration = Duration::from_millis(50);
/// Bytes that are written at once, without waiting.
const ENOUGH: usize = 16 * 1024;

/// Lines that are not written yet.
static GATHERED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Starts the log with this filter, or with the usual one if it makes no sense.
pub(super) fn start(filter: &str, usual: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        output::error(&format!("--log is passed over: {error}"));
        EnvFilter::new(usual)
    });
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(holds_no_data));
    if stderr().is_terminal() {
        registry
            .with(fmt::layer().with_writer(stderr).compact())
            .init();
        return;
    }
    let lines = fmt::layer()
        .with_ansi(false)
        .event_format(Json)
        .with_writer(Gather);
    registry.with(lines).init();
    let flusher = thread::Builder::new().name("log".to_owned());
    let started = flusher.spawn(|| {
        loop {
            thread::sleep(MOMENT);
            flush();
        }
    });
    if let Err(error) = started {
        output::error(&format!("the log is written in larger pieces: {error}"));
    }
}

/// Writes what is gathered. If standard error does not take it, there is nobody to tell.
pub(super) fn flush() {
    // Taken first, so that nobody who logs has to wait for the write.
    let lines = mem::take(&mut *gathered());
    if !lines.is_empty() {
        stderr().write_all(&lines).ok();
    }
}

fn gathered() -> std::sync::MutexGuard<'static, Vec<u8>> {
    // A panic cannot leave a vector of bytes half-changed in a way that matters to a log.
    GATHERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose details hold what no log may: the PostgreSQL driver's repeat what statements store, people's words among it,
/// and an HTTP client's could repeat an address of Telegram's, which holds the bot's token.
const TALKATIVE: [&str; 3] = ["tokio_postgres", "hyper", "reqwest"];

/// No `--log` brings those details out.
fn holds_no_data(metadata: &Metadata<'_>) -> bool {
    let talkative = TALKATIVE
        .iter()
        .any(|name| metadata.target().starts_with(name));
    !talkative || *metadata.level() <= Level::WARN
}

/// One event as one JSON object.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let moment = clock::moment();
        write!(
            to,
            r#"{{"timestamp":"{moment}","level":"{level}","target":"{target}""#
        )?;
        let mut fields = Fields { to, done: Ok(()) };
        event.record(&mut fields);
        fields.done?;
        fields.to.write_str("}\n")
    }
}

/// The fields of an event, written one after the other.
struct Fields<'a> {
    to: Writer<'a>,
    done: std::fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: std::fmt::Arguments<'_>) {
        if self.done.is_ok() {
            self.done = write!(self.to, r#","{}":{value}"#, field.name());
        }
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        if value.bytes().all(plain) {
            self.write(field, format_args!("\"{value}\""));
        } else {
            self.write(field, format_args!("{}", serde_json::Value::from(value)));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Where lines are gathered. The log hands over one whole line at a time.
#[derive(Clone, Copy)]
struct Gather;

impl<'a> MakeWriter<'a> for Gather {
    type Writer = Gather;

    fn make_writer(&'a self) -> Gather {
        Gather
    }
}

impl Write for Gather {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut gathered = gathered();
        gathered.extend_from_slice(line);
        let enough = gathered.len() >= ENOUGH;
        drop(gathered);
        if enough {
            flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
