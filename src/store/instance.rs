//! The `instance` table: named values of the whole database.
//!
//! Invariant: a name has at most one value.

use super::statements;
use db::{Error, Session};

statements! {
    FIND = "SELECT value FROM instance WHERE name = $1";
    INSERT = "INSERT INTO instance (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    REPLACE = "INSERT INTO instance (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
}

/// The value of a name.
pub async fn find(session: &mut Session, name: &str) -> Result<Option<Vec<u8>>, Error> {
    session
        .query_opt(&FIND, &[name.into()], |row| row.get(0))
        .await
}

/// Sets the value of a name that has none. Returns whether it did.
pub async fn insert(session: &mut Session, name: &str, value: &[u8]) -> Result<bool, Error> {
    let row = [name.into(), value.into()];
    Ok(session.execute(&INSERT, &row).await? > 0)
}

/// Sets the value of a name, or replaces it.
pub async fn replace(session: &mut Session, name: &str, value: &[u8]) -> Result<(), Error> {
    let row = [name.into(), value.into()];
    session.execute(&REPLACE, &row).await?;
    Ok(())
}
