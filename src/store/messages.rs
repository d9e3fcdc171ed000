//! The `messages` table, as it is read. How messages get there, and what later happens to them, is in the files inside.
//!
//! Invariant: a provider's id is there once in an inbox, for ever. The unique key says so, not a look-up before it.

mod arriving;
mod changes;

pub use arriving::{
    Filling, Fullness, Known, NewMessage, fill, find_each_by_provider_id, insert, look_each,
};
pub use changes::{
    Change, NewChange, change, changed_after, changes_each, reaction_author, reaction_part,
};

use super::{not_deleted, statements};
use crate::id::{AccountId, ConversationId, EventId, InboxId, MessageId};
use db::{Each, Error, Row, Session, Sql, Value};

/// Selects messages as [`read`] reads them, each with the message that it answers.
macro_rules! message {
    ($($where:expr),+) => {
        concat!(
            "SELECT m.id, m.inbox_id, m.conversation_id, m.provider_id, m.direction, m.type, m.content, m.sender,
                m.timestamp, m.received_at, m.status, m.reply_to, m.quoted, r.id
            FROM messages m LEFT JOIN messages r
                ON r.account_id = m.account_id AND r.inbox_id = m.inbox_id AND r.provider_id = m.reply_to ",
            $($where),+
        )
    };
}

statements! {
    FIND = message!("WHERE m.account_id = $1 AND m.id = $2", not_deleted!("m.inbox_id"));
    OF_CONVERSATION = message!("WHERE m.account_id = $1 AND m.conversation_id = $2 AND (m.timestamp, m.id) < ($3, $4)
        ORDER BY m.timestamp DESC, m.id DESC LIMIT $5");
    OF_INBOX = message!("WHERE m.account_id = $1 AND m.inbox_id = $2 AND (m.timestamp, m.id) < ($3, $4)
        ORDER BY m.timestamp DESC, m.id DESC LIMIT $5");
    // By id: the order in which they came here, whatever their own clocks say.
    OF_CONVERSATION_AFTER = message!("WHERE m.account_id = $1 AND m.conversation_id = $2 AND m.id > $3 ORDER BY m.id LIMIT $4");
    CREATED_AFTER = concat!("SELECT id, inbox_id, conversation_id FROM messages
        WHERE account_id = $1 AND id > $2 AND historic = 0", not_deleted!("inbox_id"), "ORDER BY id LIMIT $3");
}

/// Those of messages that arrive.
pub(super) const ARRIVING: &[Sql] = arriving::ALL;

/// Those that run many times at once.
pub(super) const EACH: &[Each] = arriving::EACH;

/// Those of what happens to messages.
pub(super) const CHANGES: &[Sql] = changes::ALL;

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

/// A message as it is stored, before what happened to it is folded in.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id.
    pub id: MessageId,
    /// The inbox that it is in.
    pub inbox: InboxId,
    /// The thread that it is in.
    pub conversation: ConversationId,
    /// The provider's id.
    pub provider_id: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Its type.
    pub kind: String,
    /// What it said at first: a JSON object.
    pub content: String,
    /// Who wrote it: a JSON object.
    pub sender: String,
    /// The provider's clock.
    pub timestamp: i64,
    /// Our clock.
    pub received_at: i64,
    /// How far it had come when it was handed over, if that was said.
    pub status: Option<String>,
    /// The provider's id of the message that it answers.
    pub quoted_id: Option<String>,
    /// What else is told of what it answers: a JSON object.
    pub quoted: Option<String>,
    /// The message that it answers, if that is stored.
    pub reply_to: Option<MessageId>,
}

/// One message.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
) -> Result<Option<Stored>, Error> {
    session
        .query_opt(&FIND, &[account.into(), id.into()], read)
        .await
}

/// What messages are listed of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thread {
    /// One conversation.
    Conversation(ConversationId),
    /// All conversations of an inbox.
    Inbox(InboxId),
}

/// The newest messages before a point (time, then id), newest first.
pub async fn before(
    session: &mut Session,
    account: &AccountId,
    thread: &Thread,
    (timestamp, id): (i64, &MessageId),
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let (statement, of): (_, Value<'_>) = match thread {
        Thread::Conversation(id) => (&OF_CONVERSATION, id.into()),
        Thread::Inbox(id) => (&OF_INBOX, id.into()),
    };
    let params = [
        account.into(),
        of,
        timestamp.into(),
        id.into(),
        limit.into(),
    ];
    session.query(statement, &params, read).await
}

/// The messages of a conversation that came after one of them, in the order in which they came.
pub async fn after(
    session: &mut Session,
    account: &AccountId,
    conversation: &ConversationId,
    after: &MessageId,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let params = [
        account.into(),
        conversation.into(),
        after.into(),
        limit.into(),
    ];
    session.query(&OF_CONVERSATION_AFTER, &params, read).await
}

/// Where an event happened.
#[derive(Debug, Clone)]
pub struct Happened {
    /// The event.
    pub event: EventId,
    /// In which inbox.
    pub inbox: InboxId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Which message.
    pub message: MessageId,
}

/// The messages that were created after an event, in order, without those handed over from before.
pub async fn created_after(
    session: &mut Session,
    account: &AccountId,
    after: &EventId,
    limit: i64,
) -> Result<Vec<Happened>, Error> {
    let bound = MessageId::from(after);
    let params = [account.into(), (&bound).into(), limit.into()];
    session
        .query(&CREATED_AFTER, &params, |row| {
            let message = MessageId::from_text(row.get::<String>(0)?);
            Ok(Happened {
                event: EventId::from(&message),
                inbox: InboxId::from_text(row.get::<String>(1)?),
                conversation: ConversationId::from_text(row.get::<String>(2)?),
                message,
            })
        })
        .await
}

fn read(row: &Row<'_>) -> Result<Stored, Error> {
    Ok(Stored {
        id: MessageId::from_text(row.get::<String>(0)?),
        inbox: InboxId::from_text(row.get::<String>(1)?),
        conversation: ConversationId::from_text(row.get::<String>(2)?),
        provider_id: row.get(3)?,
        direction: row.get(4)?,
        kind: row.get(5)?,
        content: row.get(6)?,
        sender: row.get(7)?,
        timestamp: row.get(8)?,
        received_at: row.get(9)?,
        status: row.get(10)?,
        quoted_id: row.get(11)?,
        quoted: row.get(12)?,
        reply_to: row.get::<Option<String>>(13)?.map(MessageId::from_text),
    })
}
