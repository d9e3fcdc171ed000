//! The `inboxes` table.

use super::statements;
use crate::{
    domain::{Channel, Inbox, InboxStatus},
    id::{AccountId, EventId, InboxId},
};
use db::{Each, Error, Row, Session, Sql, Value};

statements! {
    // The total beside each row, in one statement and so of one snapshot. SQLite counts it once, and needs no
    // temporary table as it does for a join with a subquery or for a window.
    LIST = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count,
            (SELECT COUNT(*) FROM inboxes
                WHERE account_id = $1 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
                  AND (CAST($3 AS TEXT) IS NULL OR status = $3))
        FROM inboxes
        WHERE account_id = $1 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
          AND (CAST($3 AS TEXT) IS NULL OR status = $3)
        ORDER BY created_at, id LIMIT $4 OFFSET $5";
    TOTAL = "SELECT COUNT(*) FROM inboxes
        WHERE account_id = $1 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
          AND (CAST($3 AS TEXT) IS NULL OR status = $3)";
    // From a mark on. One for each way to narrow a list, so that each walks along its own index.
    PAGE = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count
        FROM inboxes WHERE account_id = $1 AND (created_at, id) >= ($2, $3)
        ORDER BY created_at, id LIMIT $4 OFFSET $5";
    PAGE_OF_TYPE = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count
        FROM inboxes WHERE account_id = $1 AND (created_at, id) >= ($2, $3) AND type = $4
        ORDER BY created_at, id LIMIT $5 OFFSET $6";
    PAGE_OF_STATUS = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count
        FROM inboxes WHERE account_id = $1 AND (created_at, id) >= ($2, $3) AND status = $4
        ORDER BY created_at, id LIMIT $5 OFFSET $6";
    PAGE_OF_BOTH = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count
        FROM inboxes WHERE account_id = $1 AND (created_at, id) >= ($2, $3) AND type = $4 AND status = $5
        ORDER BY created_at, id LIMIT $6 OFFSET $7";
    MARKS = "SELECT created_at, id FROM
            (SELECT created_at, id, ROW_NUMBER() OVER (ORDER BY created_at, id) AS place FROM inboxes
                WHERE account_id = $1 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
                  AND (CAST($3 AS TEXT) IS NULL OR status = $3)) AS numbered
        WHERE (place - 1) % $4 = 0 ORDER BY created_at, id";
    FIND = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count
        FROM inboxes WHERE account_id = $1 AND id = $2";
    FIND_DETAILS = "SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count,
            settings, proved_at
        FROM inboxes WHERE account_id = $1 AND id = $2";
    INSERT = "INSERT INTO inboxes
            (account_id, id, name, type, phone_number, instagram_account_id, settings, proved_at, created_at, change_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    UPDATE = "UPDATE inboxes SET name = $1, settings = $2,
            switched_off_at = CASE WHEN CAST($3 AS BIGINT) IS NULL THEN NULL ELSE COALESCE(switched_off_at, $3) END, change_id = $4
        WHERE account_id = $5 AND id = $6";
    SET_SETTINGS = "UPDATE inboxes SET settings = $1 WHERE account_id = $2 AND id = $3";
    PROVE = "UPDATE inboxes SET proved_at = $1, change_id = $2 WHERE account_id = $3 AND id = $4 AND proved_at IS NULL";
    CHANGED = "SELECT change_id, id FROM inboxes WHERE account_id = $1 AND change_id > $2 ORDER BY change_id LIMIT $3";
    COUNT = "UPDATE inboxes SET messages_count = messages_count + $1 WHERE account_id = $2 AND id = $3";
    DELETE = "DELETE FROM inboxes WHERE account_id = $1 AND id = $2";
}

/// SQLite has one writer at a time: its write transaction is the lock.
const LOCK: Sql = Sql {
    sqlite: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2",
    postgres: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 FOR NO KEY UPDATE",
};
const LOCK_TYPE: Sql = Sql {
    sqlite: "SELECT id FROM inboxes WHERE account_id = $1 AND type = $2 ORDER BY id",
    postgres: "SELECT id FROM inboxes WHERE account_id = $1 AND type = $2 ORDER BY id FOR NO KEY UPDATE",
};
/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[LOCK, LOCK_TYPE];
/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(LOCK), Each::Update(COUNT)];

/// What a listing is narrowed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only this type.
    pub channel: Option<Channel>,
    /// Only this status.
    pub status: Option<InboxStatus>,
}

/// A page of the inboxes that match, by creation time and then id, and how many match in all. `limit` is at least 1.
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    filter: Filter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Inbox>, i64), Error> {
    let params = [
        account.into(),
        filter.channel.map(Channel::as_str).into(),
        filter.status.map(InboxStatus::as_str).into(),
        limit.into(),
        offset.into(),
    ];
    loop {
        let mut total = 0;
        let page = session
            .query(&LIST, &params, |row| {
                total = row.get(8)?;
                read(row, 0)
            })
            .await?;
        if !page.is_empty() {
            return Ok((page, total));
        }
        // An empty page has no row to carry the total.
        let total = session.query_opt(&TOTAL, &params[..3], |row| row.get(0));
        let total = total.await?.unwrap_or(0);
        if total <= offset {
            return Ok((page, total));
        }
        // Between the two statements, inboxes were added up to this page: it is no longer empty.
    }
}

/// Where the pages of a long list begin: the `created_at` and `id` of every so manieth that matches.
#[derive(Debug)]
pub struct Marks {
    /// How many match in all.
    pub total: i64,
    marks: Vec<(i64, InboxId)>,
}

