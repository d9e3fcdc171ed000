//! Reading messages.
//!
//! What happened to messages is read in `changes`, and only for those of which something is known to have happened.
//!
//! Invariant: messages are in one order everywhere: the provider's clock, then the id.

use crate::{
    id::{AccountId, ConversationId, EventId, InboxId, MessageId},
    store::{aliases::survivor, not_deleted, statements},
};
use db::{Error, Row, Session, Value};
use std::borrow::Cow;

/// Bytes of a text that is read whole for a list.
pub const LONGEST_LISTED: usize = 65_536;
/// Characters to which a longer one is cut: they take no more bytes.
pub const CUT_TO: usize = 16_384;

/// The columns of the message `m` and of `r`, the message that it answers, as [`read`] reads them for lists. What is longer
/// than [`LONGEST_LISTED`] is cut.
macro_rules! listed {
    () => {
        "m.id, m.inbox_id, m.conversation_id, m.provider_id, m.direction, m.type,
            CASE WHEN octet_length(m.content) > 65536 THEN substr(m.content, 1, 16384) ELSE m.content END,
            CAST(octet_length(m.content) AS BIGINT), m.sender, m.timestamp, m.received_at, m.status, m.has_changes, m.reply_to,
            CASE WHEN octet_length(m.quoted) > 65536 THEN substr(m.quoted, 1, 16384) ELSE m.quoted END, r.id,
            r.given_id, m.given_id, m.sent_by, m.metadata"
    };
}
pub(in crate::store) use listed;

/// Joins to a message `m` the one that it answers.
macro_rules! answered {
    () => {
        " LEFT JOIN messages r
            ON r.account_id = m.account_id AND r.inbox_id = m.inbox_id AND r.provider_id = m.reply_to "
    };
}
pub(in crate::store) use answered;

/// Selects messages for a list.
macro_rules! list {
    ($($where:expr),+) => {
        concat!(
            "SELECT ",
            listed!(),
            " FROM messages m",
            answered!(),
            $($where),+
        )
    };
}

