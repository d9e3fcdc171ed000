//! The `contacts` table: people and groups. Their identities are in `identities`.
//!
//! Invariant: an update without a value keeps the stored one.

use super::statements;
use crate::{
    domain::Channel,
    id::{AccountId, ContactId},
};
use db::{Each, Error, Row, Session, Sql, Value};

statements! {
    INSERT = "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, phone, username, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    UPDATE = "UPDATE contacts SET name = COALESCE($1, name), phone = COALESCE($2, phone), username = COALESCE($3, username)
        WHERE account_id = $4 AND id = $5";
    FORGET_PHONE = "UPDATE contacts SET phone = NULL WHERE account_id = $1 AND id = $2 AND phone = $3";
    CHANNEL = "SELECT channel FROM contacts WHERE account_id = $1 AND id = $2";
    // Takes only values that the contact does not have.
    COMPLETE = "UPDATE contacts AS c SET name = COALESCE(c.name, o.name), phone = COALESCE(c.phone, o.phone),
            username = COALESCE(c.username, o.username)
        FROM contacts AS o WHERE c.account_id = $1 AND c.id = $2 AND o.account_id = $1 AND o.id = $3";
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

/// The statements that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Insert(INSERT), Each::Find(LOCK)];

/// A stored contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: ContactId,
    /// Display name.
    pub name: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// User name.
    pub username: Option<String>,
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
        differs(self.contact.name.as_deref(), &stored.name)
            || differs(self.phone(), &stored.phone)
            || differs(self.contact.username.as_deref(), &stored.username)
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

/// Locks contacts, each named once, in one order everywhere.
pub async fn lock(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId)],
) -> Result<(), Error> {
    session
        .find_each(&LOCK, &keys(contacts), |_| Ok(()))
        .await?;
    Ok(())
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
        said.contact.name.as_deref().into(),
        said.phone().into(),
        said.contact.username.as_deref().into(),
        said.account.into(),
        said.id.into(),
    ];
    session.execute(&UPDATE, &params).await?;
    Ok(())
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

/// The channel of a contact, if the contact exists.
pub async fn find_channel(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
) -> Result<Option<Channel>, Error> {
    let params = [account.into(), id.into()];
    session
        .query_opt(&CHANNEL, &params, |row| {
            let known = row.text(0)?.parse();
            known.map_err(|what: &str| Error::Broken(what.to_owned()))
        })
        .await
}

/// Adds to a contact the values that only another one has.
pub async fn complete(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
    from: &ContactId,
) -> Result<(), Error> {
    let params = [account.into(), id.into(), from.into()];
    session.execute(&COMPLETE, &params).await?;
    Ok(())
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

/// Reads a contact from the four columns that begin with this one.
pub(super) fn read(row: &Row<'_>, from: usize) -> Result<Stored, Error> {
    Ok(Stored {
        id: ContactId::from_text(row.get::<String>(from)?),
        name: row.get(from + 1)?,
        phone: row.get(from + 2)?,
        username: row.get(from + 3)?,
    })
}
