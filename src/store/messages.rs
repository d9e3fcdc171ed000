//! The `messages` table, and `message_changes`: what later happened to them.
//!
//! Invariant: a provider's id is there once in an inbox, for ever. The unique key says so, not a look-up before it.

use super::{contacts, one_each, statements};
use crate::id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId};
use db::{Each, Error, Row, Session, Value};
use std::collections::HashSet;

/// Selects messages as [`read`] reads them, each with the message that it answers.
macro_rules! message {
    ($where:literal) => {
        concat!(
            "SELECT m.id, m.inbox_id, m.conversation_id, m.provider_id, m.direction, m.type, m.content, m.sender,
                m.timestamp, m.received_at, m.status, r.id
            FROM messages m LEFT JOIN messages r
                ON r.account_id = m.account_id AND r.inbox_id = m.inbox_id AND r.provider_id = m.reply_to ",
            $where
        )
    };
}

statements! {
    FIND_BY_PROVIDER_ID = "SELECT id, conversation_id FROM messages
        WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3";
    // One look for all that has to be known of a message that comes.
    LOOK = "SELECT m.type AS type, m.placeholder AS placeholder, c.id AS contact, c.name, c.phone, c.username, v.id AS conversation
        FROM (SELECT 1 AS one) AS one
        LEFT JOIN messages m ON m.account_id = $1 AND m.inbox_id = $2 AND m.provider_id = $3
        LEFT JOIN contact_identities i ON i.account_id = $1 AND i.channel = $4 AND i.identity = $5
        LEFT JOIN contacts c ON c.account_id = i.account_id AND c.id = i.contact_id
        LEFT JOIN conversations v ON v.account_id = i.account_id AND v.inbox_id = $2 AND v.contact_id = i.contact_id";
    INSERT = "INSERT INTO messages (account_id, inbox_id, provider_id, id, conversation_id, direction, type, content,
            sender, reply_to, historic, timestamp, received_at, placeholder, status)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (account_id, inbox_id, provider_id) DO NOTHING RETURNING id";
    // What is there already is never replaced.
    FILL = "UPDATE messages SET type = $1, content = $2, reply_to = COALESCE($3, reply_to), status = COALESCE($4, status),
            placeholder = 0
        WHERE account_id = $5 AND inbox_id = $6 AND provider_id = $7 AND type = 'unsupported'";
    // The same news again changes nothing; of two reactions by one person the later one holds.
    CHANGE = "INSERT INTO message_changes (account_id, inbox_id, provider_id, kind, key, id, value, timestamp, received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (account_id, inbox_id, provider_id, kind, key)
        DO UPDATE SET id = excluded.id, value = excluded.value, timestamp = excluded.timestamp, received_at = excluded.received_at
        WHERE excluded.timestamp > message_changes.timestamp
        RETURNING id";
    CHANGES = "SELECT kind, key, value, timestamp FROM message_changes
        WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3 ORDER BY timestamp, id";
    FIND = message!("WHERE m.account_id = $1 AND m.id = $2");
    OF_CONVERSATION = message!("WHERE m.account_id = $1 AND m.conversation_id = $2 AND (m.timestamp, m.id) < ($3, $4)
        ORDER BY m.timestamp DESC, m.id DESC LIMIT $5");
    OF_INBOX = message!("WHERE m.account_id = $1 AND m.inbox_id = $2 AND (m.timestamp, m.id) < ($3, $4)
        ORDER BY m.timestamp DESC, m.id DESC LIMIT $5");
    // By id: the order in which they came here, whatever their own clocks say.
    OF_CONVERSATION_AFTER = message!("WHERE m.account_id = $1 AND m.conversation_id = $2 AND m.id > $3 ORDER BY m.id LIMIT $4");
    CREATED_AFTER = "SELECT id, inbox_id, conversation_id FROM messages
        WHERE account_id = $1 AND id > $2 AND historic = 0 ORDER BY id LIMIT $3";
    CHANGED_AFTER = "SELECT c.id, m.inbox_id, m.conversation_id, m.id
        FROM message_changes c JOIN messages m
            ON m.account_id = c.account_id AND m.inbox_id = c.inbox_id AND m.provider_id = c.provider_id
        WHERE c.account_id = $1 AND c.id > $2 ORDER BY c.id LIMIT $3";
    DELETE_ALL = "DELETE FROM messages WHERE account_id = $1 AND inbox_id = $2";
    DELETE_CHANGES = "DELETE FROM message_changes WHERE account_id = $1 AND inbox_id = $2";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[
    Each::Find(FIND_BY_PROVIDER_ID),
    Each::Find(LOOK),
    Each::Insert(INSERT),
];

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
    pub content: &'a str,
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
    /// Whether its content is still to come.
    pub placeholder: bool,
    /// How far it had come when it was handed over, if that was said.
    pub status: Option<&'static str>,
}

/// For each key, the message and its conversation, if it is stored.
pub async fn find_each_by_provider_id(
    session: &mut Session,
    keys: &[Key<'_>],
) -> Result<Vec<Option<(MessageId, ConversationId)>>, Error> {
    let runs: Vec<_> = keys.iter().map(Key::params).collect();
    let found = session
        .find_each(&FIND_BY_PROVIDER_ID, &runs, |row| {
            Ok((
                MessageId::from_text(row.get::<String>(0)?),
                ConversationId::from_text(row.get::<String>(1)?),
            ))
        })
        .await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// How much is known of what a message says. Of two that come under one key, the fuller one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fullness {
    /// That there is a message.
    Placeholder,
    /// What came, of a kind that was not understood.
    Raw,
    /// All of it.
    Whole,
}

impl Fullness {
    /// Of a message of this type.
    pub fn of(kind: &str, placeholder: bool) -> Self {
        match (kind, placeholder) {
            ("unsupported", true) => Fullness::Placeholder,
            ("unsupported", false) => Fullness::Raw,
            _ => Fullness::Whole,
        }
    }
}

/// What is known of a message that comes.
#[derive(Debug)]
pub struct Known {
    /// How much of it is stored, if it is.
    pub message: Option<Fullness>,
    /// The contact that has its writer's `provider_id`.
    pub contact: Option<contacts::Stored>,
    /// The contact's conversation in this inbox.
    pub conversation: Option<ConversationId>,
}

/// For each message, by its key and its contact's, what is known of it.
pub async fn look_each(
    session: &mut Session,
    messages: &[(Key<'_>, contacts::Key<'_>)],
) -> Result<Vec<Known>, Error> {
    let runs: Vec<_> = messages
        .iter()
        .map(|(key, contact)| {
            let mut params = key.params();
            params.push(contact.channel.as_str().into());
            params.push(contact.contact.provider_id.as_ref().into());
            params
        })
        .collect();
    let found = session.find_each(&LOOK, &runs, |row| {
        let kind: Option<String> = row.get(0)?;
        let placeholder: Option<i64> = row.get(1)?;
        let contact: Option<String> = row.get(2)?;
        let conversation: Option<String> = row.get(6)?;
        Ok(Known {
            message: kind.map(|kind| Fullness::of(&kind, placeholder == Some(1))),
            contact: match contact {
                Some(id) => Some(contacts::Stored {
                    id: ContactId::from_text(id),
                    name: row.get(3)?,
                    phone: row.get(4)?,
                    username: row.get(5)?,
                }),
                None => None,
            },
            conversation: conversation.map(ConversationId::from_text),
        })
    });
    one_each(found.await?.into_iter().flatten().collect(), runs.len())
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
                message.content.into(),
                (&message.sender).into(),
                message.reply_to.into(),
                i64::from(message.historic).into(),
                message.timestamp.into(),
                message.received_at.into(),
                i64::from(message.placeholder).into(),
                message.status.into(),
            ]);
            row
        })
        .collect();
    let stored = session.insert_each(&INSERT, &runs, |row| row.get::<String>(0));
    let stored: HashSet<_> = stored.await?.into_iter().collect();
    Ok(messages
        .iter()
        .map(|message| stored.contains(message.id.as_str()))
        .collect())
}