impl Marks {
    /// How far apart they are: a page is then at most so many rows away from one, and a mark is a small part of what it marks.
    const APART: i64 = 64;

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        self.marks
            .iter()
            .map(|(_, id)| size_of::<(i64, InboxId)>() + id.as_str().len())
            .sum()
    }
}

/// The marks of those that match. Takes a look at each of them. Use a snapshot, of which total and marks both are.
pub async fn marks(
    session: &mut Session,
    account: &AccountId,
    filter: Filter,
) -> Result<Marks, Error> {
    let params = [
        account.into(),
        filter.channel.map(Channel::as_str).into(),
        filter.status.map(InboxStatus::as_str).into(),
        Marks::APART.into(),
    ];
    let total = session.query_opt(&TOTAL, &params[..3], |row| row.get(0));
    let total = total.await?.unwrap_or(0);
    let marks = session.query(&MARKS, &params, |row| {
        Ok((row.get(0)?, InboxId::from_text(row.text(1)?)))
    });
    Ok(Marks {
        total,
        marks: marks.await?,
    })
}

/// The same page as [`list`] gives, found by marks that still hold.
pub async fn page(
    session: &mut Session,
    account: &AccountId,
    filter: Filter,
    limit: i64,
    offset: i64,
    marks: &Marks,
) -> Result<Vec<Inbox>, Error> {
    if offset >= marks.total {
        return Ok(Vec::new());
    }
    let place = usize::try_from(offset / Marks::APART).unwrap_or(usize::MAX);
    let Some((created_at, id)) = marks.marks.get(place) else {
        return Ok(Vec::new());
    };
    let mut params: Vec<Value<'_>> = vec![account.into(), (*created_at).into(), id.into()];
    let sql = match (filter.channel, filter.status) {
        (None, None) => &PAGE,
        (Some(_), None) => &PAGE_OF_TYPE,
        (None, Some(_)) => &PAGE_OF_STATUS,
        (Some(_), Some(_)) => &PAGE_OF_BOTH,
    };
    params.extend(filter.channel.map(|channel| Value::from(channel.as_str())));
    params.extend(filter.status.map(|status| Value::from(status.as_str())));
    params.push(limit.into());
    params.push((offset % Marks::APART).into());
    session.query(sql, &params, |row| read(row, 0)).await
}

/// One of them.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
) -> Result<Option<Inbox>, Error> {
    session
        .query_opt(&FIND, &[account.into(), id.into()], |row| read(row, 0))
        .await
}

/// An inbox with what the listing does not show.
#[derive(Debug, Clone)]
pub struct Details {
    /// What the listing shows.
    pub inbox: Inbox,
    /// What is set about its channel and is no secret: a JSON object.
    pub settings: String,
    /// When the channel proved that it works.
    pub proved_at: Option<i64>,
}

/// One of them, with its settings.
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

/// Adds one.
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

/// Changes what a business may change. `switched_off_at` is `None` for an inbox that is on.
pub async fn update(
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
    name: &str,
    settings: &str,
    switched_off_at: Option<i64>,
    change: &EventId,
) -> Result<(), Error> {
    let params = [
        name.into(),
        settings.into(),
        switched_off_at.into(),
        change.into(),
        account.into(),
        id.into(),
    ];
    session.execute(&UPDATE, &params).await?;
    Ok(())
}

/// Changes what is set about its channel, and nothing that an event tells of.
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

/// Holds off every other change of these inboxes, their counts' too, until this transaction ends. For each, whether
/// it is there. Keep them in one order everywhere, or two transactions can block each other for good.
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

/// The same for all inboxes of one type in an account, which share their contacts.
pub async fn lock_type(
    session: &mut Session,
    account: &AccountId,
    channel: Channel,
) -> Result<(), Error> {
    let params = [account.into(), channel.as_str().into()];
    session.query(&LOCK_TYPE, &params, |_| Ok(())).await?;
    Ok(())
}

/// Notes that the channel works, the first time. True if this was the first time.
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

/// The inboxes that changed after an event, oldest change first. Of several changes of one inbox the last is known.
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

/// Adds to the counts of inboxes, each named once. Lock them first, or two transactions can block each other for good.
pub async fn count(
    session: &mut Session,
    counts: impl Iterator<Item = (&AccountId, &InboxId, i64)>,
) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = counts
        .map(|(account, inbox, more)| vec![more.into(), account.into(), inbox.into()])
        .collect();
    session.update_each(&COUNT, &runs).await
}

/// Removes one that nothing refers to any more.
pub async fn delete(session: &mut Session, account: &AccountId, id: &InboxId) -> Result<(), Error> {
    session
        .execute(&DELETE, &[account.into(), id.into()])
        .await?;
    Ok(())
}

/// Reads the eight columns of an inbox, the first of which is column `at`.
fn read(row: &Row<'_>, at: usize) -> Result<Inbox, Error> {
    let unknown = |what: &'static str| Error::Broken(what.to_owned());
    Ok(Inbox {
        id: InboxId::from_text(row.text(at)?),
        name: row.get(at + 1)?,
        channel: row.text(at + 2)?.parse().map_err(unknown)?,
        status: row.text(at + 3)?.parse().map_err(unknown)?,
        phone_number: row.get(at + 4)?,
        instagram_account_id: row.get(at + 5)?,
        created_at: row.get(at + 6)?,
        messages_count: row.get(at + 7)?,
    })
}
