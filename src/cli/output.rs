//! What commands print: one JSON value, or text in columns.
//!
//! Invariant: a value is never cut or broken over lines, so that ids and tokens can be copied. What does not fit side by
//! side into the terminal stands one below the other.

use super::failure::Failure;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use std::io::{Write, stderr, stdout};

/// How a command answers.
pub(super) enum Output {
    /// One JSON value.
    Json,
    /// For a program that reads lines: values separated by tabs, as `cut` and `awk` take them.
    Tabs,
    /// For people: columns in a terminal of this width, in characters.
    Columns(u16),
}

impl Output {
    /// JSON if it is asked for, columns on a terminal, tabs anywhere else.
    pub(super) fn new(json: bool) -> Self {
        let terminal = Table::new();
        match (json, terminal.is_tty()) {
            (true, _) => Output::Json,
            (false, false) => Output::Tabs,
            (false, true) => Output::Columns(terminal.width().unwrap_or(u16::MAX)),
        }
    }

    /// One thing: an object, or a line for each of its fields.
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

    /// Many things: an array, or a line for each below the columns' names.
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

    /// The rows as lines, and the width of the longest.
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

/// Characters between two columns.
const GAP: u16 = 2;

/// A value without control characters but for these: what a customer wrote must not steer the terminal.
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
    writeln!(stderr(), "inboxd: {}", visible(message, "\n")).ok();
}

/// A table's text for what may not be there.
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
