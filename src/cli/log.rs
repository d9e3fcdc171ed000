//! The log, always on standard error: formatted for people on a terminal, and as JSON lines otherwise.
//!
//! With the JSON formatter of `tracing_subscriber` and one write per line, logging took a fifth of a request's time. So
//! JSON lines are formatted in a single pass here, collected for a moment, and written together.
//!
//! Invariant: no line waits longer than [`MOMENT`], and an orderly shutdown loses none.

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

/// How long a line may wait to be written.
const MOMENT: Duration = Duration::from_millis(50);
/// The number of collected bytes from which they are written without waiting.
const ENOUGH: usize = 16 * 1024;

/// Lines that are not yet written.
static GATHERED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Starts the log with this filter. If the filter is not valid, the `usual` one is used.
pub(super) fn start(filter: &str, usual: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        output::error(&format!("--log is ignored: {error}"));
        EnvFilter::new(usual)
    });
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(has_no_secrets));
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
        output::error(&format!(
            "the log is written with delays, since its thread cannot be started: {error}"
        ));
    }
}

/// Writes the collected lines. If standard error fails, there is nowhere left to report it.
pub(super) fn flush() {
    // The buffer is emptied first, so that threads that log need not wait for the write.
    let lines = mem::take(&mut *gathered());
    if !lines.is_empty() {
        stderr().write_all(&lines).ok();
    }
}

fn gathered() -> std::sync::MutexGuard<'static, Vec<u8>> {
    // A panic cannot damage the buffer in a way that matters.
    GATHERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Crates whose debug logs may contain secrets. The PostgreSQL driver logs the parameters of statements, which include
/// people's messages. An HTTP client could log a URL of Telegram's API, which contains the bot's token.
const LOGS_SECRETS: [&str; 3] = ["tokio_postgres", "hyper", "reqwest"];

/// Filters out their debug logs, whatever `--log` says.
fn has_no_secrets(metadata: &Metadata<'_>) -> bool {
    let secrets = LOGS_SECRETS
        .iter()
        .any(|name| metadata.target().starts_with(name));
    !secrets || *metadata.level() <= Level::WARN
}

/// Formats each event as a line with one JSON object.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        thread_local! {
            /// The buffer of the last line, reused for the next one.
            static ROOM: Cell<String> = const { Cell::new(String::new()) };
        }
        // The buffer is taken, not borrowed, since a value may itself log while it is formatted.
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

/// Writes the fields of an event, one after the other.
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

/// True if the text needs no escaping in JSON.
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

/// Adds a line to the collected ones.
fn gather(line: &str) {
    let mut gathered = gathered();
    gathered.extend_from_slice(line.as_bytes());
    let enough = gathered.len() >= ENOUGH;
    drop(gathered);
    if enough {
        flush();
    }
}
