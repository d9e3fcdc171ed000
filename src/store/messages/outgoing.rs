//! Messages that are sent through the API: storing them, and what has to be known to send them.
//!
//! When they are sent is in `outbox`, and what becomes of them in `changes`, like everything that happens to a message.
//!
//! Invariant: such a message's key is `out:` and its own id, whatever the provider calls it later.

use super::Key;
use crate::{
    domain::Channel,
    id::{AccountId, ConversationId, InboxId, MessageId},
    store::{not_deleted, statements},
};
use db::{Each, Error, Session, Value};

statements! {
    INSERT = "INSERT INTO messages (account_id, inbox_id, provider_id, id, conversation_id, direction, type, content,
            sender, reply_to, historic, timestamp, received_at, status, sent_by, metadata, way)
        VALUES ($1, $2, $3, $4, $5, 'outbound', $6, $7, '{}', $8, 0, $9, $9, $10, $11, $12, $13)";
    FIND = concat!("SELECT m.provider_id, m.inbox_id, m.conversation_id, i.type, i.status, i.settings, m.attempts
        FROM messages m JOIN inboxes i ON i.account_id = m.account_id AND i.id = m.inbox_id
        WHERE m.account_id = $1 AND m.id = $2 AND m.sent_by IS NOT NULL", not_deleted!("m.inbox_id"));
    // A message in a conversation that another one can answer, and what tells its way.
    QUOTABLE = "SELECT provider_id, content FROM messages WHERE account_id = $1 AND id = $2 AND conversation_id = $3";
    JOB = "SELECT m.type AS type, m.content AS content, m.way AS way, m.provider_id AS provider_id, m.reply_to AS reply_to,
            r.given_id AS given_id, c.identities AS identities, c.phone AS phone, c.is_group AS is_group, i.type AS channel, i.status AS status,
            i.settings AS settings, i.instagram_account_id AS instagram_account_id, i.deleted_at AS deleted_at,
            m.direction AS direction
        FROM messages m
        JOIN conversations v ON v.account_id = m.account_id AND v.id = m.conversation_id
        JOIN contacts c ON c.account_id = v.account_id AND c.id = v.contact_id
        JOIN inboxes i ON i.account_id = m.account_id AND i.id = m.inbox_id
        LEFT JOIN messages r ON r.account_id = m.account_id AND r.inbox_id = m.inbox_id AND r.provider_id = m.reply_to
        WHERE m.account_id = $1 AND m.id = $2";
    GIVE_ID = "UPDATE messages SET given_id = $1 WHERE account_id = $2 AND id = $3";
    SET_WAY = "UPDATE messages SET way = $1 WHERE account_id = $2 AND id = $3";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(JOB), Each::Update(GIVE_ID)];

/// Before the id of a message that was sent here, in its key.
const OWN: &str = "out:";

/// The key of a message that was sent here.
pub fn own_key(message: &MessageId) -> String {
    format!("{OWN}{message}")
}

/// Whether this is the key of a message that was sent here.
pub fn is_own_key(key: &str) -> bool {
    key.starts_with(OWN)
}

/// The message that was sent here and has this key.
pub fn of_own_key(key: &str) -> Option<MessageId> {
    key.strip_prefix(OWN).map(MessageId::from_text)
}

/// A message to send.
#[derive(Debug)]
pub struct NewOutgoing<'a> {
    /// Its key: see [`own_key`].
    pub key: Key<'a>,
    /// Its id.
    pub id: &'a MessageId,
    /// The thread that it goes to.
    pub conversation: &'a ConversationId,
    /// Its type.
    pub kind: &'static str,
    /// What it says: a JSON object.
    pub content: &'a str,
    /// The key of the message that it answers.
    pub reply_to: Option<&'a str>,
    /// When it was accepted.
    pub now: i64,
    /// How far it is at first: `queued`, or `sent` where nobody else has to be asked.
    pub status: &'static str,
    /// Who sent it: a JSON object.
    pub sent_by: &'a str,
    /// What its sender noted with it: a JSON object.
    pub metadata: Option<&'a str>,
    /// On which way it goes, beside its contact: a JSON object.
    pub way: Option<&'a str>,
}

/// Stores a message to send. It is counted elsewhere.
pub async fn insert_outgoing(
    session: &mut Session,
    message: &NewOutgoing<'_>,
) -> Result<(), Error> {
    let mut row = message.key.params();
    row.extend([
        Value::from(message.id),
        message.conversation.into(),
        message.kind.into(),
        message.content.into(),
        message.reply_to.into(),
        message.now.into(),
        message.status.into(),
        message.sent_by.into(),
        message.metadata.into(),
        message.way.into(),
    ]);
    session.execute(&INSERT, &row).await?;
    Ok(())
}

