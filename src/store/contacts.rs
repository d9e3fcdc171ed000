//! The `contacts` table, and `contact_identities`, which finds a contact by any id that its provider uses for it.

use super::{one_each, statements};
use crate::{
    domain::Channel,
    id::{AccountId, ContactId},
};
use db::{Each, Error, Session, Value};

statements! {
    FIND_BY_ALIAS = "SELECT c.id, c.name, c.phone, c.username
        FROM contact_identities i JOIN contacts c ON c.account_id = i.account_id AND c.id = i.contact_id
        WHERE i.account_id = $1 AND i.channel = $2 AND i.identity = $3 AND c.provider_id = i.identity";
    // Of two that come at once, the later waits here for the earlier, and gets its contact.
    CLAIM = "INSERT INTO contact_identities (account_id, channel, identity, contact_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id, channel, identity) DO UPDATE SET identity = excluded.identity RETURNING contact_id";
    POINT = "INSERT INTO contact_identities (account_id, channel, identity, contact_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id, channel, identity) DO UPDATE SET contact_id = excluded.contact_id";
    INSERT = "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, phone, username, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    UPDATE = "UPDATE contacts SET name = COALESCE($1, name), phone = COALESCE($2, phone), username = COALESCE($3, username)
        WHERE account_id = $4 AND id = $5";
    RENAME = "UPDATE contacts SET provider_id = $1 WHERE account_id = $2 AND id = $3";
    BLOCK = "UPDATE contacts SET blocked_at = $1 WHERE account_id = $2 AND id IN (
        SELECT contact_id FROM contact_identities WHERE account_id = $2 AND channel = $3 AND identity = $4)";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Insert(CLAIM), Each::Insert(INSERT)];

/// Who a contact is, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'a> {
    /// Whose contact.
    pub account: &'a AccountId,
    /// Through which channel.
    pub channel: Channel,
    /// What the provider says about it.
    pub contact: &'a channels::Contact,
}

impl<'a> Key<'a> {
    fn params(&self, identity: &'a str) -> Vec<Value<'a>> {
        vec![
            self.account.into(),
            self.channel.as_str().into(),
            identity.into(),
        ]
    }
}

/// What is stored of a contact.
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

/// The contact that is so far known by nothing but this alias.
pub async fn find_by_alias(
    session: &mut Session,
    key: &Key<'_>,
    alias: &str,
) -> Result<Option<Stored>, Error> {
    session
        .query_opt(&FIND_BY_ALIAS, &key.params(alias), read)
        .await
}

/// Takes each key's `provider_id` for the contact in `ids`, unless a contact has it: the answer is whoever has it now.
/// Name each once.
/// Keep keys in one order everywhere, or two transactions can block each other for good.
pub async fn claim_each(
    session: &mut Session,
    keys: &[&Key<'_>],
    ids: &[ContactId],
) -> Result<Vec<ContactId>, Error> {
    let runs: Vec<_> = keys
        .iter()
        .zip(ids)
        .map(|(key, id)| {
            let mut params = key.params(&key.contact.provider_id);
            params.push(id.into());
            params
        })
        .collect();
    let holders = session.insert_each(&CLAIM, &runs, |row| row.get::<String>(0));
    let holders = one_each(holders.await?, runs.len())?;
    Ok(holders.into_iter().map(ContactId::from_text).collect())
}

/// Makes an identity lead to this contact from now on.
pub async fn point(
    session: &mut Session,
    key: &Key<'_>,
    identity: &str,
    id: &ContactId,
) -> Result<(), Error> {
    let mut params = key.params(identity);
    params.push(id.into());
    session.execute(&POINT, &params).await?;
    Ok(())
}

/// Adds contacts under these ids.
pub async fn insert_each(
    session: &mut Session,
    contacts: &[(&Key<'_>, &ContactId)],
    now: i64,
) -> Result<(), Error> {
    let runs: Vec<_> = contacts
        .iter()
        .map(|(key, id)| {
            let contact = key.contact;
            vec![
                key.account.into(),
                (*id).into(),
                key.channel.as_str().into(),
                contact.provider_id.as_ref().into(),
                i64::from(contact.group).into(),
                contact.name.as_deref().into(),
                contact.phone.as_deref().into(),
                contact.username.as_deref().into(),
                now.into(),
            ]
        })
        .collect();
    session.insert_each(&INSERT, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Takes over what the provider now says of a contact. What it does not say stays.
pub async fn update(session: &mut Session, key: &Key<'_>, id: &ContactId) -> Result<(), Error> {
    let contact = key.contact;
    let params = [
        contact.name.as_deref().into(),
        contact.phone.as_deref().into(),
        contact.username.as_deref().into(),
        key.account.into(),
        id.into(),
    ];
    session.execute(&UPDATE, &params).await?;
    Ok(())
}

/// Gives a contact the more durable id that its provider now uses.
pub async fn rename(session: &mut Session, key: &Key<'_>, id: &ContactId) -> Result<(), Error> {
    let params = [
        key.contact.provider_id.as_ref().into(),
        key.account.into(),
        id.into(),
    ];
    session.execute(&RENAME, &params).await?;
    Ok(())
}

/// Notes since when a contact cannot be written to, or (`None`) that it can. False if there is no such contact.
pub async fn block(
    session: &mut Session,
    key: &Key<'_>,
    since: Option<i64>,
) -> Result<bool, Error> {
    let params = [
        since.into(),
        key.account.into(),
        key.channel.as_str().into(),
        key.contact.provider_id.as_ref().into(),
    ];
    Ok(session.execute(&BLOCK, &params).await? > 0)
}

fn read(row: &db::Row<'_>) -> Result<Stored, Error> {
    Ok(Stored {
        id: ContactId::from_text(row.get::<String>(0)?),
        name: row.get(1)?,
        phone: row.get(2)?,
        username: row.get(3)?,
    })
}
