//! The `joins` table: pairs of contacts that are the same person. Also moves the data of one to the other, a bounded number
//! of messages at a time.
//!
//! `ops::joins` decides how much is moved at a time, and which contact stays.
//!
//! Invariant: after every step, each message is counted in its conversation, and every conversation has its last message.
//! The caller must have locked the account's inboxes: see `inboxes::lock_all`.

use super::{not_deleted, statements};
use crate::id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId};
use db::{Error, Session};

statements! {
    ADD = "INSERT INTO joins (account_id, contact_id, other_id, directed, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account_id, contact_id, other_id) DO NOTHING";
    LIST = "SELECT account_id, contact_id, other_id, directed FROM joins ORDER BY account_id, contact_id, other_id";
    REMOVE = "DELETE FROM joins WHERE account_id = $1 AND contact_id = $2 AND other_id = $3";
    CONVERSATION = "SELECT v.id, v.inbox_id, w.id FROM conversations v
        LEFT JOIN conversations w ON w.account_id = v.account_id AND w.inbox_id = v.inbox_id AND w.contact_id = $1
        WHERE v.account_id = $2 AND v.contact_id = $3 ORDER BY v.id LIMIT 1";
    SHARED = concat!("SELECT v.inbox_id FROM conversations v JOIN conversations w
            ON w.account_id = v.account_id AND w.inbox_id = v.inbox_id
        WHERE v.account_id = $1 AND v.contact_id = $2 AND w.contact_id = $3", not_deleted!("v.inbox_id"), "LIMIT 1");
    GIVE = "UPDATE conversations SET contact_id = $1, change_id = $2 WHERE account_id = $3 AND id = $4";
    // The oldest messages are moved first, so that the last message stays the last one until none is left.
    OLDEST = "SELECT timestamp, id FROM messages WHERE account_id = $1 AND conversation_id = $2 ORDER BY timestamp, id LIMIT $3";
    MOVE = "UPDATE messages SET conversation_id = $1 WHERE account_id = $2 AND conversation_id = $3 AND (timestamp, id) <= ($4, $5)";
    SHRINK = "UPDATE conversations SET messages_count = messages_count - $1,
            last_message_at = CASE WHEN messages_count = $1 THEN 0 ELSE last_message_at END,
            last_message_id = CASE WHEN messages_count = $1 THEN '' ELSE last_message_id END
        WHERE account_id = $2 AND id = $3";
    GROW = "UPDATE conversations SET messages_count = messages_count + $1,
            last_message_at = CASE WHEN last_message_id = '' OR (last_message_at, last_message_id) < ($2, $3)
                THEN $2 ELSE last_message_at END,
            last_message_id = CASE WHEN last_message_id = '' OR (last_message_at, last_message_id) < ($2, $3)
                THEN $3 ELSE last_message_id END
        WHERE account_id = $4 AND id = $5";
    MERGE = "UPDATE conversations AS k SET
            status = CASE WHEN l.status = 'open' THEN l.status ELSE k.status END,
            updated_at = CASE WHEN l.updated_at > k.updated_at THEN l.updated_at ELSE k.updated_at END,
            blocked_at = CASE WHEN (l.block_changed_at, l.block_number) > (k.block_changed_at, k.block_number)
                THEN l.blocked_at ELSE k.blocked_at END,
            block_number = CASE WHEN (l.block_changed_at, l.block_number) > (k.block_changed_at, k.block_number)
                THEN l.block_number ELSE k.block_number END,
            block_changed_at = CASE WHEN l.block_changed_at > k.block_changed_at
                THEN l.block_changed_at ELSE k.block_changed_at END,
            last_inbound_at = CASE WHEN (l.last_inbound_at, l.last_inbound_id) > (k.last_inbound_at, k.last_inbound_id)
                THEN l.last_inbound_at ELSE k.last_inbound_at END,
            last_inbound_id = CASE WHEN (l.last_inbound_at, l.last_inbound_id) > (k.last_inbound_at, k.last_inbound_id)
                THEN l.last_inbound_id ELSE k.last_inbound_id END
        FROM conversations AS l
        WHERE k.account_id = $1 AND k.id = $2 AND l.account_id = $1 AND l.id = $3";
    DELETE_CONVERSATION = "DELETE FROM conversations WHERE account_id = $1 AND id = $2";
}

/// Two contacts that are the same person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Join {
    /// Whose.
    pub account: AccountId,
    /// The older one; of a directed join, the one that stays.
    pub contact: ContactId,
    /// The other one.
    pub other: ContactId,
    /// Whether a person has said which one stays.
    pub directed: bool,
}

