//! Reading a conversation with its contact and its last message.
//!
//! Invariant: whatever is read of it comes from one statement.

use crate::{
    id::{AccountId, ConversationId},
    store::{aliases::survivor, messages, not_deleted, statements},
};
use db::{Error, Row, Session};
use std::borrow::Cow;

/// Selects conversations, as [`read`] reads them. They come first: each is found in the order of the list, and the rest by
/// what it says.
macro_rules! conversation {
    ($($where:expr),+) => {
        conversation!(from "conversations AS v", "AND v.account_id = $1 ", $($where),+)
    };
    (from $from:expr, $($where:expr),+) => {
        concat!(
            "SELECT v.id, v.inbox_id, v.status, v.messages_count, v.created_at, v.updated_at, v.last_message_at,
                c.id, c.is_group, c.name, c.phone, c.username, v.blocked_at,
                c.identities, v.last_inbound_at,
                (SELECT i.type FROM inboxes i WHERE i.account_id = v.account_id AND i.id = v.inbox_id),
                v.waiting_since, v.unread_count, ",
            $crate::store::messages::listed!(),
            " FROM ", $from, " CROSS JOIN contacts c
            LEFT JOIN messages m ON m.account_id = v.account_id AND m.id = v.last_message_id",
            $crate::store::messages::answered!(),
            "WHERE c.account_id = v.account_id AND c.id = v.contact_id ",
            $($where),+
        )
    };
}
pub(super) use conversation;

statements! {
    FIND = conversation!("AND v.id = ", survivor!("$2"), not_deleted!("v.inbox_id"));
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
    /// When its last message came, or its status or what is read of it was changed.
    pub updated_at: i64,
    /// When its last message was written, by the provider's clock; 0 if there is none.
    pub last_message_at: i64,
    /// When the contact's last message was written, without those handed over from before; 0 if there is none.
    pub last_inbound_at: i64,
    /// Since when the contact waits for an answer, by the provider's clock.
    pub waiting_since: Option<i64>,
    /// How many messages of the contact the team has not read; 1,000 if it is more.
    pub unread_count: i64,
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
            waiting_since: self.waiting_since,
            unread_count: self.unread_count,
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

/// Reads a row of [`conversation`].
pub(super) fn read<'a>(row: &'a Row<'_>) -> Result<Stored<'a>, Error> {
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
        waiting_since: row.get(16)?,
        unread_count: row.get(17)?,
        last_message: match row.text_or_null(18)? {
            Some(_) => Some(messages::read(row, 18)?),
            None => None,
        },
    })
}
