//! Marks of long lists: the places where their pages begin. With them, a page can be read without skipping all rows before
//! it.
//!
//! `cache` keeps the marks, and decides how long they are valid.
//!
//! Invariant: with valid marks, a page is the same as that of [`super::list`].

use super::{Filter, Page, channel, read, status};
use crate::{
    domain::{Channel, Inbox, InboxStatus},
    id::{AccountId, InboxId},
};
use db::{Error, Row, Session, Sql, Value};
use std::collections::HashMap;

/// The rows from a mark on. SQLite is told which index to use. Otherwise it could choose the index of all rows instead of
/// that of the matching ones.
macro_rules! page {
    ($index:literal, $narrowed:literal, $limit:literal, $offset:literal) => {
        Sql {
            sqlite: page!(@ concat!(" INDEXED BY ", $index), $narrowed, $limit, $offset),
            postgres: page!(@ "", $narrowed, $limit, $offset),
        }
    };
    (@ $by:expr, $narrowed:literal, $limit:literal, $offset:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM inboxes",
            $by,
            " WHERE account_id = $1 AND (created_at, id) >= ($2, $3) AND deleted_at IS NULL",
            $narrowed,
            " ORDER BY created_at, id LIMIT ",
            $limit,
            " OFFSET ",
            $offset
        )
    };
}

const PAGE: Sql = Sql::same(page!(@ "", "", "$4", "$5"));
const PAGE_OF_TYPE: Sql = page!("inboxes_by_type", " AND type = $4", "$5", "$6");
const PAGE_OF_STATUS: Sql = page!("inboxes_by_status", " AND status = $4", "$5", "$6");
const PAGE_OF_BOTH: Sql = page!(
    "inboxes_by_type_and_status",
    " AND type = $4 AND status = $5",
    "$6",
    "$7"
);
const STEP: Sql = Sql::same(
    "SELECT id, type, status, created_at FROM inboxes
    WHERE account_id = $1 AND (created_at, id) > ($2, $3) AND deleted_at IS NULL ORDER BY created_at, id LIMIT $4",
);
pub(super) const ALL: &[Sql] = &[PAGE, PAGE_OF_TYPE, PAGE_OF_STATUS, PAGE_OF_BOTH, STEP];

/// The number of rows that are read at once.
const STRIDE: i64 = 2048;

/// The marks of an account's lists: for each filter, the `created_at` and `id` of every 32nd inbox that matches, and the
/// total number of matches.
#[derive(Debug, Default)]
pub struct Marks {
    lists: HashMap<Filter, List>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct List {
    total: i64,
    marks: Vec<(i64, InboxId)>,
}

impl Marks {
    /// The number of inboxes per mark. On average, half as many rows are skipped before a page. One mark takes little
    /// memory compared with its inboxes.
    const APART: i64 = 32;

    /// The total number of matches.
    pub fn total(&self, filter: Filter) -> i64 {
        self.lists.get(&filter).map_or(0, |list| list.total)
    }

    /// The memory that the marks take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next inbox in the order of the list.
    fn add(&mut self, created_at: i64, id: &str, channel: Channel, status: InboxStatus) {
        for filter in Filter::all_of(channel, status) {
            let list = self.lists.entry(filter).or_default();
            if list.total % Marks::APART == 0 {
                list.marks.push((created_at, InboxId::from_text(id)));
                self.bytes += size_of::<(i64, InboxId)>() + id.len();
            }
            list.total += 1;
        }
    }

    /// The last mark before this offset.
    fn before(&self, filter: Filter, place: i64) -> Option<&(i64, InboxId)> {
        let place = usize::try_from(place / Marks::APART).ok()?;
        self.lists.get(&filter)?.marks.get(place)
    }
}

/// Reads the marks of an account's lists. This reads every inbox, so it must run on a thread that may block. It needs a
/// snapshot, so that all marks are from the same moment.
pub async fn marks(session: &mut Session, account: &AccountId) -> Result<Marks, Error> {
    let mut marks = Marks::default();
    let mut last = (i64::MIN, String::new());
    loop {
        let (created_at, id) = &last;
        let params = [
            account.into(),
            (*created_at).into(),
            id.into(),
            STRIDE.into(),
        ];
        let add = |row: &Row<'_>| {
            let (id, created_at) = (row.text(0)?, row.get(3)?);
            marks.add(created_at, id, channel(row, 1)?, status(row, 2)?);
            Ok((created_at, id.to_owned()))
        };
        let rows = session.query(&STEP, &params, add).await?;
        match rows.len() < STRIDE as usize {
            true => return Ok(marks),
            false => last = rows.into_iter().next_back().unwrap_or_default(),
        }
    }
}

/// The same page as that of [`super::list`], found by valid marks.
pub async fn page(
    session: &mut Session,
    account: &AccountId,
    page: Page,
    marks: &Marks,
) -> Result<Vec<Inbox>, Error> {
    let Page {
        filter,
        limit,
        offset,
    } = page;
    if offset >= marks.total(filter) {
        return Ok(Vec::new());
    }
    let Some((created_at, id)) = marks.before(filter, offset) else {
        return Ok(Vec::new());
    };
    let mut params: Vec<Value<'_>> = vec![account.into(), (*created_at).into(), id.into()];
    let sql = match (filter.channel, filter.status) {
        (None, None) => &PAGE,
        (Some(_), None) => &PAGE_OF_TYPE,
        (None, Some(_)) => &PAGE_OF_STATUS,
        (Some(_), Some(_)) => &PAGE_OF_BOTH,
    };
    params.extend(filter.params());
    params.extend([limit, offset % Marks::APART].map(Value::from));
    session.query(sql, &params, |row| read(row, 0)).await
}