/// The content of a message that is stored without it.
#[derive(Debug)]
pub struct Filling<'a> {
    /// Which message.
    pub key: Key<'a>,
    /// Its type.
    pub kind: &'static str,
    /// What it says: a JSON object.
    pub content: &'a str,
    /// The provider's id of the message that it answers.
    pub reply_to: Option<&'a str>,
    /// How far it had come when it was handed over, if that was said.
    pub status: Option<&'static str>,
}

/// Gives messages their content. One that has it keeps what it has.
pub async fn fill(session: &mut Session, fillings: &[Filling<'_>]) -> Result<(), Error> {
    let runs: Vec<_> = fillings
        .iter()
        .map(|filling| {
            let mut row = vec![
                Value::from(filling.kind),
                filling.content.into(),
                filling.reply_to.into(),
                filling.status.into(),
            ];
            row.extend(filling.key.params());
            row
        })
        .collect();
    session.query_each(&FILL, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Something that happened to a message, whether or not the message is known yet.
#[derive(Debug)]
pub struct NewChange<'a> {
    /// Which message.
    pub key: Key<'a>,
    /// `status`, `reaction`, `edit`, `revoke` or `content`.
    pub kind: &'static str,
    /// What there can be one of: a status's name, a reaction's author, an edit's fingerprint, nothing for a revoke, the
    /// type of a content that came later.
    pub part: String,
    /// As an event.
    pub id: EventId,
    /// The error, the emoji or the new content (JSON), if any.
    pub value: Option<&'a str>,
    /// The provider's clock.
    pub timestamp: i64,
    /// Our clock.
    pub received_at: i64,
}

/// Stores what happened to messages. For each, whether it is news.
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
                change.timestamp.into(),
                change.received_at.into(),
            ]);
            row
        })
        .collect();
    let stored = session.query_each(&CHANGE, &runs, |_| Ok(())).await?;
    Ok(stored.iter().map(|rows| !rows.is_empty()).collect())
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
    /// The message that it answers, if that is stored.
    pub reply_to: Option<MessageId>,
}

/// Something that happened to a message.
#[derive(Debug, Clone)]
pub struct Change {
    /// `status`, `reaction`, `edit`, `revoke` or `content`.
    pub kind: String,
    /// A status's name, a reaction's author.
    pub part: String,
    /// The error, the emoji or the new content (JSON), if any.
    pub value: Option<String>,
    /// The provider's clock.
    pub timestamp: i64,
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

/// For each message, what happened to it, oldest first.
pub async fn changes_each(
    session: &mut Session,
    account: &AccountId,
    messages: &[Stored],
) -> Result<Vec<Vec<Change>>, Error> {
    let runs: Vec<_> = messages
        .iter()
        .map(|message| {
            let key = Key {
                account,
                inbox: &message.inbox,
                provider_id: &message.provider_id,
            };
            key.params()
        })
        .collect();
    session
        .query_each(&CHANGES, &runs, |row| {
            Ok(Change {
                kind: row.get(0)?,
                part: row.get(1)?,
                value: row.get(2)?,
                timestamp: row.get(3)?,
            })
        })
        .await
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

/// The messages to which something happened after an event, in order.
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
        reply_to: row.get::<Option<String>>(11)?.map(MessageId::from_text),
    })
}
