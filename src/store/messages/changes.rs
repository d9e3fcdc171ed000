//! The `message_changes` table: status changes, reactions, edits and deletions, by the message's provider id. A change may
//! be received before its message. `read` reads the changes of messages.
//!
//! Invariant: a change that is received again, or that is older than the stored one, has no effect.

mod read;

pub use read::{Bounds, Change, Changes, changes};

use super::{Happened, Key};
use crate::{
    id::{AccountId, ConversationId, EventId, InboxId, MessageId},
    store::{not_deleted, statements},
};
use channels::Moment;
use db::{Each, Error, Session, Sql, Value};

statements! {
    // A change that is received again has no effect.
    CHANGE = "INSERT INTO message_changes
            (account_id, inbox_id, provider_id, kind, key, id, value, timestamp, received_at, millis, type)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (account_id, inbox_id, provider_id, kind, key)
        DO UPDATE SET id = excluded.id, value = excluded.value, timestamp = excluded.timestamp,
            received_at = excluded.received_at, millis = excluded.millis
        WHERE (excluded.timestamp, excluded.millis) > (message_changes.timestamp, message_changes.millis)
        RETURNING id";
    IS_THERE = "SELECT kind FROM message_changes WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3 LIMIT 1";
    // What came before it was known whose it is. What is known already stays.
    COPY = "INSERT INTO message_changes
            (account_id, inbox_id, provider_id, kind, key, id, value, timestamp, received_at, millis, type)
        SELECT account_id, inbox_id, CAST($1 AS TEXT), kind, key, id, value, timestamp, received_at, millis, type
        FROM message_changes WHERE account_id = $2 AND inbox_id = $3 AND provider_id = $4
        ON CONFLICT (account_id, inbox_id, provider_id, kind, key) DO NOTHING";
    REMOVE = "DELETE FROM message_changes WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3";
    HAS_ARRIVED = "SELECT 1 FROM message_changes WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3
        AND kind = 'status' AND key IN ('sent', 'delivered', 'read') LIMIT 1";
    FORGET_FAILURE = "DELETE FROM message_changes WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3
        AND kind = 'status' AND key IN ('failed', 'unknown', 'canceled')";
    // Also that an earlier attempt was taken: it may have failed later.
    FORGET_ATTEMPTS = "DELETE FROM message_changes WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3
        AND kind = 'status' AND key IN ('sent', 'failed', 'unknown', 'canceled')";
    CHANGED_AFTER = concat!("SELECT c.id, m.inbox_id, m.conversation_id, m.id
        FROM message_changes c JOIN messages m
            ON m.account_id = c.account_id AND m.inbox_id = c.inbox_id AND m.provider_id = c.provider_id
        WHERE c.account_id = $1 AND c.id > $2", not_deleted!("c.inbox_id"), "ORDER BY c.id LIMIT $3");
}

/// Those that read.
pub(super) const READING: &[Sql] = read::ALL;

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(IS_THERE)];

/// A change of a message. The message need not be stored yet.
#[derive(Debug)]
pub struct NewChange<'a> {
    /// Which message.
    pub key: Key<'a>,
    /// `status`, `reaction`, `edit`, `revoke` or `content`.
    pub kind: &'static str,
    /// What there can be one of: a status's name, a reaction's author and fingerprint, an edit's fingerprint, nothing for
    /// a revoke, the type of a content that came later.
    pub part: String,
    /// As an event.
    pub id: EventId,
    /// The error, the emoji or the new content (JSON), if any.
    pub value: Option<&'a str>,
    /// Of an edit, the type of its content.
    pub content_type: Option<&'static str>,
    /// The provider's clock.
    pub timestamp: Moment,
    /// Our clock.
    pub received_at: i64,
}

/// The separator of a reaction's author and its fingerprint. No id contains it.
const UNIT: char = '\u{1f}';

/// The `part` of a reaction.
pub fn reaction_part(by: &str, fingerprint: &str) -> String {
    format!("{by}{UNIT}{fingerprint}")
}

/// The author of a reaction, from its `part`. Old reactions have no fingerprint.
pub fn reaction_author(part: &str) -> &str {
    part.rsplit_once(UNIT).map_or(part, |(by, _)| by)
}

/// Stores changes. Returns for each whether it had an effect.
pub async fn change(session: &mut Session, changes: &[NewChange<'_>]) -> Result<Vec<bool>, Error> {
    let runs: Vec<_> = changes
        .iter()
        .map(|change| {
            let mut row = change.key.params();
            row.extend([
                Value::from(change.kind),
                (&change.part).into(),
                (&change.id).into(),
                change.value.into(),
                change.timestamp.seconds.into(),
                change.received_at.into(),
                change.timestamp.millis.into(),
                change.content_type.into(),
            ]);
            row
        })
        .collect();
    let stored = session.query_each(&CHANGE, &runs, |_| Ok(())).await?;
    Ok(stored.iter().map(|rows| !rows.is_empty()).collect())
}

/// Moves what happened under one id of each message to the key beside it. Returns for each whether there was anything.
pub async fn rekey_each(
    session: &mut Session,
    ids: &[(Key<'_>, &str)],
) -> Result<Vec<bool>, Error> {
    let runs: Vec<_> = ids.iter().map(|(from, _)| from.params()).collect();
    let there = session.find_each(&IS_THERE, &runs, |_| Ok(())).await?;
    let there: Vec<_> = there.iter().map(|rows| !rows.is_empty()).collect();
    for ((from, to), _) in ids.iter().zip(&there).filter(|(_, there)| **there) {
        let mut params = vec![Value::from(*to)];
        params.extend(from.params());
        session.execute(&COPY, &params).await?;
        session.execute(&REMOVE, &from.params()).await?;
    }
    Ok(there)
}

/// Whether it is known that the provider has a message.
pub async fn has_arrived(session: &mut Session, key: &Key<'_>) -> Result<bool, Error> {
    let params = key.params();
    let found = session.query_opt(&HAS_ARRIVED, &params, |_| Ok(())).await?;
    Ok(found.is_some())
}

/// Forgets that a message could not be sent, since the provider has it.
pub async fn forget_failure(session: &mut Session, key: &Key<'_>) -> Result<(), Error> {
    session.execute(&FORGET_FAILURE, &key.params()).await?;
    Ok(())
}

/// Forgets what came of the attempts to send a message, since it is tried again.
pub async fn forget_attempts(session: &mut Session, key: &Key<'_>) -> Result<(), Error> {
    session.execute(&FORGET_ATTEMPTS, &key.params()).await?;
    Ok(())
}

/// The messages that were changed after an event, in order.
pub async fn changed_after(
    session: &mut Session,
    account: &AccountId,
    after: &EventId,
    limit: i64,
) -> Result<Vec<Happened>, Error> {
    let params = [account.into(), after.into(), limit.into()];
    session
        .query(&CHANGED_AFTER, &params, |row| {
            Ok(Happened {
                event: EventId::from_text(row.get::<String>(0)?),
                inbox: InboxId::from_text(row.get::<String>(1)?),
                conversation: ConversationId::from_text(row.get::<String>(2)?),
                message: MessageId::from_text(row.get::<String>(3)?),
            })
        })
        .await
}
