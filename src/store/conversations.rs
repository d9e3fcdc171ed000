//! The `conversations` table: one for each contact in each inbox.

use super::statements;
use crate::id::{AccountId, ContactId, ConversationId, InboxId};
use db::{Error, Session, Value};

statements! {
    FIND = "SELECT id FROM conversations WHERE account_id = $1 AND inbox_id = $2 AND contact_id = $3";
    // Of two that come at once, the later waits here for the earlier, and gets its conversation.
    CLAIM = "INSERT INTO conversations (account_id, inbox_id, contact_id, id, status, created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'open', $5, $5)
        ON CONFLICT (account_id, inbox_id, contact_id) DO UPDATE SET contact_id = excluded.contact_id RETURNING id";
    COUNT = "UPDATE conversations SET messages_count = messages_count + $1, updated_at = $2
        WHERE account_id = $3 AND id = $4";
    DELETE_ALL = "DELETE FROM conversations WHERE account_id = $1 AND inbox_id = $2";
}

/// What a conversation is between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose.
    pub account: AccountId,
    /// Which inbox.
    pub inbox: InboxId,
    /// Which contact.
    pub contact: ContactId,
}

impl Key {
    fn params(&self) -> Vec<Value<'_>> {
        vec![
            (&self.account).into(),
            (&self.inbox).into(),
            (&self.contact).into(),
        ]
    }
}

/// For each key, its conversation, where there is one.
pub async fn find_each(
    session: &mut Session,
    keys: &[Key],
) -> Result<Vec<Option<ConversationId>>, Error> {
    let runs: Vec<_> = keys.iter().map(Key::params).collect();
    let found = session
        .query_each(&FIND, &runs, |row| row.get::<String>(0))
        .await?;
    Ok(found
        .into_iter()
        .map(|mut rows| rows.pop().map(ConversationId::from_text))
        .collect())
}

/// Opens a conversation, unless there is one: the answer is the one that there is now.
pub async fn claim(
    session: &mut Session,
    key: &Key,
    id: &ConversationId,
    now: i64,
) -> Result<ConversationId, Error> {
    let mut params = key.params();
    params.extend([Value::from(id), now.into()]);
    let holder = session
        .query_opt(&CLAIM, &params, |row| row.get::<String>(0))
        .await?;
    Ok(holder.map_or_else(|| id.clone(), ConversationId::from_text))
}

/// Adds to the counts of conversations. Keep `counts` in one order everywhere, or two transactions can block each other for good.
pub async fn count(
    session: &mut Session,
    counts: impl Iterator<Item = (&AccountId, &ConversationId, i64)>,
    now: i64,
) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = counts
        .map(|(account, id, more)| vec![more.into(), now.into(), account.into(), id.into()])
        .collect();
    session.query_each(&COUNT, &runs, |_| Ok(())).await?;
    Ok(())
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
