//! The `outbox` table: what is still to be sent, or may have been.
//!
//! Of each conversation only the first message that waits is due at some time, so that a look for what is due costs the same
//! however much waits behind. What to do with a message is not decided here.
//!
//! Invariant: a message is here while it waits, while an attempt is under way, and while it is not known whether the provider
//! has it. Times are milliseconds since 1970.

use super::statements;
use crate::id::{AccountId, ConversationId, InboxId, MessageId};
use db::{Each, Error, Row, Session, Sql, Value};

statements! {
    INSERT = "INSERT INTO outbox (account_id, message_id, inbox_id, conversation_id, state, position, due_at, expires_at, attempts, earlier_attempts)
        VALUES ($1, $2, $3, $4, 'queued', $5, $6, $7, $8, $8)
        ON CONFLICT (account_id, message_id) DO UPDATE SET state = 'queued', position = excluded.position,
            due_at = excluded.due_at, expires_at = excluded.expires_at, held = 0, last_error = NULL,
            earlier_attempts = outbox.attempts";
    LAST = "SELECT
            (SELECT position FROM outbox WHERE account_id = $1 AND conversation_id = $2 AND state = 'queued'
                ORDER BY position DESC LIMIT 1),
            (SELECT position FROM outbox WHERE account_id = $1 AND conversation_id = $2 AND state = 'attempting'
                ORDER BY position DESC LIMIT 1)";
    IS_DUE = "SELECT 1 FROM outbox WHERE due_at <= $1 LIMIT 1";
    NEXT_DUE = "SELECT due_at FROM outbox WHERE due_at > $1 ORDER BY due_at LIMIT 1";
    BEGIN = "UPDATE outbox SET state = 'attempting', attempts = attempts + 1, attempt_begun_at = $1, due_at = $2, lease_owner = $3
        WHERE account_id = $4 AND message_id = $5";
    POSTPONE = "UPDATE outbox SET due_at = $1 WHERE account_id = $2 AND message_id = $3";
    TRY_AGAIN = "UPDATE outbox SET state = 'queued', due_at = $1, last_error = $2, lease_owner = NULL
        WHERE account_id = $3 AND message_id = $4";
    DOUBT = "UPDATE outbox SET state = 'unknown', due_at = NULL, lease_owner = NULL WHERE account_id = $1 AND message_id = $2";
    // What is heard late of an earlier attempt must not be taken for that of a later one.
    NOTE_ATTEMPTS = "UPDATE messages SET attempts = (SELECT o.attempts FROM outbox o WHERE o.account_id = $1 AND o.message_id = $2)
        WHERE account_id = $1 AND id = $2";
    DELETE = "DELETE FROM outbox WHERE account_id = $1 AND message_id = $2";
    // Whoever was first in the conversation is gone: the next one is due.
    PROMOTE = "UPDATE outbox SET due_at = CASE held WHEN 1 THEN expires_at ELSE $1 END WHERE account_id = $2 AND due_at IS NULL AND message_id = (SELECT n.message_id
            FROM outbox n WHERE n.account_id = $2 AND n.conversation_id = $3 AND n.state = 'queued' ORDER BY n.position LIMIT 1)
          AND NOT EXISTS (SELECT 1 FROM outbox a WHERE a.account_id = $2 AND a.conversation_id = $3 AND a.state = 'attempting')";
    WAKE = "UPDATE outbox SET due_at = $1 WHERE account_id = $2 AND inbox_id = $3 AND state = 'queued' AND held = 0 AND due_at > $1";
    // Whoever is first stays first, and is due no earlier than its time is over.
    HOLD = "UPDATE outbox SET held = 1, due_at = CASE WHEN due_at IS NULL THEN NULL ELSE expires_at END
        WHERE account_id = $1 AND inbox_id = $2 AND state = 'queued' AND position < $3";
    LET_GO = "UPDATE outbox SET held = 0, due_at = CASE WHEN due_at IS NULL THEN NULL ELSE CAST($1 AS BIGINT) END
        WHERE account_id = $2 AND message_id = $3 AND inbox_id = $4 AND held = 1";
    HELD = "SELECT message_id FROM outbox WHERE account_id = $1 AND inbox_id = $2 AND held = 1 ORDER BY message_id LIMIT $3";
    IN_DOUBT = "SELECT message_id FROM outbox WHERE account_id = $1 AND conversation_id = $2 AND state IN ('attempting', 'unknown')
        LIMIT 1";
    // Takes along what belongs to messages that were moved there already.
    FOLLOW = "UPDATE outbox SET conversation_id = $1 WHERE account_id = $2 AND conversation_id = $3 AND EXISTS (SELECT 1
            FROM messages m WHERE m.account_id = $2 AND m.id = outbox.message_id AND m.conversation_id = $1)";
    // Of two that were first, the one behind waits.
    LINE_UP = "UPDATE outbox SET due_at = NULL WHERE account_id = $1 AND conversation_id = $2 AND state = 'queued' AND due_at IS NOT NULL
          AND (message_id <> (SELECT n.message_id FROM outbox n
                WHERE n.account_id = $1 AND n.conversation_id = $2 AND n.state = 'queued' ORDER BY n.position LIMIT 1)
            OR EXISTS (SELECT 1 FROM outbox a WHERE a.account_id = $1 AND a.conversation_id = $2 AND a.state = 'attempting'))";
    UNKNOWN_LIKE = "SELECT o.message_id FROM outbox o
        JOIN messages m ON m.account_id = o.account_id AND m.id = o.message_id
        WHERE o.account_id = $1 AND o.conversation_id = $2 AND o.state = 'unknown' AND m.type = $3 AND m.content = $4
        ORDER BY o.position LIMIT 1";
}

