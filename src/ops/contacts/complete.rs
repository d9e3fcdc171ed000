//! What a contact gets from another one that is joined with it.
//!
//! Invariant: nothing that is known of the one that stays is lost, and nothing that a person has written of the other.

use crate::{error::Error, store::contacts::Record};
use serde_json::{Map, Value};

/// Adds what only the other one has. Where both have something, the record keeps its own; only a note is added to its note. A
/// name that a person has set goes before one that a provider says.
pub(in crate::ops) fn complete(record: &mut Record, other: Record) -> Result<(), Error> {
    if record.provider_name.is_none() && other.provider_name.is_some() {
        let said = std::mem::replace(&mut record.name, other.name);
        record.provider_name = Some(said.unwrap_or_default());
    } else if record.name.is_none() {
        record.name = other.name;
    }
    for (own, others) in [
        (&mut record.phone, other.phone),
        (&mut record.username, other.username),
        (&mut record.email, other.email),
        (&mut record.external_id, other.external_id),
    ] {
        *own = own.take().or(others);
    }
    record.note = match (record.note.take(), other.note) {
        (Some(own), Some(others)) if !own.contains(&others) => Some(format!("{own}\n\n{others}")),
        (own, others) => own.or(others),
    };
    let mut attributes = read(&other.attributes)?;
    attributes.extend(read(&record.attributes)?);
    record.attributes = Value::Object(attributes).to_string();
    if record.channel.is_empty() {
        record.channel = other.channel;
    }
    record.muted |= other.muted;
    record.saved |= other.saved;
    Ok(())
}

fn read(attributes: &str) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(attributes)
        .map_err(|error| Error::Internal(format!("a stored contact is damaged: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ContactId;

    fn record(name: Option<&str>, provider_name: Option<&str>) -> Record {
        let text = |text: &str| text.to_owned();
        Record {
            id: ContactId::from_text("contact_1"),
            channel: String::new(),
            is_group: false,
            name: name.map(text),
            provider_name: provider_name.map(text),
            phone: None,
            username: None,
            email: None,
            external_id: None,
            note: None,
            attributes: text("{}"),
            muted: false,
            saved: false,
            identities: text("[]"),
            created_at: 0,
        }
    }

    #[test]
    fn a_name_that_a_person_has_set_goes_first() {
        for (own, other, expected) in [
            (
                (Some("Ayu"), None),
                (Some("Budi"), None),
                (Some("Ayu"), None),
            ),
            ((None, None), (Some("Budi"), None), (Some("Budi"), None)),
            (
                (Some("ayu"), None),
                (Some("Ibu Ayu"), Some("a")),
                (Some("Ibu Ayu"), Some("ayu")),
            ),
            (
                (Some("Ayu"), Some("a")),
                (Some("Budi"), Some("b")),
                (Some("Ayu"), Some("a")),
            ),
        ] {
            let mut joined = record(own.0, own.1);
            complete(&mut joined, record(other.0, other.1)).expect("good records");
            assert_eq!(joined, record(expected.0, expected.1));
        }
    }

    #[test]
    fn notes_are_added_once_and_attributes_are_completed() {
        let with = |note: &str, attributes: &str| Record {
            note: Some(note.to_owned()),
            attributes: attributes.to_owned(),
            ..record(None, None)
        };
        let mut joined = with("own", r#"{"a":1}"#);
        // A join that is carried out in pieces does so several times.
        for _ in 0..2 {
            complete(&mut joined, with("other", r#"{"a":2,"b":3}"#)).expect("good records");
            assert_eq!(joined, with("own\n\nother", r#"{"a":1,"b":3}"#));
        }
    }
}
