//! The `accounts` table.

use super::statements;
use crate::{domain::Account, id::AccountId};
use db::{Error, Row, Session};

statements! {
    INSERT = "INSERT INTO accounts (account_id, name, created_at) VALUES ($1, $2, $3)";
    LIST = "SELECT account_id, name, created_at FROM accounts ORDER BY created_at, account_id";
    FIRST = "SELECT account_id, name, created_at FROM accounts ORDER BY created_at, account_id LIMIT 2";
    FIND = "SELECT account_id, name, created_at FROM accounts WHERE account_id = $1";
}

/// Adds an account.
pub async fn insert(session: &mut Session, account: &Account) -> Result<(), Error> {
    let row = [
        (&account.id).into(),
        (&account.name).into(),
        account.created_at.into(),
    ];
    session.execute(&INSERT, &row).await?;
    Ok(())
}

/// All accounts, oldest first.
pub async fn list(session: &mut Session) -> Result<Vec<Account>, Error> {
    session.query(&LIST, &[], read).await
}

/// The two oldest accounts: enough to know whether there is none, one, or several.
pub async fn first_two(session: &mut Session) -> Result<Vec<Account>, Error> {
    session.query(&FIRST, &[], read).await
}

/// One account.
pub async fn find(session: &mut Session, id: &AccountId) -> Result<Option<Account>, Error> {
    session.query_opt(&FIND, &[id.into()], read).await
}

fn read(row: &Row<'_>) -> Result<Account, Error> {
    Ok(Account {
        id: AccountId::from_text(row.get::<String>(0)?),
        name: row.get(1)?,
        created_at: row.get(2)?,
    })
}