/// What a message in the outbox looks like.
macro_rules! entry {
    ($where:literal) => {
        concat!(
            "SELECT account_id, message_id, inbox_id, conversation_id, state, due_at, expires_at, attempts, last_error, earlier_attempts FROM outbox ",
            $where
        )
    };
}

/// What is due, first what has waited longest. On PostgreSQL each goes to one node.
const DUE: Sql = Sql {
    sqlite: entry!("WHERE due_at <= $1 ORDER BY due_at LIMIT $2"),
    postgres: entry!("WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED"),
};
/// SQLite has one writer at a time: its write transaction is the lock.
const LOCK: Sql = Sql {
    sqlite: entry!("WHERE account_id = $1 AND message_id = $2"),
    postgres: entry!("WHERE account_id = $1 AND message_id = $2 FOR UPDATE"),
};

/// What is first in a conversation: that alone can begin to be sent.
const LOCK_FIRST: Sql = Sql {
    sqlite: entry!("WHERE account_id = $1 AND conversation_id = $2 AND due_at IS NOT NULL"),
    postgres: entry!(
        "WHERE account_id = $1 AND conversation_id = $2 AND due_at IS NOT NULL FOR UPDATE"
    ),
};

/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[DUE, LOCK, LOCK_FIRST];
/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[
    Each::Update(BEGIN),
    Each::Update(POSTPONE),
    Each::Find(LOCK),
    Each::Find(IN_DOUBT),
];

/// How far a message in the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn or its next try.
    Queued,
    /// An attempt is under way.
    Attempting,
    /// An attempt ended without an answer: the provider may have it.
    Unknown,
}

/// A message in the outbox.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub account: AccountId,
    /// Which message.
    pub message: MessageId,
    /// Through which inbox.
    pub inbox: InboxId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// How far it is.
    pub state: State,
    /// When something is to be done, unless it waits behind another one.
    pub due_at: Option<i64>,
    /// Until when it is tried.
    pub expires_at: i64,
    /// How many attempts were begun.
    pub attempts: i64,
    /// Why the last attempt failed, in the provider's words or ours.
    pub last_error: Option<String>,
    /// How many of the attempts were begun before a person had it tried again.
    pub earlier_attempts: i64,
}

impl Entry {
    /// How many attempts were begun since a person wanted it sent, for the last time.
    pub fn tries(&self) -> i64 {
        self.attempts - self.earlier_attempts
    }
}

/// A message to put into the outbox.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// Which message.
    pub message: &'a MessageId,
    /// Through which inbox.
    pub inbox: &'a InboxId,
    /// In which conversation.
    pub conversation: &'a ConversationId,
    /// Its place among those of its conversation, which are sent in the order of their places.
    pub position: &'a MessageId,
    /// When it is put there.
    pub now: i64,
    /// Until when it is tried.
    pub expires_at: i64,
    /// How many attempts it has had. Those to come have higher numbers: what is heard late of an earlier one is told apart.
    pub attempts: i64,
}

