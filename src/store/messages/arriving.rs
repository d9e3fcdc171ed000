//! Messages that arrive: looking up what is known of them, and storing them.
//!
//! Invariant: a message that came whole never changes here. Only one whose type is still `unsupported` is replaced, by a
//! fuller one.

use super::Key;
use crate::{
    id::{ConversationId, MessageId},
    store::{one, statements},
};
use db::{Each, Error, Session, Value};
use std::collections::HashSet;

statements! {
    FIND_BY_PROVIDER_ID = "SELECT id, conversation_id, has_changes, undelivered FROM messages
        WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3";
    LOOK = "SELECT m.type AS type, m.placeholder AS placeholder,
            CAST(CASE WHEN EXISTS (SELECT 1 FROM message_changes h
                WHERE h.account_id = $1 AND h.inbox_id = $2 AND h.provider_id = $3) THEN 1 ELSE 0 END AS BIGINT) AS has_changes
        FROM (SELECT 1 AS one) AS one
        LEFT JOIN messages m ON m.account_id = $1 AND m.inbox_id = $2 AND m.provider_id = $3";
    INSERT = "INSERT INTO messages (account_id, inbox_id, provider_id, id, conversation_id, direction, type, content,
            sender, reply_to, historic, timestamp, received_at, placeholder, status, quoted, has_changes, silent)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT (account_id, inbox_id, provider_id) DO NOTHING RETURNING id";
    // Only a message whose type is still `unsupported` is filled.
    FILL = "UPDATE messages SET type = $1, content = $2, reply_to = COALESCE($3, reply_to), status = COALESCE($4, status),
            quoted = COALESCE($5, quoted), placeholder = 0
        WHERE account_id = $6 AND inbox_id = $7 AND provider_id = $8 AND type = 'unsupported'";
    MARK_CHANGED = "UPDATE messages SET has_changes = 1
        WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3 AND has_changes = 0";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[
    Each::Find(FIND_BY_PROVIDER_ID),
    Each::Find(LOOK),
    Each::Insert(INSERT),
    Each::Update(MARK_CHANGED),
];

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
    /// What else is told of what it answers: a JSON object.
    pub quoted: Option<String>,
    /// Whether something happened to it before it came.
    pub has_changes: bool,
    /// Whether it is told to nobody.
    pub silent: bool,
}

/// A message that is stored.
#[derive(Debug)]
pub struct Found {
    /// Its id.
    pub id: MessageId,
    /// The thread that it is in.
    pub conversation: ConversationId,
    /// Whether it is known that something happened to it.
    pub has_changes: bool,
    /// Whether something is known that keeps it from being delivered.
    pub is_undelivered: bool,
}

/// For each key, the message, if it is stored.
pub async fn find_each_by_provider_id(
    session: &mut Session,
    keys: &[Key<'_>],
) -> Result<Vec<Option<Found>>, Error> {
    let runs: Vec<_> = keys.iter().map(Key::params).collect();
    let found = session
        .find_each(&FIND_BY_PROVIDER_ID, &runs, |row| {
            Ok(Found {
                id: MessageId::from_text(row.get::<String>(0)?),
                conversation: ConversationId::from_text(row.get::<String>(1)?),
                has_changes: row.get::<i64>(2)? != 0,
                is_undelivered: row.text_or_null(3)?.is_some(),
            })
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
    /// Whether something happened to the message already.
    pub has_changes: bool,
}

/// For each message, what is known of it.
pub async fn look_each(session: &mut Session, messages: &[Key<'_>]) -> Result<Vec<Known>, Error> {
    let runs: Vec<_> = messages.iter().map(Key::params).collect();
    let found = session.find_each(&LOOK, &runs, |row| {
        let kind: Option<String> = row.get(0)?;
        let placeholder: Option<i64> = row.get(1)?;
        Ok(Known {
            message: kind.map(|kind| Fullness::of(&kind, placeholder == Some(1))),
            has_changes: row.get::<i64>(2)? != 0,
        })
    });
    found.await?.into_iter().map(one).collect()
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
                message.quoted.as_deref().into(),
                i64::from(message.has_changes).into(),
                i64::from(message.silent).into(),
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
    /// What else is told of what it answers: a JSON object.
    pub quoted: Option<String>,
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
                filling.quoted.as_deref().into(),
            ];
            row.extend(filling.key.params());
            row
        })
        .collect();
    session.query_each(&FILL, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Notes of messages, each named once, that something happened to them.
pub async fn mark_changed(session: &mut Session, keys: &[Key<'_>]) -> Result<(), Error> {
    let runs: Vec<_> = keys.iter().map(Key::params).collect();
    session.update_each(&MARK_CHANGED, &runs).await
}
