//! The `quarantine` table: what was delivered and signed, and could not be understood.

use super::statements;
use crate::{
    domain::Channel,
    id::{AccountId, InboxId, QuarantineId},
};
use db::{Error, Session};

statements! {
    INSERT = "INSERT INTO quarantine (account_id, inbox_id, body_hash, id, channel, reason, headers, body, received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (account_id, inbox_id, body_hash) DO NOTHING";
    DELETE_ALL = "DELETE FROM quarantine WHERE account_id = $1 AND inbox_id = $2";
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

/// Removes all of an inbox.
pub async fn delete_all(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
) -> Result<(), Error> {
    let params = [account.into(), inbox.into()];
    session.execute(&DELETE_ALL, &params).await?;
    Ok(())
}