/// Stores a join, until it is done.
pub async fn add(session: &mut Session, join: &Join, now: i64) -> Result<(), Error> {
    let params = [
        (&join.account).into(),
        (&join.contact).into(),
        (&join.other).into(),
        i64::from(join.directed).into(),
        now.into(),
    ];
    session.execute(&ADD, &params).await?;
    Ok(())
}

/// The pending joins of all accounts.
pub async fn list(session: &mut Session) -> Result<Vec<Join>, Error> {
    session
        .query(&LIST, &[], |row| {
            Ok(Join {
                account: AccountId::from_text(row.text(0)?),
                contact: ContactId::from_text(row.text(1)?),
                other: ContactId::from_text(row.text(2)?),
                directed: row.get::<i64>(3)? != 0,
            })
        })
        .await
}

/// Removes a join that is done.
pub async fn remove(session: &mut Session, join: &Join) -> Result<(), Error> {
    let params = [
        (&join.account).into(),
        (&join.contact).into(),
        (&join.other).into(),
    ];
    session.execute(&REMOVE, &params).await?;
    Ok(())
}

/// A conversation of the contact that will be gone.
#[derive(Debug)]
pub struct Thread {
    /// Its id.
    pub id: ConversationId,
    /// Its inbox.
    pub inbox: InboxId,
    /// The other contact's conversation in the same inbox.
    pub twin: Option<ConversationId>,
}

/// The first conversation that the contact `lost` still has.
pub async fn next(
    session: &mut Session,
    account: &AccountId,
    lost: &ContactId,
    survivor: &ContactId,
) -> Result<Option<Thread>, Error> {
    let params = [survivor.into(), account.into(), lost.into()];
    session
        .query_opt(&CONVERSATION, &params, |row| {
            Ok(Thread {
                id: ConversationId::from_text(row.text(0)?),
                inbox: InboxId::from_text(row.text(1)?),
                twin: row.text_or_null(2)?.map(ConversationId::from_text),
            })
        })
        .await
}

/// An inbox in which both contacts have a conversation.
pub async fn shared_inbox(
    session: &mut Session,
    account: &AccountId,
    one: &ContactId,
    other: &ContactId,
) -> Result<Option<InboxId>, Error> {
    let params = [account.into(), one.into(), other.into()];
    let shared = session.query_opt(&SHARED, &params, |row| row.get::<String>(0));
    Ok(shared.await?.map(InboxId::from_text))
}

/// Moves a conversation to another contact, which must have none in that inbox.
pub async fn give(
    session: &mut Session,
    account: &AccountId,
    conversation: &ConversationId,
    to: &ContactId,
    change: &EventId,
) -> Result<(), Error> {
    let params = [
        to.into(),
        change.into(),
        account.into(),
        conversation.into(),
    ];
    session.execute(&GIVE, &params).await?;
    Ok(())
}

/// Moves at most `most` messages from one conversation to another. Returns how many. If it is fewer than `most`, none are
/// left.
pub async fn move_messages(
    session: &mut Session,
    account: &AccountId,
    from: &ConversationId,
    to: &ConversationId,
    most: i64,
) -> Result<i64, Error> {
    let params = [account.into(), from.into(), most.into()];
    let oldest = session.query(&OLDEST, &params, |row| {
        Ok((row.get::<i64>(0)?, MessageId::from_text(row.text(1)?)))
    });
    let oldest = oldest.await?;
    let Some((timestamp, last)) = oldest.last() else {
        return Ok(0);
    };
    let moved = oldest.len() as i64;
    let params = [
        to.into(),
        account.into(),
        from.into(),
        (*timestamp).into(),
        last.into(),
    ];
    session.execute(&MOVE, &params).await?;
    let params = [moved.into(), account.into(), from.into()];
    session.execute(&SHRINK, &params).await?;
    let params = [
        moved.into(),
        (*timestamp).into(),
        last.into(),
        account.into(),
        to.into(),
    ];
    session.execute(&GROW, &params).await?;
    Ok(moved)
}

/// Removes a conversation without messages, and moves its other data to the one that stays.
pub async fn end(
    session: &mut Session,
    account: &AccountId,
    lost: &ConversationId,
    kept: &ConversationId,
) -> Result<(), Error> {
    let params = [account.into(), kept.into(), lost.into()];
    session.execute(&MERGE, &params).await?;
    session
        .execute(&DELETE_CONVERSATION, &[account.into(), lost.into()])
        .await?;
    Ok(())
}
