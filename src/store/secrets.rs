//! The `inbox_secrets` table: sealed credentials.
//!
//! Invariant: no credential is stored unsealed. `ops::credentials` seals them.

use super::statements;
use crate::id::{AccountId, InboxId};
use db::{Error, Session};

statements! {
    PUT = "INSERT INTO inbox_secrets (account_id, inbox_id, name, sealed) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id, inbox_id, name) DO UPDATE SET sealed = excluded.sealed";
    FIND = "SELECT sealed FROM inbox_secrets WHERE account_id = $1 AND inbox_id = $2 AND name = $3";
    NAMES = "SELECT name FROM inbox_secrets WHERE account_id = $1 AND inbox_id = $2 ORDER BY name";
    DELETE = "DELETE FROM inbox_secrets WHERE account_id = $1 AND inbox_id = $2 AND name = $3";
    DELETE_ALL = "DELETE FROM inbox_secrets WHERE account_id = $1 AND inbox_id = $2";
}

/// Sets a credential, or replaces it.
pub async fn put(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    name: &str,
    sealed: &[u8],
) -> Result<(), Error> {
    let row = [account.into(), inbox.into(), name.into(), sealed.into()];
    session.execute(&PUT, &row).await?;
    Ok(())
}

/// One sealed credential.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    name: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let params = [account.into(), inbox.into(), name.into()];
    session
        .query_opt(&FIND, &params, |row| row.get::<Vec<u8>>(0))
        .await
}

/// The names of the credentials that are set.
pub async fn names(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
) -> Result<Vec<String>, Error> {
    session
        .query(&NAMES, &[account.into(), inbox.into()], |row| row.get(0))
        .await
}

/// Removes a credential.
pub async fn delete(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    name: &str,
) -> Result<(), Error> {
    let params = [account.into(), inbox.into(), name.into()];
    session.execute(&DELETE, &params).await?;
    Ok(())
}

/// Removes all credentials of an inbox.
pub async fn delete_all(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
) -> Result<(), Error> {
    let params = [account.into(), inbox.into()];
    session.execute(&DELETE_ALL, &params).await?;
    Ok(())
}
