//! What a conversation asks of the team: since when the contact waits for an answer, how many of its messages are unread,
//! and whether something was not delivered.
//!
//! Messages come in the order of their ids. One from the contact is answered by what was sent here after it came, and by
//! what was written in the channel's own app later than it, by the provider's clock, whichever of the two comes here first.
//! It is read up to `read_id`, and by what was written in the app. What was handed over from before does not count, nor what a muted contact writes. A
//! message that failed or is in doubt is of interest until somebody writes or resolves the conversation after that is known.
//!
//! Invariant: all of it follows from the messages, `resolved_id` and `read_id`. [`refresh`] works it out from the newest
//! thousand messages; `growth` does the same for each message that comes, without looking at the others where it can.

use crate::{
    id::{AccountId, ConversationId, EventId, MessageId},
    store::statements,
};
use db::{Each, Error, Session, Sql, Value};

/// The newest messages of the conversation that is updated, as `w`.
macro_rules! newest {
    () => {
        "(SELECT m.id, m.timestamp, m.direction, m.historic, m.silent, m.sent_by, m.undelivered, m.provider_id FROM messages m
            WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id
            ORDER BY m.timestamp DESC, m.id DESC LIMIT 1000) AS w "
    };
}
pub(super) use newest;

/// The condition for a message of [`newest`] from the contact that nothing written in the channel's app answers.
macro_rules! from_contact {
    () => {
        "w.direction = 'inbound' AND w.historic = 0 AND w.silent = 0
            AND (w.timestamp, w.id) > (conversations.echoed_at, conversations.echoed_id) "
    };
}
pub(super) use from_contact;

/// The condition for there being a message that failed or is in doubt, which became known after the team's last answer.
macro_rules! undelivered {
    ($($and:literal)?) => {
        concat!(
            "EXISTS (SELECT 1 FROM ",
            $crate::store::conversations::attention::newest!(),
            "JOIN message_changes c ON c.account_id = conversations.account_id AND c.inbox_id = conversations.inbox_id
                AND c.provider_id = w.provider_id AND c.kind = 'status' AND c.key = w.undelivered
            WHERE w.undelivered IN ('failed', 'unknown') AND substr(c.id, 5) > substr(conversations.answered_id, 5)
                AND c.received_at >= conversations.echoed_at ",
            $($and,)?
            ")"
        )
    };
}
pub(super) use undelivered;

/// The condition for an answer: a message of the business that failed or was canceled is none.
macro_rules! answer {
    () => {
        "w.direction = 'outbound' AND w.historic = 0 AND (w.undelivered IS NULL OR w.undelivered = 'unknown') "
    };
}

