//! What commands print: one JSON value, or a table.

use super::Failure;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;
use std::io::{Write, stderr, stdout};

/// How a command answers.
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Output { json }
    }

    /// One thing: an object, or a table of its fields.
    pub(super) fn one(
        &self,
        thing: &impl Serialize,
        rows: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Result<(), Failure> {
        if self.json {
            return self.json(thing);
        }
        let mut table = table();
        for (name, value) in rows() {
            table.add_row([name.to_owned(), value]);
        }
        say(&table.to_string())
    }

    /// Many things: an array, or a table with a row for each.
    pub(super) fn many<T: Serialize>(
        &self,
        things: &[T],
        columns: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.json {
            return self.json(&things);
        }
        let mut table = table();
        table.set_header(columns);
        for thing in things {
            table.add_row(row(thing));
        }
        say(&table.to_string())
    }

    /// Prints one JSON value.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        say(&text)
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A line on standard output. A reader that has gone away (`| head`) is no fault of the command.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    match writeln!(stdout(), "{text}").and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// An error on standard error. If even that cannot be written, there is nobody to tell.
pub(super) fn error(message: &str) {
    writeln!(stderr(), "inboxd: {message}").ok();
}

/// A table's text for what may not be there.
pub(super) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
