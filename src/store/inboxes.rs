//! The `inboxes` table.

/// The columns that [`read`] reads.
macro_rules! columns {
    () => {
        "id, name, type, status, phone_number, instagram_account_id, created_at, messages_count"
    };
}

mod marks;

pub use marks::{Marks, marks, page};

use super::statements;
use crate::{
    domain::{Channel, Inbox, InboxStatus},
    id::{AccountId, EventId, InboxId},
};
use db::{Each, Error, Row, Session, Sql, Value};

/// Counts the matching inboxes of an account. The few deleted ones are counted separately and subtracted, so that an index
/// is enough to count the others. Their condition is an expression. Otherwise SQLite would count all matches twice.
macro_rules! total {
    ($narrowed:literal, $deleted:literal) => {
        concat!(
            "SELECT (SELECT COUNT(*) FROM inboxes WHERE account_id = $1",
            $narrowed,
            ") - (SELECT COUNT(*) FROM inboxes WHERE account_id = $1 AND deleted_at > 0",
            $deleted,
            ")"
        )
    };
}

/// Selects a page, with the total in each row: one statement reads one snapshot. SQLite counts the total once. For a join
/// with a subquery or for a window function it would need a temporary table.
macro_rules! list {
    ($narrowed:literal, $deleted:literal, $limit:literal, $offset:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", (",
            total!($narrowed, $deleted),
            ") FROM inboxes WHERE account_id = $1 AND deleted_at IS NULL",
            $narrowed,
            " ORDER BY created_at, id LIMIT ",
            $limit,
            " OFFSET ",
            $offset
        )
    };
}

statements! {
    // One statement for each combination of filters, so that each uses its own index.
    LIST = list!("", "", "$2", "$3");
    LIST_OF_TYPE = list!(" AND type = $2", " AND type || '' = $2", "$3", "$4");
    LIST_OF_STATUS = list!(" AND status = $2", " AND status || '' = $2", "$3", "$4");
    LIST_OF_BOTH = list!(" AND type = $2 AND status = $3", " AND type || '' = $2 AND status || '' = $3", "$4", "$5");
    TOTAL = total!("", "");
    TOTAL_OF_TYPE = total!(" AND type = $2", " AND type || '' = $2");
    TOTAL_OF_STATUS = total!(" AND status = $2", " AND status || '' = $2");
    TOTAL_OF_BOTH = total!(" AND type = $2 AND status = $3", " AND type || '' = $2 AND status || '' = $3");
    FIND = concat!("SELECT ", columns!(), " FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL");
    FIND_DETAILS = concat!("SELECT ", columns!(), ", settings, proved_at FROM inboxes
        WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL");
    INSERT = "INSERT INTO inboxes
            (account_id, id, name, type, phone_number, instagram_account_id, settings, proved_at, created_at, change_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    UPDATE = "UPDATE inboxes SET name = $1, settings = $2, proved_at = $3,
            switched_off_at = CASE WHEN CAST($4 AS BIGINT) IS NULL THEN NULL ELSE COALESCE(switched_off_at, $4) END, change_id = $5
        WHERE account_id = $6 AND id = $7";
    OF_NUMBER = "SELECT id FROM inboxes WHERE account_id = $1 AND phone_number = $2 AND id <> $3 AND deleted_at IS NULL LIMIT 1";
    SET_SETTINGS = "UPDATE inboxes SET settings = $1 WHERE account_id = $2 AND id = $3";
    SET_SETTINGS_AND_TELL = "UPDATE inboxes SET settings = $1, change_id = $2 WHERE account_id = $3 AND id = $4";
    PROVE = "UPDATE inboxes SET proved_at = $1, change_id = $2 WHERE account_id = $3 AND id = $4 AND proved_at IS NULL
        AND deleted_at IS NULL";
    CHANGED = "SELECT change_id, id FROM inboxes WHERE account_id = $1 AND change_id > $2 AND deleted_at IS NULL ORDER BY change_id LIMIT $3";
    COUNT = "UPDATE inboxes SET messages_count = messages_count + $1 WHERE account_id = $2 AND id = $3";
    MARK_DELETED = "UPDATE inboxes SET deleted_at = $1 WHERE account_id = $2 AND id = $3";
}

/// On SQLite the write transaction is the lock, since there is one writer at a time.
const LOCK: Sql = Sql {
    sqlite: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL",
    postgres: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE",
};
const LOCK_ALL: Sql = Sql {
    sqlite: "SELECT id FROM inboxes WHERE account_id = $1 LIMIT 0",
    postgres: "SELECT id FROM inboxes WHERE account_id = $1 ORDER BY id FOR NO KEY UPDATE",
};
/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[LOCK, LOCK_ALL];
/// The statements of long lists.
pub(super) const OF_LONG_LISTS: &[Sql] = marks::ALL;
/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(LOCK), Each::Update(COUNT)];

/// The filters of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only this type.
    pub channel: Option<Channel>,
    /// Only this status.
    pub status: Option<InboxStatus>,
}

