//! Changing a contact.
//!
//! Invariant: an external id is never taken from another contact.

use super::{get, input::ContactChange, record, words};
use crate::{
    domain::contact::ContactDetails,
    error::{Error, Reason},
    id::{AccountId, ContactId, EventId},
    input::Given,
    ops::{
        Context,
        changes::{Changes, commit},
        events::Event,
        found,
        transaction::again,
    },
    store::{contacts, external_ids},
};
use serde_json::{Map, Value};

/// Changes a contact, by the body of `PATCH /contacts/{id}`.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Validation`] with all that is wrong with the body; [`Error::Conflict`] if the external id is of
/// another contact.
pub async fn update(
    context: &Context,
    account: &AccountId,
    id: &ContactId,
    body: Map<String, Value>,
) -> Result<ContactDetails, Error> {
    let there = contacts::find(&mut context.db.read().await?, account, id).await?;
    found(there, "contact")?;
    let change = ContactChange::parse(body)?;
    let id = again(|| change_one(context, account, id, &change)).await?;
    get(context, account, &id).await
}

async fn change_one(
    context: &Context,
    account: &AccountId,
    id: &ContactId,
    change: &ContactChange,
) -> Result<ContactId, Error> {
    let mut session = context.db.write().await?;
    let before = loop {
        let living = contacts::living(&mut session, account, id).await?;
        let living = found(living, "contact")?;
        contacts::lock(&mut session, &[(account, &living)]).await?;
        // If it is gone, it was joined with another one meanwhile.
        if let Some(before) = contacts::find_to_change(&mut session, account, &living).await? {
            break before;
        }
    };
    let id = before.id.clone();
    let own = [(account, &id)];
    let mut contact = before.clone();
    record::apply(&mut contact, change.clone())?;
    if contact == before {
        return Ok(id);
    }
    if !matches!(change.external_id, Given::Absent) {
        external_ids::delete_all(&mut session, account, &id).await?;
    }
    if let Given::Value(external_id) = &change.external_id
        && !external_ids::claim(&mut session, account, &external_id.0, &id).await?
    {
        return Err(Error::Conflict(
            Reason::ExternalIdTaken,
            "This external_id is of another contact".to_owned(),
        ));
    }
    let event = EventId::new(&context.clock);
    contacts::save(&mut session, account, &contact, &event).await?;
    words::index(&mut session, &own).await?;
    let told = vec![Event::of_contact(&event, account, &id)];
    commit(context, session, Changes::of(told)).await?;
    Ok(id)
}
