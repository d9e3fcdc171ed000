//! The `business_changes` table: changes of business accounts at their provider, as they were received.
//!
//! Invariant: the same change is there once.

use super::statements;
use crate::id::{AccountId, BusinessChangeId};
use db::{Each, Error, Session, Sql, Value};
use std::collections::HashSet;

statements! {
    KEEP_LATEST = "DELETE FROM business_changes WHERE account_id = $1 AND id <=
        (SELECT id FROM business_changes WHERE account_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
}

const INSERT: Sql = Sql::same(
    "INSERT INTO business_changes
        (account_id, id, business_account_id, field, value, hash, timestamp, received_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (account_id, hash) DO NOTHING RETURNING hash",
);
/// The statements that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Insert(INSERT)];

/// A new change.
#[derive(Debug)]
pub struct NewChange<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// Its id.
    pub id: BusinessChangeId,
    /// The business account's id at the provider.
    pub business_account_id: &'a str,
    /// The provider's name of the changed field.
    pub field: &'a str,
    /// The provider's value: a JSON object.
    pub value: &'a str,
    /// The hash by which the same change is recognised, in lower-case hex.
    pub hash: String,
    /// The provider's clock.
    pub timestamp: i64,
    /// Our clock.
    pub received_at: i64,
}

/// Keeps changes. Returns the hashes of those that were not there yet.
pub async fn insert_each(
    session: &mut Session,
    changes: &[&NewChange<'_>],
) -> Result<HashSet<String>, Error> {
    let runs: Vec<Vec<Value<'_>>> = changes
        .iter()
        .map(|change| {
            vec![
                change.account.into(),
                (&change.id).into(),
                change.business_account_id.into(),
                change.field.into(),
                change.value.into(),
                (&change.hash).into(),
                change.timestamp.into(),
                change.received_at.into(),
            ]
        })
        .collect();
    let new = session.insert_each(&INSERT, &runs, |row| row.get::<String>(0));
    Ok(new.await?.into_iter().collect())
}

/// Removes what an account has beyond its latest `most` changes.
pub async fn keep_latest(
    session: &mut Session,
    account: &AccountId,
    most: i64,
) -> Result<(), Error> {
    let params = [account.into(), most.into()];
    session.execute(&KEEP_LATEST, &params).await?;
    Ok(())
}