impl Filter {
    /// The parameters of the filters: the type, the status.
    fn params<'a>(self) -> impl Iterator<Item = Value<'a>> {
        let channel = self.channel.map(|channel| channel.as_str().into());
        let status = self.status.map(|status| status.as_str().into());
        channel.into_iter().chain(status)
    }

    /// Every combination of filters that matches an inbox with this type and status.
    pub fn all_of(channel: Channel, status: InboxStatus) -> [Filter; 4] {
        let (channel, status) = (Some(channel), Some(status));
        [
            (None, None),
            (channel, None),
            (None, status),
            (channel, status),
        ]
        .map(|(channel, status)| Filter { channel, status })
    }
}

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    /// The filters.
    pub filter: Filter,
    /// The maximum number of rows. At least 1.
    pub limit: i64,
    /// The number of rows before the page.
    pub offset: i64,
}

/// A page of the inboxes that match, ordered by creation time and id, and the total number of matches.
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    page: Page,
) -> Result<(Vec<Inbox>, i64), Error> {
    let Page {
        filter,
        limit,
        offset,
    } = page;
    let (list, total_of) = match (filter.channel, filter.status) {
        (None, None) => (&LIST, &TOTAL),
        (Some(_), None) => (&LIST_OF_TYPE, &TOTAL_OF_TYPE),
        (None, Some(_)) => (&LIST_OF_STATUS, &TOTAL_OF_STATUS),
        (Some(_), Some(_)) => (&LIST_OF_BOTH, &TOTAL_OF_BOTH),
    };
    let mut narrowed: Vec<Value<'_>> = vec![account.into()];
    narrowed.extend(filter.params());
    let mut params = narrowed.clone();
    params.extend([limit, offset].map(Value::from));
    loop {
        let mut total = 0;
        let page = session
            .query(list, &params, |row| {
                total = row.get(8)?;
                read(row, 0)
            })
            .await?;
        if !page.is_empty() {
            return Ok((page, total));
        }
        // An empty page has no row to carry the total.
        let total = session.query_opt(total_of, &narrowed, |row| row.get(0));
        let total = total.await?.unwrap_or(0);
        if total <= offset {
            return Ok((page, total));
        }
        // Between the two statements, inboxes were added up to this page: it is no longer empty.
    }
}

/// One inbox.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
) -> Result<Option<Inbox>, Error> {
    session
        .query_opt(&FIND, &[account.into(), id.into()], |row| read(row, 0))
        .await
}

/// Another inbox of the account that has this phone number.
pub async fn of_number(
    session: &mut Session,
    account: &AccountId,
    number: &str,
    but: &InboxId,
) -> Result<Option<InboxId>, Error> {
    let params = [account.into(), number.into(), but.into()];
    let id = |row: &Row<'_>| Ok(InboxId::from_text(row.get::<String>(0)?));
    session.query_opt(&OF_NUMBER, &params, id).await
}

/// An inbox with the columns that a list does not show.
#[derive(Debug, Clone)]
pub struct Details {
    /// The inbox as it is listed.
    pub inbox: Inbox,
    /// The settings of its channel that are not secret: a JSON object.
    pub settings: String,
    /// When the channel proved that it works.
    pub proved_at: Option<i64>,
}

/// One inbox with its settings.
pub async fn find_details(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
) -> Result<Option<Details>, Error> {
    session
        .query_opt(&FIND_DETAILS, &[account.into(), id.into()], |row| {
            Ok(Details {
                inbox: read(row, 0)?,
                settings: row.get(8)?,
                proved_at: row.get(9)?,
            })
        })
        .await
}

/// Adds an inbox.
pub async fn insert(
    session: &mut Session,
    account: &AccountId,
    details: &Details,
    change: &EventId,
) -> Result<(), Error> {
    let inbox = &details.inbox;
    let row = [
        account.into(),
        (&inbox.id).into(),
        (&inbox.name).into(),
        inbox.channel.as_str().into(),
        inbox.phone_number.as_deref().into(),
        inbox.instagram_account_id.as_deref().into(),
        (&details.settings).into(),
        details.proved_at.into(),
        inbox.created_at.into(),
        change.into(),
    ];
    session.execute(&INSERT, &row).await?;
    Ok(())
}

