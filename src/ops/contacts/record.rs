//! A stored contact: as it is shown, and with what the business says of it.
//!
//! Invariant: what is not given stays as it is.

use super::input::{ContactChange, MOST_ATTRIBUTES};
use crate::{
    domain::{Channel, contact::ContactDetails},
    error::Error,
    input::Given,
    store::contacts::Record,
};
use serde_json::{Map, Value, value::RawValue};

/// The contact, as it is shown.
pub(super) fn shown(record: Record) -> Result<ContactDetails, Error> {
    let is_claimed = record.channel == Channel::Livechat.as_str()
        && record.provider_name.is_none()
        && record.name.is_some();
    Ok(ContactDetails {
        id: record.id,
        name: record.name,
        phone: record.phone,
        username: record.username,
        email: record.email,
        external_id: record.external_id,
        note: record.note,
        attributes: json(record.attributes)?,
        claimed: if is_claimed { vec!["name"] } else { Vec::new() },
        muted: record.muted,
        is_group: record.is_group,
        identities: json(record.identities)?,
        created_at: record.created_at,
        conversations: None,
        former_ids: None,
    })
}

/// Changes a record as the business says. What leads to the contact is not changed here.
pub(super) fn apply(record: &mut Record, change: ContactChange) -> Result<(), Error> {
    match change.name.map(|name| name.0) {
        Given::Absent => {}
        Given::Null => {
            if let Some(said) = record.provider_name.take() {
                record.name = Some(said).filter(|said| !said.is_empty());
            }
        }
        Given::Value(name) => {
            let before = record.name.replace(name);
            record
                .provider_name
                .get_or_insert(before.unwrap_or_default());
        }
    }
    change.email.map(|email| email.0).apply(&mut record.email);
    change.note.map(|note| note.0).apply(&mut record.note);
    let external_id = change.external_id.map(|id| id.0);
    external_id.apply(&mut record.external_id);
    record.muted = change.muted.unwrap_or(record.muted);
    if let Some(attributes) = change.attributes {
        let mut all: Map<String, Value> =
            serde_json::from_str(&record.attributes).map_err(damaged)?;
        for (name, value) in attributes.0 {
            match value {
                Value::Null => {
                    all.shift_remove(&name);
                }
                value => {
                    all.insert(name, value);
                }
            }
        }
        if all.len() > MOST_ATTRIBUTES {
            let rule = format!("a contact has at most {MOST_ATTRIBUTES}");
            return Err(Error::field("attributes", rule));
        }
        record.attributes = Value::Object(all).to_string();
    }
    record.saved = true;
    Ok(())
}

fn json(text: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(text).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Error {
    Error::Internal(format!("a stored contact is damaged: {error}"))
}
