//! The `contacts` table: people and groups. Their identities are in `identities`.
//!
//! Here is what updates say of them. What the business says is in `record`, and how they are listed in `list`.
//!
//! Invariant: an update without a value keeps the stored one, and a name that the business has set is replaced only by it.

mod list;
mod record;

pub use list::{MOST_READ, Place, Search, ids, places, words_of};
pub use record::{Record, add, find, find_each, find_to_change, save};

use super::{aliases::survivor, statements};
use crate::{
    domain::Channel,
    id::{AccountId, ContactId, EventId},
};
use db::{Each, Error, Row, Session, Sql, Value};

statements! {
    INSERT = "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, phone, username, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    // Of a contact that was merged, names of one channel only are taken: else they would change with each message.
    UPDATE = "UPDATE contacts SET
            name = CASE WHEN provider_name IS NULL AND (channel = $1 OR name IS NULL) THEN COALESCE($2, name) ELSE name END,
            provider_name = CASE WHEN provider_name IS NOT NULL AND channel = $1 THEN COALESCE($2, provider_name)
                ELSE provider_name END,
            phone = COALESCE($3, phone),
            username = CASE WHEN channel = $1 OR username IS NULL THEN COALESCE($4, username) ELSE username END
        WHERE account_id = $5 AND id = $6";
    TOUCH = "UPDATE contacts SET change_id = $1 WHERE account_id = $2 AND id = $3";
    FORGET_PHONE = "UPDATE contacts SET phone = NULL WHERE account_id = $1 AND id = $2 AND phone = $3";
    LIVING = concat!("SELECT id FROM contacts WHERE account_id = $1 AND id = ", survivor!("$2"));
    CHANGED = "SELECT change_id, id FROM contacts WHERE account_id = $1 AND change_id > $2 ORDER BY change_id LIMIT $3";
    DELETE = "DELETE FROM contacts WHERE account_id = $1 AND id = $2";
}

/// SQLite has one writer at a time: its write transaction is the lock.
const LOCK: Sql = Sql {
    sqlite: "SELECT id FROM contacts WHERE account_id = $1 AND id = $2",
    postgres: "SELECT id FROM contacts WHERE account_id = $1 AND id = $2 FOR NO KEY UPDATE",
};

/// What a row of `contacts` is known by, as it is shown: the engine's way of writing a JSON string stands around the texts.
macro_rules! identities {
    ($open:literal, $close:literal) => {
        concat!(
            "(SELECT COALESCE('[' || string_agg('{\"channel\":\"' || i.channel || '\",\"kind\":\"' || i.kind || '\",\"value\":' || ",
            $open,
            "i.value",
            $close,
            " || CASE WHEN i.scope = '' THEN '' ELSE ',\"scope\":' || ",
            $open,
            "i.scope",
            $close,
            " END || CASE WHEN i.former = 0 THEN '' ELSE ',\"former\":true' END || '}',
                ',' ORDER BY i.channel, i.kind, i.value, i.scope) || ']', '[]')
            FROM identities i WHERE i.account_id = contacts.account_id AND i.contact_id = contacts.id)"
        )
    };
}

/// A statement on both engines, with that between its texts.
macro_rules! of_identities {
    ($before:literal $(, $after:literal)+) => {
        db::Sql {
            sqlite: concat!($before, $(crate::store::contacts::identities!("json_quote(", ")"), $after),+),
            postgres: concat!($before, $(crate::store::contacts::identities!("CAST(to_json(", ") AS TEXT)"), $after),+),
        }
    };
}
pub(in crate::store) use {identities, of_identities};

const SHOW: Sql = of_identities!(
    "UPDATE contacts SET identities = ",
    " WHERE account_id = $1 AND id = $2"
);

/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[LOCK, SHOW];

/// Those of records and lists.
pub(super) const RECORDS: &[Sql] = record::ALL;
pub(super) const LISTS: &[Sql] = list::ALL;

/// The statements that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Insert(INSERT), Each::Find(LOCK), Each::Update(TOUCH)];
pub(super) const EACH_LISTED: &[Each] = list::EACH;
pub(super) const EACH_RECORD: &[Each] = record::EACH;

/// A stored contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: ContactId,
    /// The channel whose names are taken.
    pub channel: String,
    /// Display name, as the provider says it.
    pub name: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Whether its messages are told to nobody.
    pub muted: bool,
}

/// The details of a contact in an update.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The channel.
    pub channel: Channel,
    /// The contact's id.
    pub id: &'a ContactId,
    /// The details.
    pub contact: &'a channels::Contact,
    /// Whether the number in the update belongs to the contact now.
    pub with_phone: bool,
}

