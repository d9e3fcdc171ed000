//! The output of commands: one JSON value, or text in columns.
//!
//! Invariant: a value is never shortened or wrapped, so that ids and tokens can be copied. A table that is too wide for
//! the terminal is printed with one field per line.

use super::failure::Failure;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use std::io::{Write, stderr, stdout};

/// The format of a command's output.
pub(super) enum Output {
    /// One JSON value.
    Json,
    /// Values separated by tabs, for programs that read lines, such as `cut` and `awk`.
    Tabs,
    /// Aligned columns for people, in a terminal of this width in characters.
    Columns(u16),
}

impl Output {
    /// Selects JSON if the user asked for it, aligned columns on a terminal, and tabs otherwise.
    pub(super) fn new(json: bool) -> Self {
        let terminal = Table::new();
        match (json, terminal.is_tty()) {
            (true, _) => Output::Json,
            (false, false) => Output::Tabs,
            (false, true) => Output::Columns(terminal.width().unwrap_or(u16::MAX)),
        }
    }

    /// Prints one object: as JSON, or with one line for each of its fields.
    pub(super) fn one(
        &self,
        thing: &impl Serialize,
        rows: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Result<(), Failure> {
        match self {
            Output::Json => self.json(thing),
            _ => say(&self.fields(&rows())),
        }
    }

    /// Prints a list: as a JSON array, or as a table with the columns' names in its first line.
    pub(super) fn many<T: Serialize>(
        &self,
        things: &[T],
        columns: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        match self {
            Output::Json => self.json(&things),
            _ => {
                let rows: Vec<_> = things.iter().map(row).collect();
                say(&self.table(columns, &rows))
            }
        }
    }

    /// Prints one JSON value.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        say(&text)
    }

    fn fields<N: AsRef<str>>(&self, fields: &[(N, String)]) -> String {
        let rows = fields
            .iter()
            .map(|(name, value)| vec![name.as_ref().to_owned(), value.clone()]);
        self.lines(rows.collect()).0
    }

    fn table(&self, columns: &[&str], rows: &[Vec<String>]) -> String {
        let header = columns.iter().map(|&name| name.to_owned()).collect();
        let side_by_side = [vec![header], rows.to_vec()].concat();
        let (text, width) = self.lines(side_by_side);
        match self {
            Output::Columns(terminal) if width > usize::from(*terminal) => {
                let fields = |row: &Vec<String>| {
                    let named: Vec<_> = columns.iter().zip(row.iter().cloned()).collect();
                    self.fields(&named)
                };
                rows.iter().map(fields).collect::<Vec<_>>().join("\n\n")
            }
            _ => text,
        }
    }

    /// Formats the rows as lines. Also returns the width of the longest line, in characters; 0 without columns.
    fn lines(&self, rows: Vec<Vec<String>>) -> (String, usize) {
        let Output::Columns(_) = self else {
            let line = |row: &Vec<String>| {
                let cells: Vec<_> = row.iter().map(|cell| visible(cell, "")).collect();
                cells.join("\t")
            };
            return (rows.iter().map(line).collect::<Vec<_>>().join("\n"), 0);
        };
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .add_rows(
                rows.iter()
                    .map(|row| row.iter().map(|cell| visible(cell, "\n"))),
            );
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let gap = usize::from(GAP);
        let widths = table.column_max_content_widths();
        let width = widths
            .iter()
            .map(|&width| usize::from(width) + gap)
            .sum::<usize>();
        (table.trim_fmt(), width.saturating_sub(gap))
    }
}

/// Spaces between two columns.
const GAP: u16 = 2;

/// Escapes control characters, except those in `kept`: text that a customer wrote must not be able to control the
/// terminal.
fn visible(text: &str, kept: &str) -> String {
    let escaped = |char: char| char.is_control() && !kept.contains(char);
    text.chars().fold(String::new(), |mut shown, char| {
        match escaped(char) {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
        shown
    })
}

/// Prints a line on standard output. It is no error if the reader has closed the pipe (`| head`).
pub(super) fn say(text: &str) -> Result<(), Failure> {
    match writeln!(stdout(), "{text}").and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints an error on standard error. If that fails, there is nowhere left to report it.
pub(super) fn error(message: &str) {
    writeln!(stderr(), "inboxd: {}", visible(message, "\n")).ok();
}

/// The text of an optional value in a table.
pub(super) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "inbox_01jh3p8v0q7w8x9y0z1a2b3c4d";
    const COLUMNS: [&str; 3] = ["id", "name", "messages"];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        vec![row([ID, "Toko Biru", "15420"]), row([ID, "客服", "7"])]
    }

    #[test]
    fn columns_stand_side_by_side_where_they_fit() {
        let lines = "id                                name       messages\n\
             inbox_01jh3p8v0q7w8x9y0z1a2b3c4d  Toko Biru  15420\n\
             inbox_01jh3p8v0q7w8x9y0z1a2b3c4d  客服       7";
        assert_eq!(Output::Columns(53).table(&COLUMNS, &rows()), lines);
    }

    #[test]
    fn what_does_not_fit_stands_one_below_the_other_and_whole() {
        let lines = "id        inbox_01jh3p8v0q7w8x9y0z1a2b3c4d\n\
             name      Toko Biru\n\
             messages  15420\n\
             \n\
             id        inbox_01jh3p8v0q7w8x9y0z1a2b3c4d\n\
             name      客服\n\
             messages  7";
        for width in [52, 10] {
            assert_eq!(Output::Columns(width).table(&COLUMNS, &rows()), lines);
        }
    }

    #[test]
    fn away_from_a_terminal_tabs_separate_values() {
        let lines = format!("id\tname\tmessages\n{ID}\tToko Biru\t15420\n{ID}\t客服\t7");
        assert_eq!(Output::Tabs.table(&COLUMNS, &rows()), lines);
        let fields = [("name", "a\tb".to_owned()), ("body", "{\n}".to_owned())];
        assert_eq!(Output::Tabs.fields(&fields), "name\ta\\tb\nbody\t{\\n}");
    }

    #[test]
    fn a_value_does_not_steer_the_terminal() {
        let fields = [("body", "a\u{1b}[2Jb\r\nc\u{9b}".to_owned())];
        let shown = "body  a\\u{1b}[2Jb\\r\n      c\\u{9b}";
        assert_eq!(Output::Columns(80).fields(&fields), shown);
    }
}
