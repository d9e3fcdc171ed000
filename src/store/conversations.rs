//! The `conversations` table: one for each contact in each inbox.

use super::{not_deleted, one_each, statements};
use crate::{
    domain::Channel,
    id::{AccountId, ContactId, ConversationId, InboxId},
};
use db::{Each, Error, Row, Session, Value};

/// Selects conversations with their contacts, as [`read`] reads them.
macro_rules! conversation {
    ($($where:expr),+) => {
        concat!(
            "SELECT v.id, v.inbox_id, v.status, v.messages_count, v.created_at, v.updated_at,
                c.id, c.is_group, c.name, c.phone, c.username, c.blocked_at
            FROM conversations v JOIN contacts c ON c.account_id = v.account_id AND c.id = v.contact_id ",
            $($where),+
        )
    };
}

statements! {
    // Of two that come at once, the later waits here for the earlier, and gets its conversation.
    CLAIM = "INSERT INTO conversations (account_id, inbox_id, contact_id, id, status, created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'open', $5, $5)
        ON CONFLICT (account_id, inbox_id, contact_id) DO UPDATE SET contact_id = excluded.contact_id RETURNING id";
    COUNT = "UPDATE conversations SET messages_count = messages_count + $1, updated_at = $2
        WHERE account_id = $3 AND id = $4";
    FIND_BY_IDENTITY = concat!("SELECT v.id FROM contact_identities n JOIN conversations v
            ON v.account_id = n.account_id AND v.contact_id = n.contact_id
        WHERE n.account_id = $1 AND n.channel = $2 AND n.identity = $3 AND v.inbox_id = $4", not_deleted!("v.inbox_id"));
    FIND_WHOLE = conversation!("WHERE v.account_id = $1 AND v.id = $2", not_deleted!("v.inbox_id"));
    OF_ACCOUNT = conversation!("WHERE v.account_id = $1 AND v.id < $2 AND (CAST($3 AS TEXT) IS NULL OR v.status = $3)",
        not_deleted!("v.inbox_id"), "ORDER BY v.id DESC LIMIT $4");
    OF_INBOX = conversation!("WHERE v.account_id = $1 AND v.id < $2 AND (CAST($3 AS TEXT) IS NULL OR v.status = $3)
          AND v.inbox_id = $4 ORDER BY v.id DESC LIMIT $5");
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Insert(CLAIM), Each::Update(COUNT)];

/// What a conversation is between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose.
    pub account: AccountId,
    /// Which inbox.
    pub inbox: InboxId,
    /// Which contact.
    pub contact: ContactId,
}

impl Key {
    fn params(&self) -> Vec<Value<'_>> {
        vec![
            (&self.account).into(),
            (&self.inbox).into(),
            (&self.contact).into(),
        ]
    }
}

/// The conversation of whoever has this identity, in this inbox.
pub async fn find_by_identity(
    session: &mut Session,
    account: &AccountId,
    channel: Channel,
    identity: &str,
    inbox: &InboxId,
) -> Result<Option<ConversationId>, Error> {
    let params = [
        account.into(),
        channel.as_str().into(),
        identity.into(),
        inbox.into(),
    ];
    let id = session
        .query_opt(&FIND_BY_IDENTITY, &params, |row| row.get::<String>(0))
        .await?;
    Ok(id.map(ConversationId::from_text))
}

/// Opens conversations under these ids, where there is none: the answer is the one that there is now. Name each key
/// once, and keep them in one order everywhere, or two transactions can block each other for good.
pub async fn claim_each(
    session: &mut Session,
    keys: &[(Key, ConversationId)],
    now: i64,
) -> Result<Vec<ConversationId>, Error> {
    let runs: Vec<_> = keys
        .iter()
        .map(|(key, id)| {
            let mut params = key.params();
            params.extend([Value::from(id), now.into()]);
            params
        })
        .collect();
    let holders = session.insert_each(&CLAIM, &runs, |row| row.get::<String>(0));
    let holders = one_each(holders.await?, runs.len())?;
    Ok(holders.into_iter().map(ConversationId::from_text).collect())
}

/// Adds to the counts of conversations, each named once. Lock their inboxes first, or two transactions can block each
/// other for good.
pub async fn count(
    session: &mut Session,
    counts: impl Iterator<Item = (&AccountId, &ConversationId, i64)>,
    now: i64,
) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = counts
        .map(|(account, id, more)| vec![more.into(), now.into(), account.into(), id.into()])
        .collect();
    session.update_each(&COUNT, &runs).await
}

/// A conversation, with its contact.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id.
    pub id: ConversationId,
    /// The inbox that it is in.
    pub inbox: InboxId,
    /// `open` or `resolved`.
    pub status: String,
    /// How many messages it holds.
    pub messages_count: i64,
    /// When it began.
    pub created_at: i64,
    /// When its last message came.
    pub updated_at: i64,
    /// The contact.
    pub contact: Contact,
}

/// The other side of a conversation.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Whether it is a group chat.
    pub is_group: bool,
    /// Display name.
    pub name: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Since when it cannot be written to.
    pub blocked_at: Option<i64>,
}

/// One conversation.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Option<Stored>, Error> {
    session
        .query_opt(&FIND_WHOLE, &[account.into(), id.into()], read)
        .await
}

/// The newest conversations that began before `before`, newest first, of one inbox or of all.
pub async fn before(
    session: &mut Session,
    account: &AccountId,
    inbox: Option<&InboxId>,
    status: Option<&str>,
    before: &ConversationId,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let mut params: Vec<Value<'_>> = vec![account.into(), before.into(), status.into()];
    let statement = match inbox {
        Some(inbox) => {
            params.push(inbox.into());
            &OF_INBOX
        }
        None => &OF_ACCOUNT,
    };
    params.push(limit.into());
    session.query(statement, &params, read).await
}

fn read(row: &Row<'_>) -> Result<Stored, Error> {
    Ok(Stored {
        id: ConversationId::from_text(row.get::<String>(0)?),
        inbox: InboxId::from_text(row.get::<String>(1)?),
        status: row.get(2)?,
        messages_count: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        contact: Contact {
            id: ContactId::from_text(row.get::<String>(6)?),
            is_group: row.get::<i64>(7)? != 0,
            name: row.get(8)?,
            phone: row.get(9)?,
            username: row.get(10)?,
            blocked_at: row.get(11)?,
        },
    })
}
