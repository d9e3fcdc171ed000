//! The `api_keys` table, and `api_key_hashes`, which finds the account of a key.
//!
//! Invariant: the store has only the hash of a key.

use super::statements;
use crate::{
    domain::{ApiKey, Scope},
    id::{AccountId, KeyId},
};
use db::{Error, Row, Session, Value};

statements! {
    INSERT = "INSERT INTO api_keys (account_id, id, name, scopes, created_at, expires_at, rate_limit)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    INSERT_HASH = "INSERT INTO api_key_hashes (key_hash, account_id, key_id) VALUES ($1, $2, $3)";
    LIST = "SELECT id, name, scopes, created_at, expires_at, rate_limit, revoked_at, last_used_at
        FROM api_keys WHERE account_id = $1 ORDER BY created_at, id";
    FIND_BY_HASH = "SELECT k.id, k.name, k.scopes, k.created_at, k.expires_at, k.rate_limit, k.revoked_at, k.last_used_at,
            h.account_id
        FROM api_key_hashes h JOIN api_keys k ON k.account_id = h.account_id AND k.id = h.key_id
        WHERE h.key_hash = $1";
    REVOKE = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $1) WHERE account_id = $2 AND id = $3
        RETURNING id, name, scopes, created_at, expires_at, rate_limit, revoked_at, last_used_at";
    LIMIT = "UPDATE api_keys SET rate_limit = $1 WHERE account_id = $2 AND id = $3
        RETURNING id, name, scopes, created_at, expires_at, rate_limit, revoked_at, last_used_at";
    TOUCH = "UPDATE api_keys SET last_used_at = $1
        WHERE account_id = $2 AND id = $3 AND COALESCE(last_used_at, 0) < $1";
}

/// Adds a key with its hash.
pub async fn insert(
    session: &mut Session,
    account: &AccountId,
    key: &ApiKey,
    hash: &[u8],
) -> Result<(), Error> {
    let scopes = write_scopes(&key.scopes);
    let row = [
        account.into(),
        (&key.id).into(),
        (&key.name).into(),
        (&scopes).into(),
        key.created_at.into(),
        key.expires_at.into(),
        key.rate_limit.into(),
    ];
    session.execute(&INSERT, &row).await?;
    let row = [hash.into(), account.into(), (&key.id).into()];
    session.execute(&INSERT_HASH, &row).await?;
    Ok(())
}

/// All keys of an account, oldest first, including revoked and expired ones.
pub async fn list(session: &mut Session, account: &AccountId) -> Result<Vec<ApiKey>, Error> {
    session.query(&LIST, &[account.into()], read).await
}

/// The key with this hash, also if it is revoked or expired, and its account.
pub async fn find_by_hash(
    session: &mut Session,
    hash: &[u8],
) -> Result<Option<(ApiKey, AccountId)>, Error> {
    session
        .query_opt(&FIND_BY_HASH, &[hash.into()], |row| {
            Ok((read(row)?, AccountId::from_text(row.text(8)?)))
        })
        .await
}

/// Revokes a key. One that is revoked already keeps its time.
pub async fn revoke(
    session: &mut Session,
    account: &AccountId,
    id: &KeyId,
    now: i64,
) -> Result<Option<ApiKey>, Error> {
    session
        .query_opt(&REVOKE, &[now.into(), account.into(), id.into()], read)
        .await
}

/// Sets a key's requests per minute. `None` means the server's default limit.
pub async fn limit(
    session: &mut Session,
    account: &AccountId,
    id: &KeyId,
    rate_limit: Option<i64>,
) -> Result<Option<ApiKey>, Error> {
    let row = [rate_limit.into(), account.into(), id.into()];
    session.query_opt(&LIMIT, &row, read).await
}

/// Records the uses of keys: account, key, and time in seconds since 1970.
pub async fn touch(session: &mut Session, uses: &[(AccountId, KeyId, i64)]) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = uses
        .iter()
        .map(|(account, key, at)| vec![(*at).into(), account.into(), key.into()])
        .collect();
    session.query_each(&TOUCH, &runs, |_| Ok(())).await?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: KeyId::from_text(row.text(0)?),
        name: row.get(1)?,
        scopes: read_scopes(row.text(2)?),
        created_at: row.get(3)?,
        expires_at: row.get(4)?,
        rate_limit: row.get(5)?,
        revoked_at: row.get(6)?,
        last_used_at: row.get(7)?,
    })
}

fn write_scopes(scopes: &[Scope]) -> String {
    let names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(",")
}

/// Scopes that this version does not know are ignored.
fn read_scopes(text: &str) -> Vec<Scope> {
    Scope::ALL
        .into_iter()
        .filter(|scope| text.split(',').any(|name| name == scope.as_str()))
        .collect()
}
