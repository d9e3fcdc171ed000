//! Long lists: where their pages begin, so that none is walked to from the start, and a walk along all of one.
//!
//! How long marks hold, and where they are kept, is not known here.
//!
//! Invariant: a page that is found by marks that hold is the same that [`super::list`] gives.

use super::{Filter, channel, read, status};
use crate::{
    domain::{Channel, Inbox, InboxStatus},
    id::{AccountId, InboxId},
};
use db::{Error, Row, Session, Sql, Value};
use std::{collections::HashMap, ops::ControlFlow};

/// The rows from a mark on. SQLite has no statistics here, and would as soon walk along all rows as along the index of
/// those that match: it is told.
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
            " WHERE account_id = $1 AND (created_at, id) >= ($2, $3)",
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
const STEP: Sql = Sql::same(concat!(
    "SELECT ",
    columns!(),
    " FROM inboxes WHERE account_id = $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4"
));
pub(super) const ALL: &[Sql] = &[PAGE, PAGE_OF_TYPE, PAGE_OF_STATUS, PAGE_OF_BOTH, STEP];

/// Rows of a step: so many are in memory at once.
const STRIDE: i64 = 2048;

/// Where the pages of an account's lists begin, under each filter: the `created_at` and `id` of every so manieth that
/// matches, and how many match in all.
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
    /// How far apart they are: half as many rows are walked past on the way to a page, and a mark is a small part of
    /// what it marks.
    const APART: i64 = 32;

    /// How many match.
    pub fn total(&self, filter: Filter) -> i64 {
        self.lists.get(&filter).map_or(0, |list| list.total)
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next one, in the order of the list.
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

    /// The last mark before this place.
    fn before(&self, filter: Filter, place: i64) -> Option<&(i64, InboxId)> {
        let place = usize::try_from(place / Marks::APART).ok()?;
        self.lists.get(&filter)?.marks.get(place)
    }
}

/// The marks of an account's lists. Takes a look at each inbox, which takes its time: use a thread that may block, and a
/// snapshot, which all of them are of then.
pub async fn marks(session: &mut Session, account: &AccountId) -> Result<Marks, Error> {
    let mut marks = Marks::default();
    let add = |row: &Row<'_>| {
        let (channel, status) = (channel(row, 2)?, status(row, 3)?);
        marks.add(row.get(6)?, row.text(0)?, channel, status);
        Ok(ControlFlow::Continue(()))
    };
    walk(session, account, add).await?;
    Ok(marks)
}

/// Shows each inbox of an account, in the order of the list, until it is told to stop. Use a thread that may block, and a
/// snapshot.
pub async fn each(
    session: &mut Session,
    account: &AccountId,
    mut show: impl FnMut(Inbox) -> ControlFlow<()>,
) -> Result<(), Error> {
    walk(session, account, |row| Ok(show(read(row, 0)?))).await
}

async fn walk(
    session: &mut Session,
    account: &AccountId,
    mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let mut after = (i64::MIN, String::new());
    loop {
        let mut last = (after.0, String::new());
        let mut stop = false;
        let params = [
            account.into(),
            after.0.into(),
            (&after.1).into(),
            STRIDE.into(),
        ];
        let step = session.query(&STEP, &params, |row| {
            last.0 = row.get(6)?;
            last.1.clear();
            last.1.push_str(row.text(0)?);
            stop = stop || each(row)?.is_break();
            Ok(())
        });
        let rows = step.await?.len();
        if stop || rows < STRIDE as usize {
            return Ok(());
        }
        after = last;
    }
}

/// The same page as [`super::list`] gives, found by marks that still hold.
pub async fn page(
    session: &mut Session,
    account: &AccountId,
    filter: Filter,
    limit: i64,
    offset: i64,
    marks: &Marks,
) -> Result<Vec<Inbox>, Error> {
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
    params.extend(filter.narrows());
    params.extend([limit, offset % Marks::APART].map(Value::from));
    session.query(sql, &params, |row| read(row, 0)).await
}