statements! {
    // Whole, however long the content is.
    FIND = concat!("SELECT m.id, m.inbox_id, m.conversation_id, m.provider_id, m.direction, m.type, m.content,
            CAST(octet_length(m.content) AS BIGINT), m.sender, m.timestamp, m.received_at, m.status, m.has_changes,
            m.reply_to, m.quoted, r.id, r.given_id, m.given_id, m.sent_by, m.metadata
        FROM messages m", answered!(), "WHERE m.account_id = $1 AND m.id = $2", not_deleted!("m.inbox_id"));
    FIND_LISTED = list!("WHERE m.account_id = $1 AND m.id = $2", not_deleted!("m.inbox_id"));
    EXISTS = "SELECT 1 FROM messages WHERE account_id = $1 AND id = $2";
    OF_CONVERSATION = list!("WHERE m.account_id = $1 AND m.conversation_id = ", survivor!("$2"), not_deleted!("m.inbox_id"),
        "ORDER BY m.timestamp DESC, m.id DESC LIMIT $3");
    OF_CONVERSATION_BEFORE = list!("WHERE m.account_id = $1 AND m.conversation_id = ", survivor!("$2"), "
          AND (m.timestamp, m.id) < ((SELECT b.timestamp FROM messages b WHERE b.account_id = $1 AND b.id = $3), $3)",
        not_deleted!("m.inbox_id"), "ORDER BY m.timestamp DESC, m.id DESC LIMIT $4");
    OF_INBOX = list!("WHERE m.account_id = $1 AND m.inbox_id = $2", not_deleted!("m.inbox_id"),
        "ORDER BY m.timestamp DESC, m.id DESC LIMIT $3");
    OF_INBOX_BEFORE = list!("WHERE m.account_id = $1 AND m.inbox_id = $2
          AND (m.timestamp, m.id) < ((SELECT b.timestamp FROM messages b WHERE b.account_id = $1 AND b.id = $3), $3)",
        not_deleted!("m.inbox_id"), "ORDER BY m.timestamp DESC, m.id DESC LIMIT $4");
    HELD = concat!("SELECT ", listed!(), " FROM outbox o JOIN messages m ON m.account_id = o.account_id AND m.id = o.message_id",
        answered!(), "WHERE o.account_id = $1 AND o.inbox_id = $2 AND o.held = 1", not_deleted!("o.inbox_id"),
        "ORDER BY o.message_id DESC LIMIT $3");
    HELD_BEFORE = concat!("SELECT ", listed!(), " FROM outbox o JOIN messages m ON m.account_id = o.account_id AND m.id = o.message_id",
        answered!(), "WHERE o.account_id = $1 AND o.inbox_id = $2 AND o.held = 1 AND o.message_id < $3", not_deleted!("o.inbox_id"),
        "ORDER BY o.message_id DESC LIMIT $4");
    // By id: the order in which they came here, whatever their own clocks say.
    OF_CONVERSATION_AFTER = list!("WHERE m.account_id = $1 AND m.conversation_id = $2 AND m.id > $3 ORDER BY m.id LIMIT $4");
    CREATED_AFTER = concat!("SELECT id, inbox_id, conversation_id FROM messages
        WHERE account_id = $1 AND id > $2 AND historic = 0 AND silent = 0", not_deleted!("inbox_id"), "ORDER BY id LIMIT $3");
}

/// A message as it is stored, before what happened to it is folded in.
#[derive(Debug, Clone)]
pub struct Stored<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// The inbox that it is in.
    pub inbox: Cow<'a, str>,
    /// The thread that it is in.
    pub conversation: Cow<'a, str>,
    /// Its key: the provider's id, or [`super::own_key`].
    pub provider_id: Cow<'a, str>,
    /// `inbound` or `outbound`.
    pub direction: Cow<'a, str>,
    /// Its type.
    pub kind: Cow<'a, str>,
    /// What it said at first: a JSON object, or the beginning of one that is longer than [`LONGEST_LISTED`].
    pub content: Cow<'a, str>,
    /// Bytes of the whole of it.
    pub content_size: usize,
    /// Who wrote it: a JSON object.
    pub sender: Cow<'a, str>,
    /// The provider's clock.
    pub timestamp: i64,
    /// Our clock.
    pub received_at: i64,
    /// How far it had come when it was handed over, if that was said.
    pub status: Option<Cow<'a, str>>,
    /// Whether something happened to it.
    pub has_changes: bool,
    /// The key of the message that it answers.
    pub quoted_id: Option<Cow<'a, str>>,
    /// What else is told of what it answers: a JSON object, or the first [`CUT_TO`] characters of one.
    pub quoted: Option<Cow<'a, str>>,
    /// The message that it answers, if that is stored.
    pub reply_to: Option<Cow<'a, str>>,
    /// What the provider calls the message that it answers, if that was sent here.
    pub quoted_given_id: Option<Cow<'a, str>>,
    /// What the provider calls this one, if it was sent here.
    pub given_id: Option<Cow<'a, str>>,
    /// Who sent it, if it was sent here: a JSON object.
    pub sent_by: Option<Cow<'a, str>>,
    /// What its sender noted with it: a JSON object.
    pub metadata: Option<Cow<'a, str>>,
}

impl Stored<'_> {
    /// The same, for longer than its row.
    pub fn into_owned(self) -> Stored<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Stored {
            id: own(self.id),
            inbox: own(self.inbox),
            conversation: own(self.conversation),
            provider_id: own(self.provider_id),
            direction: own(self.direction),
            kind: own(self.kind),
            content: own(self.content),
            content_size: self.content_size,
            sender: own(self.sender),
            timestamp: self.timestamp,
            received_at: self.received_at,
            status: self.status.map(own),
            has_changes: self.has_changes,
            quoted_id: self.quoted_id.map(own),
            quoted: self.quoted.map(own),
            reply_to: self.reply_to.map(own),
            quoted_given_id: self.quoted_given_id.map(own),
            given_id: self.given_id.map(own),
            sent_by: self.sent_by.map(own),
            metadata: self.metadata.map(own),
        }
    }
}

