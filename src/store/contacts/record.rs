//! A contact with all that is kept of it, and writing what the business says of it.
//!
//! Invariant: a contact that is only in inboxes that are being removed is shown to nobody, unless the business has saved it.

use crate::{
    id::{AccountId, ContactId, EventId},
    store::{aliases::survivor, not_deleted, statements},
};
use db::{Each, Error, Row, Session};

/// The columns of a record, as [`read`] reads them.
macro_rules! record {
    () => {
        "SELECT c.id AS id, c.channel AS channel, c.is_group AS is_group, c.name AS name, c.provider_name AS provider_name,
            c.phone AS phone, c.username AS username, c.email AS email, c.external_id AS external_id, c.note AS note,
            c.attributes AS attributes, c.muted AS muted, c.saved AS saved, c.identities AS identities,
            c.created_at AS created_at
        FROM contacts c WHERE c.account_id = $1 AND "
    };
}

/// Whether a contact is shown.
macro_rules! shown {
    () => {
        concat!(
            " AND (c.saved = 1 OR EXISTS (SELECT 1 FROM conversations v WHERE v.account_id = $1 AND v.contact_id = c.id",
            not_deleted!("v.inbox_id"),
            "))"
        )
    };
}

statements! {
    FIND = concat!(record!(), "c.id = ", survivor!("$2"), shown!());
    FIND_EACH = concat!(record!(), "c.id = $2", shown!());
    FIND_TO_CHANGE = concat!(record!(), "c.id = $2");
    ADD = "INSERT INTO contacts (account_id, id, channel, is_group, name, provider_name, phone, username, email, external_id,
            note, attributes, muted, saved, created_at, change_id, provider_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, '')";
    SAVE = "UPDATE contacts SET channel = $1, is_group = $2, name = $3, provider_name = $4, phone = $5, username = $6, email = $7,
            external_id = $8, note = $9, attributes = $10, muted = $11, saved = $12, change_id = $13
        WHERE account_id = $14 AND id = $15";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(FIND_EACH)];

/// All that is kept of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: ContactId,
    /// The channel on which it was met first. Empty if the business has added it, without a phone number.
    pub channel: String,
    /// Whether it is a group chat.
    pub is_group: bool,
    /// Display name.
    pub name: Option<String>,
    /// If `name` is what the business calls it: what the provider calls it, empty if that is not known.
    pub provider_name: Option<String>,
    /// Phone number, E.164 with `+`.
    pub phone: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// The business's own id for it.
    pub external_id: Option<String>,
    /// What the business has noted.
    pub note: Option<String>,
    /// What else the business says of it: a JSON object.
    pub attributes: String,
    /// Whether its messages are told to nobody.
    pub muted: bool,
    /// Whether the business has added or changed it.
    pub saved: bool,
    /// What it is known by: a JSON list.
    pub identities: String,
    /// When it was met or added, in seconds since 1970.
    pub created_at: i64,
}

/// A contact, by its id or one that leads to it.
pub async fn find(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
) -> Result<Option<Record>, Error> {
    let params = [account.into(), id.into()];
    session.query_opt(&FIND, &params, read).await
}

/// Those of these contacts that are shown, in this order.
pub async fn find_each(
    session: &mut Session,
    account: &AccountId,
    ids: &[ContactId],
) -> Result<Vec<Record>, Error> {
    let runs: Vec<_> = ids
        .iter()
        .map(|id| vec![account.into(), id.into()])
        .collect();
    let found = session.find_each(&FIND_EACH, &runs, read).await?;
    Ok(found.into_iter().flatten().collect())
}

/// A contact, shown or not, by its own id only. Lock it before, to change what is found.
pub async fn find_to_change(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
) -> Result<Option<Record>, Error> {
    let params = [account.into(), id.into()];
    session.query_opt(&FIND_TO_CHANGE, &params, read).await
}

/// Adds a contact, with the event that tells of it.
pub async fn add(
    session: &mut Session,
    account: &AccountId,
    record: &Record,
    change: &EventId,
) -> Result<(), Error> {
    let params = [
        account.into(),
        (&record.id).into(),
        record.channel.as_str().into(),
        i64::from(record.is_group).into(),
        record.name.as_deref().into(),
        record.provider_name.as_deref().into(),
        record.phone.as_deref().into(),
        record.username.as_deref().into(),
        record.email.as_deref().into(),
        record.external_id.as_deref().into(),
        record.note.as_deref().into(),
        record.attributes.as_str().into(),
        i64::from(record.muted).into(),
        i64::from(record.saved).into(),
        record.created_at.into(),
        change.into(),
    ];
    session.execute(&ADD, &params).await?;
    Ok(())
}

/// Writes a contact, with the event that tells of it. Its identities are shown by
/// [`show_identities`](super::show_identities).
pub async fn save(
    session: &mut Session,
    account: &AccountId,
    record: &Record,
    change: &EventId,
) -> Result<(), Error> {
    let params = [
        record.channel.as_str().into(),
        i64::from(record.is_group).into(),
        record.name.as_deref().into(),
        record.provider_name.as_deref().into(),
        record.phone.as_deref().into(),
        record.username.as_deref().into(),
        record.email.as_deref().into(),
        record.external_id.as_deref().into(),
        record.note.as_deref().into(),
        record.attributes.as_str().into(),
        i64::from(record.muted).into(),
        i64::from(record.saved).into(),
        change.into(),
        account.into(),
        (&record.id).into(),
    ];
    session.execute(&SAVE, &params).await?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Record, Error> {
    Ok(Record {
        id: ContactId::from_text(row.text(0)?),
        channel: row.get(1)?,
        is_group: row.get::<i64>(2)? != 0,
        name: row.get(3)?,
        provider_name: row.get(4)?,
        phone: row.get(5)?,
        username: row.get(6)?,
        email: row.get(7)?,
        external_id: row.get(8)?,
        note: row.get(9)?,
        attributes: row.get(10)?,
        muted: row.get::<i64>(11)? != 0,
        saved: row.get::<i64>(12)? != 0,
        identities: row.get(13)?,
        created_at: row.get(14)?,
    })
}
