//! Which answers a visitor's pages have not acknowledged yet.
//!
//! Invariant: a statement looks at a bounded number of messages, whatever their conversation holds.

use crate::{
    id::{AccountId, ConversationId, MessageId},
    store::statements,
};
use db::{Error, Session};

statements! {
    // The messages of the visitor are among them, so that the limit bounds what is read, and not just what is found.
    UNACKNOWLEDGED = "SELECT m.id, m.provider_id, CAST(CASE WHEN m.direction = 'outbound' AND NOT EXISTS (SELECT 1 FROM message_changes c
                WHERE c.account_id = m.account_id AND c.inbox_id = m.inbox_id AND c.provider_id = m.provider_id
                  AND c.kind = 'status' AND c.key IN ('read', $1)) THEN 1 ELSE 0 END AS BIGINT)
        FROM messages m WHERE m.account_id = $2 AND m.conversation_id = $3
          AND (m.timestamp, m.id) <= ((SELECT b.timestamp FROM messages b WHERE b.account_id = $2 AND b.id = $4 AND b.conversation_id = $3), $4)
        ORDER BY m.timestamp DESC, m.id DESC LIMIT $5";
}

/// A message of a visitor's conversation.
#[derive(Debug)]
pub struct Acknowledgeable {
    /// Its id.
    pub id: MessageId,
    /// Its key.
    pub provider_id: String,
    /// Whether it is an answer of which the status is not known yet.
    pub is_open: bool,
}

/// A message of a conversation and those before it, newest first, with whether each still lacks the status `delivered` or
/// `read`. Whatever is `read` is `delivered`. None if the conversation has no such message.
pub async fn unacknowledged(
    session: &mut Session,
    account: &AccountId,
    conversation: &ConversationId,
    until: &MessageId,
    status: &str,
    limit: i64,
) -> Result<Vec<Acknowledgeable>, Error> {
    let params = [
        status.into(),
        account.into(),
        conversation.into(),
        until.into(),
        limit.into(),
    ];
    session
        .query(&UNACKNOWLEDGED, &params, |row| {
            Ok(Acknowledgeable {
                id: MessageId::from_text(row.text(0)?),
                provider_id: row.get(1)?,
                is_open: row.get::<i64>(2)? != 0,
            })
        })
        .await
}
