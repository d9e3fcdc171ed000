//! The `quarantine` table: what was delivered and signed, and could not be understood.

use super::{not_deleted, statements};
use crate::{
    domain::Channel,
    id::{AccountId, InboxId, QuarantineId},
};
use db::{Error, Row, Session};

statements! {
    INSERT = "INSERT INTO quarantine (account_id, inbox_id, body_hash, id, channel, reason, headers, body, received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (account_id, inbox_id, body_hash) DO NOTHING";
    LIST = concat!("SELECT id, inbox_id, channel, reason, headers, received_at, body FROM quarantine
        WHERE account_id = $1 AND id > $2", not_deleted!("inbox_id"), "ORDER BY id LIMIT $3");
    FIND = concat!("SELECT id, inbox_id, channel, reason, headers, received_at, body FROM quarantine
        WHERE account_id = $1 AND id = $2", not_deleted!("inbox_id"));
    DELETE = "DELETE FROM quarantine WHERE account_id = $1 AND id = $2";
    COUNT = "SELECT COUNT(*) FROM (SELECT 1 FROM quarantine ORDER BY account_id, id LIMIT 10000) AS first";
}

/// Something to set aside.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Its id.
    pub id: QuarantineId,
    /// Whose.
    pub account: &'a AccountId,
    /// For which inbox.
    pub inbox: &'a InboxId,
    /// Through which channel.
    pub channel: Channel,
    /// Why it is here.
    pub reason: &'a str,
    /// The request's headers, without secrets: a JSON object.
    pub headers: &'a str,
    /// What came, byte for byte.
    pub body: &'a [u8],
    /// By what the same again is known.
    pub body_hash: [u8; 32],
    /// Our clock.
    pub received_at: i64,
}

/// Sets something aside, once. True if it was not there yet.
pub async fn insert(session: &mut Session, entry: &NewEntry<'_>) -> Result<bool, Error> {
    let row = [
        entry.account.into(),
        entry.inbox.into(),
        entry.body_hash.as_slice().into(),
        (&entry.id).into(),
        entry.channel.as_str().into(),
        entry.reason.into(),
        entry.headers.into(),
        entry.body.into(),
        entry.received_at.into(),
    ];
    Ok(session.execute(&INSERT, &row).await? > 0)
}

/// Something that was set aside.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: QuarantineId,
    /// For which inbox.
    pub inbox: InboxId,
    /// Through which channel.
    pub channel: Channel,
    /// Why it is here.
    pub reason: String,
    /// The request's headers, without secrets: a JSON object.
    pub headers: String,
    /// Our clock.
    pub received_at: i64,
    /// What came, byte for byte.
    pub body: Vec<u8>,
}

/// What was set aside in an account after an entry, oldest first.
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    after: &QuarantineId,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let params = [account.into(), after.into(), limit.into()];
    session.query(&LIST, &params, read).await
}

/// One entry.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<Option<Entry>, Error> {
    session
        .query_opt(&FIND, &[account.into(), id.into()], read)
        .await
}

/// Removes one entry. False if it was not there.
pub async fn delete(
    session: &mut Session,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<bool, Error> {
    let params = [account.into(), id.into()];
    Ok(session.execute(&DELETE, &params).await? > 0)
}

/// How many entries the whole server has.
pub async fn count(session: &mut Session) -> Result<i64, Error> {
    let count = session.query_opt(&COUNT, &[], |row| row.get(0)).await?;
    Ok(count.unwrap_or(0))
}

fn read(row: &Row<'_>) -> Result<Entry, Error> {
    let unknown = |what: &'static str| Error::Broken(what.to_owned());
    Ok(Entry {
        id: QuarantineId::from_text(row.get::<String>(0)?),
        inbox: InboxId::from_text(row.get::<String>(1)?),
        channel: row.get::<String>(2)?.parse().map_err(unknown)?,
        reason: row.get(3)?,
        headers: row.get(4)?,
        received_at: row.get(5)?,
        body: row.get(6)?,
    })
}
