//! The `quarantine` table: updates with a valid signature that could not be read.
//!
//! Invariant: the same update is there at most once for each inbox.

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
    LIST = concat!("SELECT id, inbox_id, channel, reason, headers, received_at, CAST(LENGTH(body) AS BIGINT) FROM quarantine
        WHERE account_id = $1 AND id > $2", not_deleted!("inbox_id"), "ORDER BY id LIMIT $3");
    FIND = concat!("SELECT id, inbox_id, channel, reason, headers, received_at, CAST(LENGTH(body) AS BIGINT), body FROM quarantine
        WHERE account_id = $1 AND id = $2", not_deleted!("inbox_id"));
    DELETE = "DELETE FROM quarantine WHERE account_id = $1 AND id = $2";
    COUNT = "SELECT COUNT(*) FROM (SELECT 1 FROM quarantine ORDER BY account_id, id LIMIT 10000) AS first";
}

/// A new entry.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Its id.
    pub id: QuarantineId,
    /// The account that owns the inbox.
    pub account: &'a AccountId,
    /// The inbox that it is for.
    pub inbox: &'a InboxId,
    /// The inbox's channel.
    pub channel: Channel,
    /// Why it could not be read.
    pub reason: &'a str,
    /// The request's headers, without secrets: a JSON object.
    pub headers: &'a str,
    /// The body as it was received.
    pub body: &'a [u8],
    /// The hash by which the same update is recognised.
    pub body_hash: [u8; 32],
    /// When it was received, in seconds since 1970.
    pub received_at: i64,
}

/// Adds an entry, if the same update is not there yet. Returns whether it did.
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

/// A quarantined update.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: QuarantineId,
    /// The inbox that it is for.
    pub inbox: InboxId,
    /// The inbox's channel.
    pub channel: Channel,
    /// Why it could not be read.
    pub reason: String,
    /// The request's headers, without secrets: a JSON object.
    pub headers: String,
    /// When it was received, in seconds since 1970.
    pub received_at: i64,
    /// The length of the body in bytes.
    pub bytes: i64,
}

/// The entries of an account after an entry, oldest first.
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    after: &QuarantineId,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let params = [account.into(), after.into(), limit.into()];
    session.query(&LIST, &params, read).await
}

/// One entry, and the body as it was received.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<Option<(Entry, Vec<u8>)>, Error> {
    session
        .query_opt(&FIND, &[account.into(), id.into()], |row| {
            Ok((read(row)?, row.get(7)?))
        })
        .await
}

/// Deletes an entry. Returns whether it was there.
pub async fn delete(
    session: &mut Session,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<bool, Error> {
    let params = [account.into(), id.into()];
    Ok(session.execute(&DELETE, &params).await? > 0)
}

/// The number of entries on the whole server, at most 10,000.
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
        bytes: row.get(6)?,
    })
}
