//! The `idempotency_keys` table: the answers to requests that may be repeated.

use super::statements;
use crate::id::AccountId;
use db::{Error, Session};

statements! {
    FIND = "SELECT request, answer, created_at FROM idempotency_keys
        WHERE account_id = $1 AND key_id = $2 AND idempotency_key = $3 AND created_at > $4";
    // One that is over makes room.
    INSERT = "INSERT INTO idempotency_keys (account_id, key_id, idempotency_key, request, answer, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, key_id, idempotency_key) DO UPDATE
        SET request = excluded.request, answer = excluded.answer, created_at = excluded.created_at
        WHERE idempotency_keys.created_at <= $7 RETURNING created_at";
    SETTLE = "UPDATE idempotency_keys SET answer = $1
        WHERE account_id = $2 AND key_id = $3 AND idempotency_key = $4 AND request = $5 AND length(answer) = 0";
    RELEASE = "DELETE FROM idempotency_keys
        WHERE account_id = $1 AND key_id = $2 AND idempotency_key = $3 AND request = $4 AND length(answer) = 0";
    IS_OLD = "SELECT 1 FROM idempotency_keys WHERE created_at <= $1 LIMIT 1";
    FORGET = "DELETE FROM idempotency_keys WHERE (account_id, key_id, idempotency_key) IN (SELECT o.account_id, o.key_id, o.idempotency_key
            FROM idempotency_keys o WHERE o.created_at <= $1 ORDER BY o.created_at LIMIT $2)";
}

/// Who names which key.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// The API key.
    pub key_id: &'a str,
    /// The idempotency key.
    pub key: &'a str,
}

/// What was asked and answered under a name.
#[derive(Debug)]
pub struct Kept {
    /// The request's hash.
    pub request: Vec<u8>,
    /// The answer, sealed. Empty if there is none yet.
    pub answer: Vec<u8>,
    /// When it was kept, in seconds since 1970.
    pub created_at: i64,
}

/// What was asked and answered under a name after this time.
pub async fn find(
    session: &mut Session,
    name: Name<'_>,
    after: i64,
) -> Result<Option<Kept>, Error> {
    let params = [
        name.account.into(),
        name.key_id.into(),
        name.key.into(),
        after.into(),
    ];
    session
        .query_opt(&FIND, &params, |row| {
            Ok(Kept {
                request: row.get(0)?,
                answer: row.get(1)?,
                created_at: row.get(2)?,
            })
        })
        .await
}

/// Keeps an answer, which may be empty yet, unless there is one of after this time. False if there is.
pub async fn insert(
    session: &mut Session,
    name: Name<'_>,
    request: &[u8],
    answer: &[u8],
    now: i64,
    after: i64,
) -> Result<bool, Error> {
    let row = [
        name.account.into(),
        name.key_id.into(),
        name.key.into(),
        request.into(),
        answer.into(),
        now.into(),
        after.into(),
    ];
    let kept = session.query_opt(&INSERT, &row, |_| Ok(())).await?;
    Ok(kept.is_some())
}

/// Keeps the answer to a request that has none yet.
pub async fn settle(
    session: &mut Session,
    name: Name<'_>,
    request: &[u8],
    answer: &[u8],
) -> Result<(), Error> {
    let params = [
        answer.into(),
        name.account.into(),
        name.key_id.into(),
        name.key.into(),
        request.into(),
    ];
    session.execute(&SETTLE, &params).await?;
    Ok(())
}

/// Forgets a request that has no answer yet.
pub async fn release(session: &mut Session, name: Name<'_>, request: &[u8]) -> Result<(), Error> {
    let params = [
        name.account.into(),
        name.key_id.into(),
        name.key.into(),
        request.into(),
    ];
    session.execute(&RELEASE, &params).await?;
    Ok(())
}

/// Whether anything was kept that long ago.
pub async fn is_old(session: &mut Session, until: i64) -> Result<bool, Error> {
    let params = [until.into()];
    let old = session.query_opt(&IS_OLD, &params, |_| Ok(())).await?;
    Ok(old.is_some())
}

/// Forgets what was kept up to this time, the oldest first.
pub async fn forget(session: &mut Session, until: i64, most: i64) -> Result<(), Error> {
    let params = [until.into(), most.into()];
    session.execute(&FORGET, &params).await?;
    Ok(())
}
