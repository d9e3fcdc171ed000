//! Adding a contact, or changing the one that is there.
//!
//! Invariant: however many say it at once, an external id or a number has one contact.

use super::{
    get,
    input::{ContactChange, NewContact},
    record, words,
};
use crate::{
    domain::{Channel, contact::ContactDetails},
    error::{Error, Reason},
    id::{AccountId, ContactId, EventId},
    input::Given,
    ops::{
        Context,
        changes::{Changes, commit},
        events::Event,
        ingest::contention,
        transaction::again,
    },
    store::{
        contacts::{self, Record},
        external_ids,
        identities::{self, Key, State},
    },
};
use channels::{Identity, IdentityKind};
use db::Session;
use serde_json::{Map, Value};

/// How often it is tried again because others have added the same contact meanwhile.
const ATTEMPTS: usize = 10;

/// Adds or changes a contact, by the body of `POST /contacts`. Returns the contact, and whether it is new.
///
/// # Errors
/// [`Error::Validation`] with all that is wrong with the body; [`Error::Conflict`] if its ids are of different contacts.
pub async fn upsert(
    context: &Context,
    account: &AccountId,
    body: Map<String, Value>,
) -> Result<(ContactDetails, bool), Error> {
    let new = NewContact::parse(body)?;
    let (id, is_new) = again(|| async {
        for _ in 0..ATTEMPTS {
            if let Some(done) = attempt(context, account, &new).await? {
                return Ok(done);
            }
        }
        Err(contention())
    })
    .await?;
    Ok((get(context, account, &id).await?, is_new))
}

/// One transaction. `None` if somebody else was faster: then nothing is stored.
async fn attempt(
    context: &Context,
    account: &AccountId,
    new: &NewContact,
) -> Result<Option<(ContactId, bool)>, Error> {
    let external_id = new.external_id.as_ref().map(|id| id.0.as_str());
    let number = new.phone.as_ref().map(|phone| Key {
        account,
        channel: Channel::Whatsapp,
        identity: Identity::new(IdentityKind::Phone, phone.0.trim_start_matches('+')),
    });
    let digits = number.as_ref().map(|number| &*number.identity.value);
    let mut session = context.db.write().await?;
    let (by_id, by_number) =
        external_ids::holders(&mut session, account, external_id, digits).await?;
    let there = match (&by_id, &by_number) {
        (Some(one), Some(other)) if one != other => return Err(different(one, other)),
        (one, other) => one.as_ref().or(other.as_ref()),
    };
    let before = match there {
        None => None,
        Some(id) => match lock(&mut session, account, id).await? {
            // It was joined with another one meanwhile.
            None => return Ok(None),
            before => before,
        },
    };
    let is_new = before.is_none();
    let mut contact = match &before {
        Some(before) => before.clone(),
        None => empty(context),
    };
    record::apply(&mut contact, change(new))?;
    if let (Some(own), Some(id), None) = (&contact.external_id, external_id, &by_id) {
        if own == id {
            // It was given this id meanwhile.
            return Ok(None);
        }
        return Err(Error::Conflict(
            Reason::DifferentContacts,
            format!(
                "Contact {} has this phone, and the external_id {own}, not {id}",
                contact.id
            ),
        ));
    }
    if let Some(id) = external_id {
        contact.external_id.get_or_insert_with(|| id.to_owned());
        if by_id.is_none() && !external_ids::claim(&mut session, account, id, &contact.id).await? {
            return Ok(None);
        }
    }
    if let (Some(phone), Some(key), None) = (&new.phone, &number, &by_number) {
        add_number(&mut contact, &phone.0)?;
        let claims = [(key, &contact.id, State::default())];
        if identities::claim_each(&mut session, &claims).await? != [contact.id.clone()] {
            return Ok(None);
        }
    }
    if before.as_ref() == Some(&contact) && by_number.is_some() == number.is_some() {
        return Ok(Some((contact.id, false)));
    }
    let event = EventId::new(&context.clock);
    match is_new {
        true => contacts::add(&mut session, account, &contact, &event).await?,
        false => contacts::save(&mut session, account, &contact, &event).await?,
    }
    let own = [(account, &contact.id)];
    contacts::show_identities(&mut session, &own).await?;
    words::index(&mut session, &own).await?;
    let told = vec![Event::of_contact(&event, account, &contact.id)];
    commit(context, session, Changes::of(told)).await?;
    Ok(Some((contact.id, is_new)))
}

/// Locks a contact and reads it. `None` if it is gone.
async fn lock(
    session: &mut Session,
    account: &AccountId,
    id: &ContactId,
) -> Result<Option<Record>, Error> {
    contacts::lock(session, &[(account, id)]).await?;
    Ok(contacts::find_to_change(session, account, id).await?)
}

fn empty(context: &Context) -> Record {
    Record {
        id: ContactId::new(&context.clock),
        channel: String::new(),
        is_group: false,
        name: None,
        provider_name: None,
        phone: None,
        username: None,
        email: None,
        external_id: None,
        note: None,
        attributes: "{}".to_owned(),
        muted: false,
        saved: true,
        identities: "[]".to_owned(),
        created_at: context.clock.now(),
    }
}

/// What is to be changed, without what leads to the contact.
fn change(new: &NewContact) -> ContactChange {
    ContactChange {
        name: new.name.clone(),
        email: new.email.clone(),
        note: new.note.clone(),
        attributes: new.attributes.clone(),
        muted: new.muted,
        external_id: Given::Absent,
    }
}

/// Gives a contact a number by which nobody is known yet. Which of two an answer should go to would not be known.
fn add_number(contact: &mut Record, phone: &str) -> Result<(), Error> {
    if let Some(own) = &contact.phone
        && own != phone
    {
        return Err(Error::Conflict(
            Reason::OtherPhone,
            format!("Contact {} has the phone {own}", contact.id),
        ));
    }
    contact.phone = Some(phone.to_owned());
    if contact.channel.is_empty() {
        contact.channel = Channel::Whatsapp.as_str().to_owned();
    }
    Ok(())
}

fn different(by_id: &ContactId, by_number: &ContactId) -> Error {
    Error::Conflict(
        Reason::DifferentContacts,
        format!(
            "external_id is of contact {by_id}, and phone is of {by_number}: merge them, or give one of the two"
        ),
    )
}