impl Said<'_> {
    fn phone(&self) -> Option<&str> {
        self.contact.phone.as_deref().filter(|_| self.with_phone)
    }

    /// Whether it differs from the stored contact.
    pub fn is_news(&self, stored: &Stored) -> bool {
        let differs =
            |new: Option<&str>, old: &Option<String>| new.is_some() && new != old.as_deref();
        let is_own = stored.channel == self.channel.as_str();
        let is_other_name = |new: Option<&str>, old: &Option<String>| {
            (is_own || old.is_none()) && differs(new, old)
        };
        differs(self.phone(), &stored.phone)
            || is_other_name(self.contact.name.as_deref(), &stored.name)
            || is_other_name(self.contact.username.as_deref(), &stored.username)
    }
}

/// Adds contacts.
pub async fn insert_each(
    session: &mut Session,
    contacts: &[Said<'_>],
    now: i64,
) -> Result<(), Error> {
    let runs: Vec<_> = contacts
        .iter()
        .map(|said| {
            vec![
                said.account.into(),
                said.id.into(),
                said.channel.as_str().into(),
                said.contact.provider_id().into(),
                i64::from(said.contact.group).into(),
                said.contact.name.as_deref().into(),
                said.phone().into(),
                said.contact.username.as_deref().into(),
                now.into(),
            ]
        })
        .collect();
    session.insert_each(&INSERT, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Locks contacts, each named once, in one order everywhere. Returns for each whether it is there.
pub async fn lock(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId)],
) -> Result<Vec<bool>, Error> {
    let keys = keys(contacts);
    let found = session.find_each(&LOCK, &keys, |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}

/// Has contacts show what they are known by. Lock those that are not new before, or the change of another transaction may
/// be left out.
pub async fn show_identities(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId)],
) -> Result<(), Error> {
    session
        .query_each(&SHOW, &keys(contacts), |_| Ok(()))
        .await?;
    Ok(())
}

fn keys<'a>(contacts: &[(&'a AccountId, &'a ContactId)]) -> Vec<Vec<Value<'a>>> {
    let keys = contacts.iter();
    keys.map(|(account, id)| vec![(*account).into(), (*id).into()])
        .collect()
}

/// Updates a contact. Values that the update does not have stay as they are.
pub async fn update(session: &mut Session, said: &Said<'_>) -> Result<(), Error> {
    let params = [
        said.channel.as_str().into(),
        said.contact.name.as_deref().into(),
        said.phone().into(),
        said.contact.username.as_deref().into(),
        said.account.into(),
        said.id.into(),
    ];
    session.execute(&UPDATE, &params).await?;
    Ok(())
}

/// Notes the events that tell of changes of contacts, each named once.
pub async fn touch(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId, &EventId)],
) -> Result<(), Error> {
    let runs: Vec<Vec<Value<'_>>> = contacts
        .iter()
        .map(|(account, id, change)| vec![(*change).into(), (*account).into(), (*id).into()])
        .collect();
    session.update_each(&TOUCH, &runs).await
}

/// Removes the phone number of a contact, if it is this one.
pub async fn forget_phone(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
    phone: &str,
) -> Result<(), Error> {
    let params = [account.into(), id.into(), phone.into()];
    session.execute(&FORGET_PHONE, &params).await?;
    Ok(())
}

/// The contact that is meant by an id, or by one that leads to it. `None` if there is none.
pub async fn living(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
) -> Result<Option<ContactId>, Error> {
    let params = [account.into(), id.into()];
    let living = session.query_opt(&LIVING, &params, |row| row.get::<String>(0));
    Ok(living.await?.map(ContactId::from_text))
}

/// The contacts that were changed after an event, with the event of their last change, oldest first.
pub async fn changed(
    session: &mut Session,
    account: &AccountId,
    after: &EventId,
    limit: i64,
) -> Result<Vec<(EventId, ContactId)>, Error> {
    let params = [account.into(), after.into(), limit.into()];
    session
        .query(&CHANGED, &params, |row| {
            Ok((
                EventId::from_text(row.text(0)?),
                ContactId::from_text(row.text(1)?),
            ))
        })
        .await
}

/// Removes a contact that has no conversation.
pub async fn delete(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
) -> Result<(), Error> {
    session
        .execute(&DELETE, &[account.into(), id.into()])
        .await?;
    Ok(())
}

/// Reads a contact from the six columns that begin with this one.
pub(super) fn read(row: &Row<'_>, from: usize) -> Result<Stored, Error> {
    Ok(Stored {
        id: ContactId::from_text(row.get::<String>(from)?),
        name: row.get(from + 1)?,
        phone: row.get(from + 2)?,
        username: row.get(from + 3)?,
        muted: row.get::<i64>(from + 4)? != 0,
        channel: row.get(from + 5)?,
    })
}
