//! The `provider_ids` table: which message that was sent here a provider means by an id.
//!
//! Invariant: an id leads to one message of its inbox, for ever. A message that was tried again may have several.

use super::{messages::Key, statements};
use crate::id::{AccountId, InboxId};
use db::{Each, Error, Session, Value};

statements! {
    FIND = "SELECT message_key, superseded FROM provider_ids WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3";
    INSERT = "INSERT INTO provider_ids (account_id, inbox_id, provider_id, message_key) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id, inbox_id, provider_id) DO NOTHING";
    SUPERSEDE = "UPDATE provider_ids SET superseded = 1 WHERE account_id = $1 AND inbox_id = $2 AND message_key = $3";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(FIND), Each::Insert(INSERT)];

/// What an id leads to.
#[derive(Debug, Clone)]
pub struct Led {
    /// The message's own `provider_id` here.
    pub to: String,
    /// Whether another attempt followed the one that the id is of.
    pub superseded: bool,
}

/// For each id, the message that was sent here, if it is one.
pub async fn find_each(session: &mut Session, ids: &[Key<'_>]) -> Result<Vec<Option<Led>>, Error> {
    let runs: Vec<_> = ids.iter().map(Key::params).collect();
    let found = session.find_each(&FIND, &runs, |row| {
        Ok(Led {
            to: row.get(0)?,
            superseded: row.get::<i64>(1)? != 0,
        })
    });
    let found = found.await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Makes each id lead to the message with the key beside it, unless it leads somewhere already.
pub async fn insert_each(session: &mut Session, ids: &[(Key<'_>, &str)]) -> Result<(), Error> {
    let rows = ids.iter().map(|(id, to)| {
        let mut row = id.params();
        row.push((*to).into());
        row
    });
    let rows: Vec<_> = rows.collect();
    session.insert_each(&INSERT, &rows, |_| Ok(())).await?;
    Ok(())
}

/// Notes that what the message was called so far is of earlier attempts.
pub async fn supersede(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    key: &str,
) -> Result<(), Error> {
    let params: [Value<'_>; 3] = [account.into(), inbox.into(), key.into()];
    session.execute(&SUPERSEDE, &params).await?;
    Ok(())
}
