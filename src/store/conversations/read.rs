//! Reading conversations, each with its contact and its last message.
//!
//! Invariant: a page is one statement, which finds each row along an index in the order in which it is listed.

use crate::{
    id::{AccountId, ConversationId, InboxId},
    store::{
        aliases::survivor,
        messages::{self, answered, listed},
        not_deleted, statements,
    },
};
use db::{Error, Row, Session, Value};
use std::borrow::Cow;

/// Selects conversations, as [`read`] reads them. They come first: each is found in the order of the list, and the rest by
/// what it says.
macro_rules! conversation {
    ($($where:expr),+) => {
        concat!(
            "SELECT v.id, v.inbox_id, v.status, v.messages_count, v.created_at, v.updated_at, v.last_message_at,
                c.id, c.is_group, c.name, c.phone, c.username, v.blocked_at,
                c.identities, v.last_inbound_at, c.channel, ",
            listed!(),
            " FROM conversations v CROSS JOIN contacts c
            LEFT JOIN messages m ON m.account_id = v.account_id AND m.id = v.last_message_id",
            answered!(),
            "WHERE c.account_id = v.account_id AND c.id = v.contact_id AND v.account_id = $1 ",
            $($where),+
        )
    };
}

statements! {
    FIND = conversation!("AND v.id = ", survivor!("$2"), not_deleted!("v.inbox_id"));
    OF_ACCOUNT = conversation!("AND v.id < $2 AND (CAST($3 AS TEXT) IS NULL OR v.status = $3)",
        not_deleted!("v.inbox_id"), "ORDER BY v.id DESC LIMIT $4");
    OF_INBOX = conversation!("AND v.inbox_id = $2 AND v.id < $3 AND (CAST($4 AS TEXT) IS NULL OR v.status = $4)",
        not_deleted!("v.inbox_id"), "ORDER BY v.id DESC LIMIT $5");
    LATEST_OF_ACCOUNT = conversation!("AND (v.last_message_at, v.id) < ($2, $3)
          AND (CAST($4 AS TEXT) IS NULL OR v.status = $4)",
        not_deleted!("v.inbox_id"), "ORDER BY v.last_message_at DESC, v.id DESC LIMIT $5");
    LATEST_OF_INBOX = conversation!("AND v.inbox_id = $2 AND (v.last_message_at, v.id) < ($3, $4)
          AND (CAST($5 AS TEXT) IS NULL OR v.status = $5)",
        not_deleted!("v.inbox_id"), "ORDER BY v.last_message_at DESC, v.id DESC LIMIT $6");
}

/// A conversation, with its contact and its last message.
#[derive(Debug, Clone)]
pub struct Stored<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// The inbox that it is in.
    pub inbox: Cow<'a, str>,
    /// `open` or `resolved`.
    pub status: Cow<'a, str>,
    /// How many messages it holds.
    pub messages_count: i64,
    /// When it began.
    pub created_at: i64,
    /// When its last message came.
    pub updated_at: i64,
    /// When its last message was written, by the provider's clock; 0 if there is none.
    pub last_message_at: i64,
    /// When the contact's last message was written, without those handed over from before; 0 if there is none.
    pub last_inbound_at: i64,
    /// The channel's name.
    pub channel: Cow<'a, str>,
    /// The contact.
    pub contact: Contact<'a>,
    /// The last message, by the provider's clock and then by id.
    pub last_message: Option<messages::Stored<'a>>,
}

/// The other side of a conversation.
#[derive(Debug, Clone)]
pub struct Contact<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// Whether it is a group chat.
    pub is_group: bool,
    /// Display name.
    pub name: Option<Cow<'a, str>>,
    /// Phone number.
    pub phone: Option<Cow<'a, str>>,
    /// User name.
    pub username: Option<Cow<'a, str>>,
    /// Since when this inbox cannot write to it.
    pub blocked_at: Option<i64>,
    /// What it is known by: a JSON list.
    pub identities: Cow<'a, str>,
}

impl Stored<'_> {
    /// The same, for longer than its row.
    pub fn into_owned(self) -> Stored<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let contact = self.contact;
        Stored {
            id: own(self.id),
            inbox: own(self.inbox),
            status: own(self.status),
            messages_count: self.messages_count,
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_message_at: self.last_message_at,
            last_inbound_at: self.last_inbound_at,
            channel: own(self.channel),
            contact: Contact {
                id: own(contact.id),
                is_group: contact.is_group,
                name: contact.name.map(own),
                phone: contact.phone.map(own),
                username: contact.username.map(own),
                blocked_at: contact.blocked_at,
                identities: own(contact.identities),
            },
            last_message: self.last_message.map(messages::Stored::into_owned),
        }
    }
}

/// One conversation, by its id or one that leads to it.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Option<Stored<'static>>, Error> {
    let params = [account.into(), id.into()];
    session
        .query_opt(&FIND, &params, |row| Ok(read(row)?.into_owned()))
        .await
}

/// In which order conversations are listed, and behind which one a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The newest first, by when they began.
    Created(ConversationId),
    /// The newest first, by when their last message was written.
    Latest(i64, ConversationId),
}

/// Reads the conversations behind a cursor, of one inbox or of all.
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    inbox: Option<&InboxId>,
    status: Option<&str>,
    cursor: &Cursor,
    limit: i64,
    mut each: impl FnMut(Stored<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let statement = match (cursor, inbox) {
        (Cursor::Created(_), None) => &OF_ACCOUNT,
        (Cursor::Created(_), Some(_)) => &OF_INBOX,
        (Cursor::Latest(..), None) => &LATEST_OF_ACCOUNT,
        (Cursor::Latest(..), Some(_)) => &LATEST_OF_INBOX,
    };
    let mut params: Vec<Value<'_>> = vec![account.into()];
    params.extend(inbox.map(Value::from));
    match cursor {
        Cursor::Created(id) => params.push(id.into()),
        Cursor::Latest(at, id) => params.extend([Value::from(*at), id.into()]),
    }
    params.extend([Value::from(status), limit.into()]);
    session
        .query(statement, &params, |row| each(read(row)?))
        .await?;
    Ok(())
}

fn read<'a>(row: &'a Row<'_>) -> Result<Stored<'a>, Error> {
    let text = |column: usize| Ok::<_, Error>(Cow::Borrowed(row.text(column)?));
    let text_or_null = |column: usize| {
        let text = row.text_or_null(column)?;
        Ok::<_, Error>(text.map(Cow::Borrowed))
    };
    Ok(Stored {
        id: text(0)?,
        inbox: text(1)?,
        status: text(2)?,
        messages_count: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        last_message_at: row.get(6)?,
        contact: Contact {
            id: text(7)?,
            is_group: row.get::<i64>(8)? != 0,
            name: text_or_null(9)?,
            phone: text_or_null(10)?,
            username: text_or_null(11)?,
            blocked_at: row.get(12)?,
            identities: text(13)?,
        },
        last_inbound_at: row.get(14)?,
        channel: text(15)?,
        last_message: match row.text_or_null(16)? {
            Some(_) => Some(messages::read(row, 16)?),
            None => None,
        },
    })
}
