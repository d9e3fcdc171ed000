//! The `aliases` table: the ids of contacts and conversations that were joined with others, and now lead to those.
//!
//! Invariant: an alias leads to an existing contact or conversation, never to another alias.

use super::statements;
use crate::id::AccountId;
use db::{Error, Session};

statements! {
    // Aliases of the lost one now lead to the one that stays.
    POINT = "UPDATE aliases SET survivor_id = $1 WHERE account_id = $2 AND survivor_id = $3";
    INSERT = "INSERT INTO aliases (account_id, id, survivor_id) VALUES ($1, $2, $3)";
    FIND = "SELECT survivor_id FROM aliases WHERE account_id = $1 AND id = $2";
    OF_SURVIVOR = "SELECT id FROM aliases WHERE account_id = $1 AND survivor_id = $2 ORDER BY id";
}

/// The id that a parameter of a statement leads to. `$1` is the account.
macro_rules! survivor {
    ($id:literal) => {
        concat!(
            "COALESCE((SELECT a.survivor_id FROM aliases a WHERE a.account_id = $1 AND a.id = ",
            $id,
            "), ",
            $id,
            ")"
        )
    };
}
pub(in crate::store) use survivor;

/// Makes an id, and all its aliases, lead to another id.
pub async fn add(
    session: &mut Session,
    account: &AccountId,
    lost: &str,
    survivor: &str,
) -> Result<(), Error> {
    let params = [survivor.into(), account.into(), lost.into()];
    session.execute(&POINT, &params).await?;
    let params = [account.into(), lost.into(), survivor.into()];
    session.execute(&INSERT, &params).await?;
    Ok(())
}

/// The id that an alias leads to. `None` if this is not an alias.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &str,
) -> Result<Option<String>, Error> {
    let params = [account.into(), id.into()];
    session.query_opt(&FIND, &params, |row| row.get(0)).await
}

/// The aliases of this id, oldest first.
pub async fn of_survivor(
    session: &mut Session,
    account: &AccountId,
    survivor: &str,
) -> Result<Vec<String>, Error> {
    let params = [account.into(), survivor.into()];
    session.query(&OF_SURVIVOR, &params, |row| row.get(0)).await
}