/// One message, whole.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
) -> Result<Option<Stored<'static>>, Error> {
    one(session, &FIND, account, id).await
}

/// One message as it is listed.
pub async fn find_listed(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
) -> Result<Option<Stored<'static>>, Error> {
    one(session, &FIND_LISTED, account, id).await
}

async fn one(
    session: &mut Session,
    statement: &db::Sql,
    account: &AccountId,
    id: &MessageId,
) -> Result<Option<Stored<'static>>, Error> {
    let params = [account.into(), id.into()];
    session
        .query_opt(statement, &params, |row| Ok(read(row, 0)?.into_owned()))
        .await
}

/// Whether there is a message.
pub async fn exists(
    session: &mut Session,
    account: &AccountId,
    id: &MessageId,
) -> Result<bool, Error> {
    let params = [account.into(), id.into()];
    let found = session.query_opt(&EXISTS, &params, |_| Ok(())).await?;
    Ok(found.is_some())
}

/// What messages are listed of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thread {
    /// One conversation.
    Conversation(ConversationId),
    /// All conversations of an inbox.
    Inbox(InboxId),
    /// What is held in an inbox.
    Held(InboxId),
}

/// Reads the newest messages, or the newest before one of the account's, newest first: none if it has no such message.
pub async fn newest(
    session: &mut Session,
    account: &AccountId,
    thread: &Thread,
    before: Option<&MessageId>,
    limit: i64,
    mut each: impl FnMut(Stored<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (of, all, rest): (Value<'_>, _, _) = match thread {
        Thread::Conversation(id) => (id.into(), &OF_CONVERSATION, &OF_CONVERSATION_BEFORE),
        Thread::Inbox(id) => (id.into(), &OF_INBOX, &OF_INBOX_BEFORE),
        Thread::Held(id) => (id.into(), &HELD, &HELD_BEFORE),
    };
    let each = |row: &Row<'_>| each(read(row, 0)?);
    match before {
        None => {
            let params = [account.into(), of, limit.into()];
            session.query(all, &params, each).await?
        }
        Some(before) => {
            let params = [account.into(), of, before.into(), limit.into()];
            session.query(rest, &params, each).await?
        }
    };
    Ok(())
}

/// The messages of a conversation that came after one of them, in the order in which they came.
pub async fn after(
    session: &mut Session,
    account: &AccountId,
    conversation: &ConversationId,
    after: &MessageId,
    limit: i64,
) -> Result<Vec<Stored<'static>>, Error> {
    let params = [
        account.into(),
        conversation.into(),
        after.into(),
        limit.into(),
    ];
    session
        .query(&OF_CONVERSATION_AFTER, &params, |row| {
            Ok(read(row, 0)?.into_owned())
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

/// Reads a message from the columns of [`listed`], from this one on.
pub(in crate::store) fn read<'a>(row: &'a Row<'_>, from: usize) -> Result<Stored<'a>, Error> {
    let text = |column: usize| Ok::<_, Error>(Cow::Borrowed(row.text(from + column)?));
    let text_or_null = |column: usize| {
        let text = row.text_or_null(from + column)?;
        Ok::<_, Error>(text.map(Cow::Borrowed))
    };
    let int = |column: usize| row.get::<i64>(from + column);
    Ok(Stored {
        id: text(0)?,
        inbox: text(1)?,
        conversation: text(2)?,
        provider_id: text(3)?,
        direction: text(4)?,
        kind: text(5)?,
        content: text(6)?,
        content_size: int(7)? as usize,
        sender: text(8)?,
        timestamp: int(9)?,
        received_at: int(10)?,
        status: text_or_null(11)?,
        has_changes: int(12)? != 0,
        quoted_id: text_or_null(13)?,
        quoted: text_or_null(14)?,
        reply_to: text_or_null(15)?,
        quoted_given_id: text_or_null(16)?,
        given_id: text_or_null(17)?,
        sent_by: text_or_null(18)?,
        metadata: text_or_null(19)?,
    })
}
