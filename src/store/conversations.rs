//! The `conversations` table: one for each contact in each inbox. How one is read is in `read`, how they are listed in `list`,
//! what a message changes of it in `growth`, and what it asks of the team in `attention`.
//!
//! Invariant: a contact has one conversation in an inbox.

mod attention;
mod growth;
mod list;
mod read;

pub use attention::{Change, Marks, marks, read_up_to, refresh, reopen, resolve, set_marks};
pub use growth::{Growth, Origin, grow};
pub use list::{Cursor, Filter, end_of_page, list};
pub use read::{Contact, Stored, find};

use super::{aliases::survivor, not_deleted, one_each, statements};
use crate::{
    domain::Channel,
    id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId},
};
use channels::Identity;
use db::{Each, Error, Session, Sql, Value};

statements! {
    // Of two that come at once, the later waits here for the earlier, and gets its conversation.
    CLAIM = "INSERT INTO conversations (account_id, inbox_id, contact_id, id, status, created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'open', $5, $5)
        ON CONFLICT (account_id, inbox_id, contact_id) DO UPDATE SET contact_id = excluded.contact_id RETURNING id";
    TARGET = concat!("SELECT v.inbox_id, v.last_message_id, v.last_inbound_id, v.last_inbound_at, i.type, i.status, i.settings, i.created_at, v.id
        FROM conversations v JOIN inboxes i ON i.account_id = v.account_id AND i.id = v.inbox_id
        WHERE v.account_id = $1 AND v.id = ", survivor!("$2"), " AND i.deleted_at IS NULL");
    FIND_BY_IDENTITY = concat!("SELECT v.id FROM identities n JOIN conversations v
            ON v.account_id = n.account_id AND v.contact_id = n.contact_id
        WHERE n.account_id = $1 AND n.channel = $2 AND n.kind = $3 AND n.value = $4 AND n.scope = $5 AND v.inbox_id = $5",
        not_deleted!("v.inbox_id"));
    NEWEST_OF = concat!("SELECT id, inbox_id, status, messages_count, updated_at FROM conversations
        WHERE account_id = $1 AND contact_id = $2", not_deleted!("inbox_id"), "ORDER BY id DESC LIMIT $3");
    // Of two changes the later one holds, whichever comes first.
    BLOCK = "UPDATE conversations SET blocked_at = $1, block_changed_at = $2, block_number = $3
        WHERE account_id = $4 AND inbox_id = $5 AND contact_id = $6 AND (block_changed_at, block_number) < ($2, $3)";
    CHANGED = concat!("SELECT change_id, id, inbox_id FROM conversations WHERE account_id = $1 AND change_id > $2",
        not_deleted!("inbox_id"), "ORDER BY change_id LIMIT $3");
}

/// Those of the files beside this one.
pub(super) const READING: &[Sql] = read::ALL;
pub(super) const LISTING: &[Sql] = list::ALL;
pub(super) const GROWING: &[Sql] = growth::ALL;
pub(super) const ATTENTION: &[Sql] = attention::ALL;

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Insert(CLAIM)];
pub(super) const EACH_GROWING: &[Each] = growth::EACH;
pub(super) const EACH_ATTENTION: &[Each] = attention::EACH;

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

/// The conversation of a visitor of a live chat.
pub async fn find_of_visitor(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    identity: &Identity,
) -> Result<Option<ConversationId>, Error> {
    let params = [
        account.into(),
        Channel::Livechat.as_str().into(),
        identity.kind.as_str().into(),
        (&*identity.value).into(),
        inbox.into(),
    ];
    let id = session
        .query_opt(&FIND_BY_IDENTITY, &params, |row| row.get::<String>(0))
        .await?;
    Ok(id.map(ConversationId::from_text))
}

/// A conversation, in short.
#[derive(Debug)]
pub struct Short {
    /// Its id.
    pub id: ConversationId,
    /// Its inbox.
    pub inbox: InboxId,
    /// `open` or `resolved`.
    pub status: String,
    /// How many messages it holds.
    pub messages_count: i64,
    /// When its last message came.
    pub updated_at: i64,
}

/// The newest conversations of a contact, the newest first.
pub async fn newest_of(
    session: &mut Session,
    account: &AccountId,
    contact: &ContactId,
    limit: i64,
) -> Result<Vec<Short>, Error> {
    let params = [account.into(), contact.into(), limit.into()];
    session
        .query(&NEWEST_OF, &params, |row| {
            Ok(Short {
                id: ConversationId::from_text(row.text(0)?),
                inbox: InboxId::from_text(row.text(1)?),
                status: row.get(2)?,
                messages_count: row.get(3)?,
                updated_at: row.get(4)?,
            })
        })
        .await
}

/// A contact's word on whether an inbox may write to it.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Whether it may not.
    pub blocked: bool,
    /// When that was said: seconds since 1970.
    pub at: i64,
    /// The provider's number of it, which orders what was said in the same second.
    pub number: i64,
}

/// Notes it. False if there is no such conversation, or a later word is known.
pub async fn block(session: &mut Session, key: &Key, block: Block) -> Result<bool, Error> {
    let since = block.blocked.then_some(block.at);
    let mut params = vec![since.into(), block.at.into(), block.number.into()];
    params.extend(key.params());
    Ok(session.execute(&BLOCK, &params).await? > 0)
}

/// The conversations that were changed after an event, other than by their messages, each with the event, in order.
pub async fn changed(
    session: &mut Session,
    account: &AccountId,
    after: &EventId,
    limit: i64,
) -> Result<Vec<(EventId, ConversationId, InboxId)>, Error> {
    let params = [account.into(), after.into(), limit.into()];
    session
        .query(&CHANGED, &params, |row| {
            Ok((
                EventId::from_text(row.text(0)?),
                ConversationId::from_text(row.text(1)?),
                InboxId::from_text(row.text(2)?),
            ))
        })
        .await
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

/// What has to be known of a conversation to send something to it.
#[derive(Debug)]
pub struct Target {
    /// Its id. What was joined has the id of what it was joined with.
    pub id: ConversationId,
    /// Its inbox.
    pub inbox: InboxId,
    /// Its last message; empty if there is none.
    pub last_message: MessageId,
    /// The contact's last message, without those handed over from before.
    pub last_inbound: Option<MessageId>,
    /// When that was written, by the provider's clock.
    pub last_inbound_at: i64,
    /// The inbox's type.
    pub channel: Channel,
    /// The inbox's status.
    pub inbox_status: String,
    /// What is set about the inbox: a JSON object.
    pub settings: String,
    /// When the inbox was created.
    pub inbox_created_at: i64,
}

/// The conversation, as what something can be sent to.
pub async fn find_target(
    session: &mut Session,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Option<Target>, Error> {
    session
        .query_opt(&TARGET, &[account.into(), id.into()], |row| {
            let channel = row.text(4)?.parse();
            let last_inbound = row.text(2)?;
            Ok(Target {
                id: ConversationId::from_text(row.text(8)?),
                inbox: InboxId::from_text(row.text(0)?),
                last_message: MessageId::from_text(row.text(1)?),
                last_inbound: (!last_inbound.is_empty())
                    .then(|| MessageId::from_text(last_inbound)),
                last_inbound_at: row.get(3)?,
                channel: channel.map_err(|what: &str| Error::Broken(what.to_owned()))?,
                inbox_status: row.get(5)?,
                settings: row.get(6)?,
                inbox_created_at: row.get(7)?,
            })
        })
        .await
}