statements! {
    SET_ANSWERED = concat!("UPDATE conversations SET
            answered_id = COALESCE((SELECT MAX(w.id) FROM ", newest!(), "WHERE w.sent_by IS NOT NULL AND w.id > conversations.resolved_id
                AND ", answer!(), "), resolved_id),
            echoed_at = COALESCE((SELECT w.timestamp FROM ", newest!(), "WHERE w.sent_by IS NULL AND ", answer!(),
                "ORDER BY w.timestamp DESC, w.id DESC LIMIT 1), 0),
            echoed_id = COALESCE((SELECT w.id FROM ", newest!(), "WHERE w.sent_by IS NULL AND ", answer!(),
                "ORDER BY w.timestamp DESC, w.id DESC LIMIT 1), '')
        WHERE account_id = $1 AND id = $2");
    SET_ATTENTION = concat!("UPDATE conversations SET
            waiting_since = (SELECT MIN(w.timestamp) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > conversations.answered_id),
            unread_count = (SELECT COUNT(*) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > conversations.read_id),
            undelivered = CASE WHEN ", undelivered!(), " THEN 1 ELSE 0 END
        WHERE account_id = $1 AND id = $2");
    READ = concat!("UPDATE conversations SET read_id = $1,
            unread_count = (SELECT COUNT(*) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > $1),
            updated_at = $2, change_id = $3
        WHERE account_id = $4 AND id = $5 AND read_id < $1");
    RESOLVE = "UPDATE conversations SET status = 'resolved', resolved_id = $1, waiting_since = NULL, unread_count = 0, undelivered = 0,
            answered_id = CASE WHEN answered_id < $1 THEN $1 ELSE answered_id END,
            read_id = CASE WHEN read_id < $1 THEN $1 ELSE read_id END, updated_at = $2, change_id = $3
        WHERE account_id = $4 AND id = $5 AND status <> 'resolved'";
    REOPEN = "UPDATE conversations SET status = 'open', updated_at = $1, change_id = $2
        WHERE account_id = $3 AND id = $4 AND status <> 'open'";
    MARKS = concat!("SELECT resolved_id, read_id,
            (SELECT MIN(w.id) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > conversations.answered_id),
            (SELECT MIN(w.id) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > conversations.read_id)
        FROM conversations WHERE account_id = $1 AND id = $2");
    SET_MARKS = "UPDATE conversations SET resolved_id = $1, read_id = $2 WHERE account_id = $3 AND id = $4";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Update(SET_ANSWERED), Each::Update(SET_ATTENTION)];

/// Works out anew what conversations, each named once, ask of the team. Lock their inboxes first.
pub async fn refresh<'a>(
    session: &mut Session,
    conversations: impl Iterator<Item = (&'a AccountId, &'a ConversationId)>,
) -> Result<(), Error> {
    let runs: Vec<_> = conversations
        .map(|(account, id)| vec![Value::from(account), id.into()])
        .collect();
    if runs.is_empty() {
        return Ok(());
    }
    session.update_each(&SET_ANSWERED, &runs).await?;
    session.update_each(&SET_ATTENTION, &runs).await
}

/// A change of a conversation that is not a message.
#[derive(Debug)]
pub struct Change<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// Which conversation.
    pub id: &'a ConversationId,
    /// When.
    pub now: i64,
    /// As an event.
    pub event: &'a EventId,
}

/// Notes that the team has read what came up to a message. False if it had read that before. Lock the inbox first.
pub async fn read_up_to(
    session: &mut Session,
    change: &Change<'_>,
    message: &MessageId,
) -> Result<bool, Error> {
    mark(session, &READ, change, message).await
}

/// Resolves a conversation: what came before this place in the order of messages is done with. False if it is resolved.
/// Lock the inbox first.
pub async fn resolve(
    session: &mut Session,
    change: &Change<'_>,
    place: &MessageId,
) -> Result<bool, Error> {
    mark(session, &RESOLVE, change, place).await
}

async fn mark(
    session: &mut Session,
    statement: &Sql,
    change: &Change<'_>,
    place: &MessageId,
) -> Result<bool, Error> {
    let params = [
        place.into(),
        change.now.into(),
        change.event.into(),
        change.account.into(),
        change.id.into(),
    ];
    Ok(session.execute(statement, &params).await? > 0)
}

/// Opens a conversation again. False if it is open. Lock the inbox first.
pub async fn reopen(session: &mut Session, change: &Change<'_>) -> Result<bool, Error> {
    let params = [
        change.now.into(),
        change.event.into(),
        change.account.into(),
        change.id.into(),
    ];
    Ok(session.execute(&REOPEN, &params).await? > 0)
}

/// How far the team is in a conversation.
#[derive(Debug, Default)]
pub struct Marks {
    /// Where it was resolved last, in the order of messages; empty if never.
    pub resolved: String,
    /// Up to where it is read; empty if nowhere.
    pub read: String,
    /// The first message that waits for an answer.
    pub first_waiting: Option<String>,
    /// The first message that is unread.
    pub first_unread: Option<String>,
}

/// How far the team is in a conversation. None of it if it is not there.
pub async fn marks(
    session: &mut Session,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Marks, Error> {
    let params = [account.into(), id.into()];
    let found = session
        .query_opt(&MARKS, &params, |row| {
            Ok(Marks {
                resolved: row.get(0)?,
                read: row.get(1)?,
                first_waiting: row.get(2)?,
                first_unread: row.get(3)?,
            })
        })
        .await?;
    Ok(found.unwrap_or_default())
}

/// Sets where a conversation was resolved last, and up to where it is read. What follows from that needs a [`refresh`].
pub async fn set_marks(
    session: &mut Session,
    account: &AccountId,
    id: &ConversationId,
    resolved: &str,
    read: &str,
) -> Result<(), Error> {
    let params = [resolved.into(), read.into(), account.into(), id.into()];
    session.execute(&SET_MARKS, &params).await?;
    Ok(())
}