/// A message that was sent here.
#[derive(Debug)]
pub struct Outgoing {
    /// Its key.
    pub key: String,
    /// Through which inbox.
    pub inbox: InboxId,
    /// The thread that it is in.
    pub conversation: ConversationId,
    /// The inbox's type.
    pub channel: Channel,
    /// The inbox's status.
    pub inbox_status: String,
    /// What is set about the inbox: a JSON object.
    pub settings: String,
    /// How many attempts it had when it left the outbox.
    pub attempts: i64,
}

/// A message, if it was sent here.
pub async fn find_outgoing(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
) -> Result<Option<Outgoing>, Error> {
    session
        .query_opt(&FIND, &[account.into(), id.into()], |row| {
            Ok(Outgoing {
                key: row.get(0)?,
                inbox: InboxId::from_text(row.text(1)?),
                conversation: ConversationId::from_text(row.text(2)?),
                channel: channel(row.text(3)?)?,
                inbox_status: row.get(4)?,
                settings: row.get(5)?,
                attempts: row.get::<Option<i64>>(6)?.unwrap_or(0),
            })
        })
        .await
}

/// The key and the content of a message of this conversation.
pub async fn find_quotable(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
    conversation: &ConversationId,
) -> Result<Option<(String, String)>, Error> {
    let params = [account.into(), id.into(), conversation.into()];
    session
        .query_opt(&QUOTABLE, &params, |row| Ok((row.get(0)?, row.get(1)?)))
        .await
}

/// What has to be known to send a message.
#[derive(Debug)]
pub struct Job {
    /// Its key.
    pub key: String,
    /// Whether it came from the contact.
    pub is_inbound: bool,
    /// Its type.
    pub kind: String,
    /// What it says: a JSON object.
    pub content: String,
    /// On which way it goes: a JSON object.
    pub way: Option<String>,
    /// The provider's id of the message that it answers, if the provider has that.
    pub reply_to: Option<String>,
    /// What the contact is known by, as it is shown: a JSON list.
    pub identities: String,
    /// The contact's number.
    pub phone: Option<String>,
    /// Whether the contact is a group chat.
    pub is_group: bool,
    /// The inbox's type.
    pub channel: Channel,
    /// The inbox's status.
    pub inbox_status: String,
    /// What is set about the inbox: a JSON object.
    pub settings: String,
    /// The account's id, of an inbox of type instagram.
    pub instagram_account_id: Option<String>,
    /// Whether the inbox is deleted.
    pub is_deleted: bool,
}

/// What has to be known to send each of these.
pub async fn find_jobs(
    session: &mut Session,
    messages: &[(&AccountId, &MessageId)],
) -> Result<Vec<Option<Job>>, Error> {
    let runs: Vec<Vec<Value<'_>>> = messages
        .iter()
        .map(|(account, id)| vec![(*account).into(), (*id).into()])
        .collect();
    let found = session.find_each(&JOB, &runs, |row| {
        let reply_to: Option<String> = row.get(4)?;
        Ok(Job {
            key: row.get(3)?,
            is_inbound: row.text(14)? == "inbound",
            kind: row.get(0)?,
            content: row.get(1)?,
            way: row.get(2)?,
            reply_to: match reply_to {
                Some(key) if is_own_key(&key) => row.get(5)?,
                key => key,
            },
            identities: row.get(6)?,
            phone: row.get(7)?,
            is_group: row.get::<i64>(8)? != 0,
            channel: channel(row.text(9)?)?,
            inbox_status: row.get(10)?,
            settings: row.get(11)?,
            instagram_account_id: row.get(12)?,
            is_deleted: row.get::<Option<i64>>(13)?.is_some(),
        })
    });
    let found = found.await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Notes what the provider calls each of these messages.
pub async fn give_ids(
    session: &mut Session,
    given: &[(&AccountId, &MessageId, &str)],
) -> Result<(), Error> {
    let runs = given.iter().map(|(account, id, given)| {
        vec![Value::from(*given), Value::from(*account), Value::from(*id)]
    });
    let runs: Vec<_> = runs.collect();
    session.update_each(&GIVE_ID, &runs).await
}

/// Changes the way on which a message goes.
pub async fn set_way(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
    way: &str,
) -> Result<(), Error> {
    let params = [way.into(), account.into(), id.into()];
    session.execute(&SET_WAY, &params).await?;
    Ok(())
}

fn channel(name: &str) -> Result<Channel, Error> {
    let known = name.parse();
    known.map_err(|what: &str| Error::Broken(what.to_owned()))
}