/// Puts a message at the end of its conversation. It is due at once if nothing is before it. Lock its inbox first.
///
/// Clocks of nodes differ, so that its place may be one before the last: it gets the next one after that, then.
pub async fn insert(session: &mut Session, entry: &NewEntry<'_>) -> Result<(), Error> {
    let params = [entry.account.into(), entry.conversation.into()];
    let last = session.query_opt(&LAST, &params, |row| {
        let queued = row.get::<Option<String>>(0)?;
        Ok(queued.max(row.get(1)?))
    });
    let last = last.await?.flatten();
    let position = entry.position.as_str();
    let behind = last
        .as_deref()
        .filter(|last| *last >= position)
        .map(|last| format!("{last}0"));
    let row = [
        entry.account.into(),
        entry.message.into(),
        entry.inbox.into(),
        entry.conversation.into(),
        behind.as_deref().unwrap_or(position).into(),
        last.is_none().then_some(entry.now).into(),
        entry.expires_at.into(),
        entry.attempts.into(),
    ];
    session.execute(&INSERT, &row).await?;
    Ok(())
}

/// Whether anything is due.
pub async fn is_due(session: &mut Session, now: i64) -> Result<bool, Error> {
    let due = session
        .query_opt(&IS_DUE, &[now.into()], |_| Ok(()))
        .await?;
    Ok(due.is_some())
}

/// When the next one will be due, if any will.
pub async fn next_due(session: &mut Session, now: i64) -> Result<Option<i64>, Error> {
    session
        .query_opt(&NEXT_DUE, &[now.into()], |row| row.get(0))
        .await
}

/// Takes what is due, at most so many, for this transaction.
pub async fn due(session: &mut Session, now: i64, most: i64) -> Result<Vec<Entry>, Error> {
    session.query(&DUE, &[now.into(), most.into()], read).await
}

