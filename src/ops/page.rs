//! Writes a page of a list as JSON while its rows are read, so that stored JSON is neither copied nor parsed.
//!
//! A row with changes is written later, after the changes of all such rows were read at once.
//!
//! Invariant: a page has at least one row, unless the list is empty, and further rows only up to `MOST` bytes.

use super::{Context, on_blocking_thread};
use crate::{clock, error, id::AccountId, store::messages::Changes};
use db::{EngineKind, Error};
use serde::Serialize;
use std::{ops::Range, time::Duration};

/// The maximum size of a page's rows, in bytes. A page that reaches it ends early, and the next page continues.
pub(super) const MOST: usize = 4 << 20;

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// Its rows as JSON values, separated by commas.
    pub rows: Vec<u8>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// The size of a page that takes long to write, in bytes.
const LONG: usize = 256 << 10;
/// The time that a page takes long from. It is measured on SQLite only: on PostgreSQL it may have been spent waiting.
const SLOW: Duration = Duration::from_millis(20);

/// Reads a page of an account. If the account's last page took long, this one is read on a thread that may block, after the
/// account's others: one account's long pages must not delay other accounts.
pub(super) async fn in_turn<F>(
    context: &Context,
    account: &AccountId,
    read: impl FnOnce(Context, AccountId) -> F,
) -> Result<Page, error::Error>
where
    F: Future<Output = Result<Page, error::Error>> + Send + 'static,
{
    let state = context.cache.account(account);
    let read = read(context.clone(), account.clone());
    let embedded = context.db.engine() == EngineKind::Sqlite;
    let timed = async move {
        let begun = clock::stopwatch();
        let page = read.await?;
        let slow = embedded && begun.elapsed() > SLOW;
        Ok((slow || page.rows.len() > LONG, page))
    };
    let (slow, page) = match state.is_slow() {
        false => timed.await?,
        true => {
            let _turn = state.turn().await;
            on_blocking_thread(timed).await?
        }
    };
    state.note_slow(slow);
    Ok(page)
}

/// A page that is being written.
pub(super) struct Draft<T> {
    text: Vec<u8>,
    rows: Vec<Row<T>>,
    limit: usize,
    has_more: bool,
}

struct Row<T> {
    cursor: String,
    content: Content<T>,
}

enum Content<T> {
    Written(Range<usize>),
    Open(T),
}

impl<T> Draft<T> {
    /// Starts a page of at most `limit` rows.
    pub(super) fn new(limit: i64) -> Self {
        Draft {
            text: Vec::with_capacity(32 << 10),
            rows: Vec::new(),
            limit: usize::try_from(limit).unwrap_or(0),
            has_more: false,
        }
    }

    /// Whether the page can have another row. If not, records that there is a next page.
    pub(super) fn has_room(&mut self) -> bool {
        self.has_more |= self.rows.len() == self.limit;
        !self.has_more
    }

    /// Writes a row. `cursor` is the cursor of a page that begins after it.
    pub(super) fn write(&mut self, cursor: String, row: &impl Serialize) -> Result<(), Error> {
        let written = self.append(row)?;
        self.rows.push(Row {
            cursor,
            content: Content::Written(written),
        });
        Ok(())
    }

    /// Adds a row that will be written later.
    pub(super) fn leave_open(&mut self, cursor: String, row: T) {
        let content = Content::Open(row);
        self.rows.push(Row { cursor, content });
    }

    /// Whether the page has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that are not written yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().filter_map(|row| match &row.content {
            Content::Written(_) => None,
            Content::Open(row) => Some(row),
        })
    }

    /// Writes the rows that are not written yet, each with its changes, and ends the page where it is full. If `reversed`,
    /// the last row comes first.
    pub(super) fn finish<R: Serialize>(
        mut self,
        changes: Vec<Changes>,
        reversed: bool,
        close: impl Fn(T, Changes) -> Result<R, Error>,
    ) -> Result<Page, Error> {
        let mut changes = changes.into_iter();
        let mut written: Vec<Range<usize>> = Vec::with_capacity(self.rows.len());
        let mut bytes = 0;
        let mut last = None;
        for row in std::mem::take(&mut self.rows) {
            let range = match row.content {
                Content::Written(range) => range,
                Content::Open(row) => {
                    let changes = changes.next().unwrap_or_default();
                    // The next page can have all of its changes.
                    if !changes.complete && last.is_some() {
                        self.has_more = true;
                        break;
                    }
                    self.append(&close(row, changes)?)?
                }
            };
            bytes += range.len();
            if bytes > MOST && last.is_some() {
                self.has_more = true;
                break;
            }
            written.push(range);
            last = Some(row.cursor);
        }
        if reversed {
            written.reverse();
        }
        let mut rows = Vec::with_capacity(bytes + written.len());
        for range in written {
            if !rows.is_empty() {
                rows.push(b',');
            }
            rows.extend_from_slice(&self.text[range]);
        }
        Ok(Page {
            rows,
            next: last.filter(|_| self.has_more),
        })
    }

    fn append(&mut self, row: &impl Serialize) -> Result<Range<usize>, Error> {
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, row)
            .map_err(|error| Error::Broken(error.to_string()))?;
        Ok(start..self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(
        limit: i64,
        sizes: &[usize],
        changes: Vec<Changes>,
        reversed: bool,
    ) -> (String, Option<String>) {
        let mut draft = Draft::new(limit);
        for (number, size) in sizes.iter().enumerate() {
            if !draft.has_room() {
                continue;
            }
            let text = number.to_string().repeat(*size);
            match number % 2 {
                0 => draft.write(number.to_string(), &text).expect("written"),
                _ => draft.leave_open(number.to_string(), text),
            }
        }
        let page = draft
            .finish(changes, reversed, |text, _| Ok(text))
            .expect("a page");
        (String::from_utf8(page.rows).expect("a text"), page.next)
    }

    #[test]
    fn rows_keep_their_order_whenever_they_are_written() {
        assert_eq!(
            page(4, &[1, 1, 1], Vec::new(), false),
            (r#""0","1","2""#.to_owned(), None)
        );
        assert_eq!(
            page(3, &[1, 1, 1], Vec::new(), true),
            (r#""2","1","0""#.to_owned(), None)
        );
        assert_eq!(
            page(2, &[1, 1, 1], Vec::new(), true),
            (r#""1","0""#.to_owned(), Some("1".to_owned()))
        );
        assert_eq!(page(2, &[], Vec::new(), false), (String::new(), None));
    }

    #[test]
    fn a_full_page_ends_and_one_row_always_fits() {
        let (rows, next) = page(9, &[MOST / 2, MOST / 3, MOST / 2], Vec::new(), false);
        assert!(rows.len() < MOST);
        assert_eq!(next.as_deref(), Some("1"));
        let (rows, next) = page(9, &[2 * MOST, 1], Vec::new(), false);
        assert!(rows.len() > MOST);
        assert_eq!(next.as_deref(), Some("0"));
    }

    #[test]
    fn a_row_of_which_not_all_is_known_begins_the_next_page() {
        let missing = || Changes {
            complete: false,
            ..Changes::default()
        };
        let (rows, next) = page(9, &[1, 1, 1, 1], vec![Changes::default(), missing()], false);
        assert_eq!(
            (rows.as_str(), next.as_deref()),
            (r#""0","1","2""#, Some("2"))
        );
    }
}
