//! The log: lines for people on a terminal, JSON for machines anywhere else; always on standard error.
//!
//! The line of a request was a fifth of what the request cost, with the subscriber's own JSON and a write for each.
//! Away from a terminal, lines are therefore made in one pass, gathered for a moment, and written together.
//!
//! Invariant: no line waits longer than [`MOMENT`], and none is lost by an orderly end.

use super::output;
use crate::clock;
use std::{
    cell::Cell,
    fmt::Write as _,
    io::{IsTerminal, Write as _, stderr},
    mem,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::Context, prelude::*};

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
    registry.with(Lines).init();
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

/// Makes each event one line with one JSON object.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        thread_local! {
            /// The room of the last line, for the next one.
            static ROOM: Cell<String> = const { Cell::new(String::new()) };
        }
        // Taken, not borrowed: a value may log while it is written.
        let mut line = ROOM.take();
        line.clear();
        if write_line(&mut line, event).is_ok() {
            gather(&line);
        }
        ROOM.set(line);
    }
}

fn write_line(line: &mut String, event: &Event<'_>) -> std::fmt::Result {
    let metadata = event.metadata();
    write!(line, r#"{{"timestamp":"{}""#, clock::moment())?;
    let mut fields = Fields { line, done: Ok(()) };
    fields.text("level", metadata.level().as_str());
    fields.text("target", metadata.target());
    event.record(&mut fields);
    fields.done?;
    line.push_str("}\n");
    Ok(())
}

/// The fields of an event, written one after the other.
struct Fields<'a> {
    line: &'a mut String,
    done: std::fmt::Result,
}

impl Fields<'_> {
    fn name(&mut self, name: &str) {
        for part in [",\"", name, "\":"] {
            self.line.push_str(part);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        if is_plain(value) {
            for part in ["\"", value, "\""] {
                self.line.push_str(part);
            }
        } else {
            self.write(format_args!("{}", serde_json::Value::from(value)));
        }
    }

    fn other(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        self.write(format_args!("{value}"));
    }

    fn write(&mut self, value: std::fmt::Arguments<'_>) {
        if self.done.is_ok() {
            self.done = self.line.write_fmt(value);
        }
    }
}

/// Whether a JSON string of this text is the text.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\')
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.other(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.other(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.other(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

/// Adds a line to those that are to be written.
fn gather(line: &str) {
    let mut gathered = gathered();
    gathered.extend_from_slice(line.as_bytes());
    let enough = gathered.len() >= ENOUGH;
    drop(gathered);
    if enough {
        flush();
    }
}