/// Takes these for this transaction, as far as they are there.
pub async fn lock(
    session: &mut Session,
    messages: &[(&AccountId, &MessageId)],
) -> Result<Vec<Option<Entry>>, Error> {
    let found = session.find_each(&LOCK, &runs(messages), read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Notes that attempts begin now, by this process, and until when they may take.
pub async fn begin(
    session: &mut Session,
    messages: &[(&AccountId, &MessageId)],
    owner: &str,
    now: i64,
    until: i64,
) -> Result<(), Error> {
    let begun = [Value::from(now), until.into(), owner.into()];
    let runs: Vec<_> = runs(messages)
        .into_iter()
        .map(|message| begun.into_iter().chain(message).collect())
        .collect();
    session.update_each(&BEGIN, &runs).await
}

/// Has messages looked at again at another time.
pub async fn postpone(
    session: &mut Session,
    messages: &[(&AccountId, &MessageId, i64)],
) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = messages
        .iter()
        .map(|(account, message, at)| vec![(*at).into(), (*account).into(), (*message).into()])
        .collect();
    session.update_each(&POSTPONE, &runs).await
}

/// Notes that an attempt failed, and when the next one is due.
pub async fn try_again(
    session: &mut Session,
    account: &AccountId,
    message: &MessageId,
    at: i64,
    error: &str,
) -> Result<(), Error> {
    let params = [at.into(), error.into(), account.into(), message.into()];
    session.execute(&TRY_AGAIN, &params).await?;
    Ok(())
}

/// Notes that nobody knows whether the provider has a message. Nothing waits for it any more.
pub async fn doubt(
    session: &mut Session,
    account: &AccountId,
    message: &MessageId,
) -> Result<(), Error> {
    session
        .execute(&DOUBT, &[account.into(), message.into()])
        .await?;
    Ok(())
}

/// Takes a message out that a person may have tried again, and notes how many attempts it had.
pub async fn close(
    session: &mut Session,
    account: &AccountId,
    message: &MessageId,
) -> Result<(), Error> {
    let params = [account.into(), message.into()];
    session.execute(&NOTE_ATTEMPTS, &params).await?;
    session.execute(&DELETE, &params).await?;
    Ok(())
}

/// Takes messages out.
pub async fn delete(
    session: &mut Session,
    messages: &[(&AccountId, &MessageId)],
) -> Result<(), Error> {
    session
        .query_each(&DELETE, &runs(messages), |_| Ok(()))
        .await?;
    Ok(())
}

/// Makes the next message of each conversation due, after the one that was first has left or is in doubt.
pub async fn promote(
    session: &mut Session,
    conversations: &[(&AccountId, &ConversationId)],
    now: i64,
) -> Result<(), Error> {
    let runs = conversations
        .iter()
        .map(|(account, id)| vec![now.into(), Value::from(*account), Value::from(*id)]);
    let runs: Vec<_> = runs.collect();
    session.query_each(&PROMOTE, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Has no attempt begin in a conversation until this transaction ends. Whether one is under way. Lock its inbox first.
pub async fn lock_first(
    session: &mut Session,
    account: &AccountId,
    conversation: &ConversationId,
) -> Result<bool, Error> {
    let params = [account.into(), conversation.into()];
    let first = session.query(&LOCK_FIRST, &params, read).await?;
    Ok(first.iter().any(|one| one.state == State::Attempting))
}

/// Has what is to be sent follow those messages that were moved from one conversation to another. The messages of each are
/// still sent in order. Use [`lock_first`] on both before; at most one may have an attempt under way.
pub async fn follow(
    session: &mut Session,
    account: &AccountId,
    from: &ConversationId,
    to: &ConversationId,
    now: i64,
) -> Result<(), Error> {
    let params = [to.into(), account.into(), from.into()];
    session.execute(&FOLLOW, &params).await?;
    session
        .execute(&LINE_UP, &[account.into(), to.into()])
        .await?;
    promote(session, &[(account, from)], now).await
}

/// Makes everything due that an inbox has to try later, since what held it up may be over.
pub async fn wake(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    now: i64,
) -> Result<(), Error> {
    let params = [now.into(), account.into(), inbox.into()];
    session.execute(&WAKE, &params).await?;
    Ok(())
}

/// Holds what waits in an inbox and has a place before this one, until a person lets it go.
pub async fn hold(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    before: &MessageId,
) -> Result<(), Error> {
    let params = [account.into(), inbox.into(), before.into()];
    session.execute(&HOLD, &params).await?;
    Ok(())
}

/// Lets a message of an inbox go that was held. False if it is none.
pub async fn let_go(
    session: &mut Session,
    account: &AccountId,
    message: &MessageId,
    inbox: &InboxId,
    now: i64,
) -> Result<bool, Error> {
    let params = [now.into(), account.into(), message.into(), inbox.into()];
    Ok(session.execute(&LET_GO, &params).await? > 0)
}

/// What is held in an inbox, at most so many.
pub async fn held(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    most: i64,
) -> Result<Vec<MessageId>, Error> {
    let params = [account.into(), inbox.into(), most.into()];
    session
        .query(&HELD, &params, |row| Ok(MessageId::from_text(row.text(0)?)))
        .await
}

/// For each conversation, whether the provider may have something that it did not confirm.
pub async fn in_doubt(
    session: &mut Session,
    conversations: &[(&AccountId, &ConversationId)],
) -> Result<Vec<bool>, Error> {
    let runs: Vec<Vec<Value<'_>>> = conversations
        .iter()
        .map(|(account, id)| vec![(*account).into(), (*id).into()])
        .collect();
    let found = session.find_each(&IN_DOUBT, &runs, |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}

/// The first message of a conversation that is in doubt and says just this.
pub async fn unknown_like(
    session: &mut Session,
    account: &AccountId,
    conversation: &ConversationId,
    kind: &str,
    content: &str,
) -> Result<Option<MessageId>, Error> {
    let params = [
        account.into(),
        conversation.into(),
        kind.into(),
        content.into(),
    ];
    session
        .query_opt(&UNKNOWN_LIKE, &params, |row| {
            Ok(MessageId::from_text(row.text(0)?))
        })
        .await
}

fn runs<'a>(messages: &[(&'a AccountId, &'a MessageId)]) -> Vec<Vec<Value<'a>>> {
    let run = |(account, message): &(&'a AccountId, &'a MessageId)| {
        vec![Value::from(*account), Value::from(*message)]
    };
    messages.iter().map(run).collect()
}

fn read(row: &Row<'_>) -> Result<Entry, Error> {
    Ok(Entry {
        account: AccountId::from_text(row.text(0)?),
        message: MessageId::from_text(row.text(1)?),
        inbox: InboxId::from_text(row.text(2)?),
        conversation: ConversationId::from_text(row.text(3)?),
        state: match row.text(4)? {
            "queued" => State::Queued,
            "attempting" => State::Attempting,
            "unknown" => State::Unknown,
            other => return Err(Error::Broken(format!("an outbox state {other}"))),
        },
        due_at: row.get(5)?,
        expires_at: row.get(6)?,
        attempts: row.get(7)?,
        last_error: row.get(8)?,
        earlier_attempts: row.get(9)?,
    })
}