/// The columns that a change of an inbox sets.
#[derive(Debug)]
pub struct Update<'a> {
    /// Display name.
    pub name: &'a str,
    /// The settings of its channel that are not secret: a JSON object.
    pub settings: &'a str,
    /// When its address proved that it works, if it did.
    pub proved_at: Option<i64>,
    /// When it was switched off, if it is off. An inbox that was off before keeps its time.
    pub switched_off_at: Option<i64>,
    /// The event of this change.
    pub change: &'a EventId,
}

/// Changes an inbox.
pub async fn update(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
    update: &Update<'_>,
) -> Result<(), Error> {
    let params = [
        update.name.into(),
        update.settings.into(),
        update.proved_at.into(),
        update.switched_off_at.into(),
        update.change.into(),
        account.into(),
        id.into(),
    ];
    session.execute(&UPDATE, &params).await?;
    Ok(())
}

/// Changes the settings of an inbox, without an event.
pub async fn set_settings(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
    settings: &str,
) -> Result<(), Error> {
    let params = [settings.into(), account.into(), id.into()];
    session.execute(&SET_SETTINGS, &params).await?;
    Ok(())
}

/// The same with an event that tells of it.
pub async fn set_settings_and_tell(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
    settings: &str,
    change: &EventId,
) -> Result<(), Error> {
    let params = [settings.into(), change.into(), account.into(), id.into()];
    session.execute(&SET_SETTINGS_AND_TELL, &params).await?;
    Ok(())
}

/// Locks these inboxes against other changes, also of their counts, until this transaction ends. Returns for each whether
/// it exists. They must be sorted in the same way everywhere, to prevent deadlocks.
pub async fn lock(
    session: &mut Session,
    inboxes: &[(&AccountId, &InboxId)],
) -> Result<Vec<bool>, Error> {
    let runs: Vec<Vec<Value<'_>>> = inboxes
        .iter()
        .map(|(account, id)| vec![(*account).into(), (*id).into()])
        .collect();
    let found = session.find_each(&LOCK, &runs, |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}

/// Holds off every change of an account's inboxes until this transaction ends: they share their contacts.
pub async fn lock_all(session: &mut Session, account: &AccountId) -> Result<(), Error> {
    session
        .query(&LOCK_ALL, &[account.into()], |_| Ok(()))
        .await?;
    Ok(())
}

/// Records that the channel works, if this is not recorded yet. Returns whether it did.
pub async fn prove(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
    now: i64,
    change: &EventId,
) -> Result<bool, Error> {
    let params = [now.into(), change.into(), account.into(), id.into()];
    Ok(session.execute(&PROVE, &params).await? > 0)
}

/// The inboxes that were changed after an event, with the event of their last change, oldest first.
pub async fn changed(
    session: &mut Session,
    account: &AccountId,
    after: &EventId,
    limit: i64,
) -> Result<Vec<(EventId, InboxId)>, Error> {
    let params = [account.into(), after.into(), limit.into()];
    session
        .query(&CHANGED, &params, |row| {
            Ok((
                EventId::from_text(row.get::<String>(0)?),
                InboxId::from_text(row.get::<String>(1)?),
            ))
        })
        .await
}

/// Adds to the message counts of inboxes. Each inbox must be there once. They must be locked first, to prevent deadlocks.
pub async fn count(
    session: &mut Session,
    counts: impl Iterator<Item = (&AccountId, &InboxId, i64)>,
) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = counts
        .map(|(account, inbox, more)| vec![more.into(), account.into(), inbox.into()])
        .collect();
    session.update_each(&COUNT, &runs).await
}

/// Marks an inbox as deleted. From now on, neither the inbox nor its data can be found. [`super::purge`] removes the data.
pub async fn mark_deleted(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
    now: i64,
) -> Result<(), Error> {
    let params = [now.into(), account.into(), id.into()];
    session.execute(&MARK_DELETED, &params).await?;
    Ok(())
}

/// Reads the eight columns of an inbox, the first of which is column `at`.
fn read(row: &Row<'_>, at: usize) -> Result<Inbox, Error> {
    Ok(Inbox {
        id: InboxId::from_text(row.text(at)?),
        name: row.get(at + 1)?,
        channel: channel(row, at + 2)?,
        status: status(row, at + 3)?,
        phone_number: row.get(at + 4)?,
        instagram_account_id: row.get(at + 5)?,
        created_at: row.get(at + 6)?,
        messages_count: row.get(at + 7)?,
    })
}

fn channel(row: &Row<'_>, at: usize) -> Result<Channel, Error> {
    let known = row.text(at)?.parse();
    known.map_err(|what: &str| Error::Broken(what.to_owned()))
}

fn status(row: &Row<'_>, at: usize) -> Result<InboxStatus, Error> {
    let known = row.text(at)?.parse();
    known.map_err(|what: &str| Error::Broken(what.to_owned()))
}
