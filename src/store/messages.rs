//! The `messages` table, and `message_changes`: what later happened to them.
//!
//! Invariant: a provider's id is there once in an inbox, for ever. The unique key says so, not a look-up before it.

use super::statements;
use crate::id::{AccountId, ConversationId, InboxId, MessageId};
use db::{Error, Session, Value};

statements! {
    KNOWN = "SELECT 1 FROM messages WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3";
    INSERT = "INSERT INTO messages (account_id, inbox_id, provider_id, id, conversation_id, direction, type, content,
            sender, reply_to, historic, timestamp, received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (account_id, inbox_id, provider_id) DO NOTHING RETURNING id";
    // The same news again changes nothing; of two reactions by one person the later one holds.
    CHANGE = "INSERT INTO message_changes (account_id, inbox_id, provider_id, kind, key, value, timestamp, received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (account_id, inbox_id, provider_id, kind, key)
        DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, received_at = excluded.received_at
        WHERE excluded.timestamp > message_changes.timestamp";
    DELETE_ALL = "DELETE FROM messages WHERE account_id = $1 AND inbox_id = $2";
    DELETE_CHANGES = "DELETE FROM message_changes WHERE account_id = $1 AND inbox_id = $2";
}

/// By what a message is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// In which inbox.
    pub inbox: &'a InboxId,
    /// The provider's id.
    pub provider_id: &'a str,
}

impl<'a> Key<'a> {
    fn params(&self) -> Vec<Value<'a>> {
        vec![
            self.account.into(),
            self.inbox.into(),
            self.provider_id.into(),
        ]
    }
}

/// A message to store.
#[derive(Debug)]
pub struct NewMessage<'a> {
    /// By what it is known again.
    pub key: Key<'a>,
    /// Its id.
    pub id: MessageId,
    /// The thread that it is in.
    pub conversation: &'a ConversationId,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// What it says: a JSON object.
    pub content: String,
    /// Who wrote it: a JSON object.
    pub sender: String,
    /// The provider's id of the message that it answers.
    pub reply_to: Option<&'a str>,
    /// Whether it was handed over from the time before the connection.
    pub historic: bool,
    /// The provider's clock.
    pub timestamp: i64,
    /// Our clock.
    pub received_at: i64,
}

/// For each key, whether it is stored.
pub async fn known(session: &mut Session, keys: &[Key<'_>]) -> Result<Vec<bool>, Error> {
    let runs: Vec<_> = keys.iter().map(Key::params).collect();
    let found = session.query_each(&KNOWN, &runs, |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}

/// Stores messages. For each, whether it is new: one whose key is there already changes nothing.
pub async fn insert(
    session: &mut Session,
    messages: &[NewMessage<'_>],
) -> Result<Vec<bool>, Error> {
    let runs: Vec<_> = messages
        .iter()
        .map(|message| {
            let mut row = message.key.params();
            row.extend([
                Value::from(&message.id),
                message.conversation.into(),
                message.direction.into(),
                message.kind.into(),
                (&message.content).into(),
                (&message.sender).into(),
                message.reply_to.into(),
                i64::from(message.historic).into(),
                message.timestamp.into(),
                message.received_at.into(),
            ]);
            row
        })
        .collect();
    let stored = session.query_each(&INSERT, &runs, |_| Ok(())).await?;
    Ok(stored.iter().map(|rows| !rows.is_empty()).collect())
}

/// Something that happened to a message, whether or not the message is known yet.
#[derive(Debug)]
pub struct Change<'a> {
    /// Which message.
    pub key: Key<'a>,
    /// `status`, `reaction`, `edit` or `revoke`.
    pub kind: &'static str,
    /// What there can be one of: a status's name, a reaction's author, an edit's fingerprint, nothing for a revoke.
    pub part: String,
    /// The error, the emoji or the new content (JSON), if any.
    pub value: Option<String>,
    /// The provider's clock.
    pub timestamp: i64,
    /// Our clock.
    pub received_at: i64,
}

/// Stores what happened to messages.
pub async fn change(session: &mut Session, changes: &[Change<'_>]) -> Result<(), Error> {
    let runs: Vec<_> = changes
        .iter()
        .map(|change| {
            let mut row = change.key.params();
            row.extend([
                Value::from(change.kind),
                (&change.part).into(),
                change.value.as_deref().into(),
                change.timestamp.into(),
                change.received_at.into(),
            ]);
            row
        })
        .collect();
    session.query_each(&CHANGE, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Removes all of an inbox, and what happened to them.
pub async fn delete_all(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
) -> Result<(), Error> {
    let params = [account.into(), inbox.into()];
    session.execute(&DELETE_CHANGES, &params).await?;
    session.execute(&DELETE_ALL, &params).await?;
    Ok(())
}
