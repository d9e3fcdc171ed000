//! The `aliases` table: ids of contacts and conversations that were joined with others, and lead to those from then on.
//!
//! Invariant: an alias leads to a thing that is there, never to another alias.

use super::statements;
use crate::id::AccountId;
use db::{Error, Session};

statements! {
    // What leads to the one that is lost leads to the survivor from now on.
    POINT = "UPDATE aliases SET survivor_id = $1 WHERE account_id = $2 AND survivor_id = $3";
    INSERT = "INSERT INTO aliases (account_id, id, survivor_id) VALUES ($1, $2, $3)";
    FIND = "SELECT survivor_id FROM aliases WHERE account_id = $1 AND id = $2";
    OF_SURVIVOR = "SELECT id FROM aliases WHERE account_id = $1 AND survivor_id = $2 ORDER BY id";
}

/// The id that is meant by a parameter of a statement whose `$1` is the account.
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

/// Makes an id, and all that lead to it, lead to another one of its kind.
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

/// Where an id leads, if it is an alias.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &str,
) -> Result<Option<String>, Error> {
    let params = [account.into(), id.into()];
    session.query_opt(&FIND, &params, |row| row.get(0)).await
}

/// The ids that lead to this one, oldest first.
pub async fn of_survivor(
    session: &mut Session,
    account: &AccountId,
    survivor: &str,
) -> Result<Vec<String>, Error> {
    let params = [account.into(), survivor.into()];
    session.query(&OF_SURVIVOR, &params, |row| row.get(0)).await
}
