//! What the business says of contacts.
//!
//! Invariant: the command line and the API read the same bodies.

use crate::{
    error::Error,
    id::ContactId,
    input::{self, At, Content, Given, Source, input, text},
    ops::{NAME_PATTERN, check_name, inboxes::PhoneNumber},
};
use serde_json::{Map, Value};
use utoipa::openapi::{
    ObjectBuilder, RefOr, Type,
    schema::{AdditionalProperties, Schema, SchemaType},
};

/// The most attributes of a contact, and the longest name and text of one, in characters.
pub(super) const MOST_ATTRIBUTES: usize = 50;
const LONGEST_NAME: usize = 64;
const LONGEST_TEXT: usize = 500;
/// The longest note, in characters.
const LONGEST_NOTE: usize = 4000;
/// The longest e-mail address, in bytes.
const LONGEST_EMAIL: usize = 254;

text! {
    /// What the business calls a contact.
    pub struct ContactName(String): check_name,
    |text| text.min_length(Some(1)).max_length(Some(100)).pattern(Some(NAME_PATTERN)).examples(["Ayu Lestari"]);
}

text! {
    /// An e-mail address.
    pub struct Email(String): email,
    |text| text.max_length(Some(LONGEST_EMAIL)).pattern(Some(r"^[!-?A-~]+@[!-?A-~]+$")).examples(["ayu@example.com"]);
}

text! {
    /// The business's own id for a contact.
    pub struct ExternalId(String): external_id,
    |text| text.min_length(Some(1)).max_length(Some(255)).pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$")).examples(["customer-17"]);
}

text! {
    /// A note.
    pub struct Note(String): note,
    |text| text.min_length(Some(1)).max_length(Some(LONGEST_NOTE)).pattern(Some(r"^[^\x00]+$")).examples(["Prefers to be called in the morning."]);
}

fn email(text: &str) -> Result<String, &'static str> {
    let good = text.split_once('@').is_some_and(|(name, host)| {
        let part =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && c != '@');
        part(name) && part(host) && text.len() <= LONGEST_EMAIL
    });
    good.then(|| text.to_owned())
        .ok_or("must be an e-mail address of at most 254 ASCII characters")
}

fn external_id(text: &str) -> Result<String, &'static str> {
    let good = (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    good.then(|| text.to_owned())
        .ok_or("must have 1 to 255 characters, and no control characters")
}

fn note(text: &str) -> Result<String, &'static str> {
    let good = (1..=LONGEST_NOTE).contains(&text.chars().count()) && !text.contains('\0');
    good.then(|| text.to_owned())
        .ok_or("must have 1 to 4000 characters")
}

/// What else the business says of a contact: strings, numbers, `true` and `false` by name. `null` takes one away.
#[derive(Debug, Clone)]
pub struct Attributes(pub Map<String, Value>);

impl Content for Attributes {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let Value::Object(pairs) = value else {
            at.wrong("must be an object");
            return None;
        };
        let mut good = pairs.len() <= MOST_ATTRIBUTES;
        if !good {
            at.wrong(format!("must have at most {MOST_ATTRIBUTES} entries"));
        }
        let is_text = |text: &str, most| text.chars().count() <= most && !text.contains('\0');
        for (name, value) in pairs.iter().take(MOST_ATTRIBUTES) {
            let mut inside = |rule: String| {
                at.inside(&format!(".{name}")).wrong(rule);
                good = false;
            };
            if name.is_empty() || !is_text(name, LONGEST_NAME) {
                inside(format!("a name must have 1 to {LONGEST_NAME} characters"));
            }
            let fits = match value {
                Value::String(text) => is_text(text, LONGEST_TEXT),
                Value::Number(_) | Value::Bool(_) | Value::Null => true,
                Value::Array(_) | Value::Object(_) => false,
            };
            if !fits {
                inside(format!(
                    "must be a string of at most {LONGEST_TEXT} characters, a number, true, false or null"
                ));
            }
        }
        good.then_some(Attributes(pairs))
    }

    fn document() -> RefOr<Schema> {
        let value = ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![
                Type::String,
                Type::Number,
                Type::Boolean,
                Type::Null,
            ]))
            .max_length(Some(LONGEST_TEXT));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .max_properties(Some(MOST_ATTRIBUTES))
            .additional_properties(Some(AdditionalProperties::RefOr(value.into())))
            .into()
    }
}

input! {
    /// A contact to add, or to change if it is there.
    pub struct NewContact {
        /// Your own id for the contact. Give this, or `phone`, or both.
        pub external_id: Option<ExternalId>,
        /// The phone number, E.164 with `+`. WhatsApp messages of this number are this contact's.
        pub phone: Option<PhoneNumber>,
        /// What you call the contact. Providers no longer change it then. `null`: what the provider says.
        pub name: Given<ContactName>,
        /// E-mail address.
        pub email: Given<Email>,
        /// What you want to remember of the contact.
        pub note: Given<Note>,
        /// Values of your own: those that are named are set, `null` takes one away, and the others stay.
        pub attributes: Option<Attributes>,
        /// Whether messages of the contact are told to nobody.
        pub muted: Option<bool>,
    }
}

input! {
    /// A change of a contact. Absent fields stay as they are. `null` removes a value.
    #[derive(Clone)]
    pub struct ContactChange {
        /// What you call the contact. Providers no longer change it then. `null`: what the provider says.
        pub name: Given<ContactName>,
        /// E-mail address.
        pub email: Given<Email>,
        /// What you want to remember of the contact.
        pub note: Given<Note>,
        /// Values of your own: those that are named are set, `null` takes one away, and the others stay.
        pub attributes: Option<Attributes>,
        /// Whether messages of the contact are told to nobody.
        pub muted: Option<bool>,
        /// Your own id for the contact.
        pub external_id: Given<ExternalId>,
    }
}

input! {
    /// A merge of two contacts.
    pub struct Merge {
        /// The contact that will be gone.
        pub from: ContactId,
    }
}

/// The fields of a contact that cannot be changed.
const FIXED: [&str; 7] = [
    "id",
    "phone",
    "username",
    "is_group",
    "identities",
    "claimed",
    "created_at",
];

impl NewContact {
    /// Reads the body of an upsert.
    ///
    /// # Errors
    /// [`Error::Validation`] with all errors.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, |fields| {
            let is_named = ["external_id", "phone"]
                .iter()
                .any(|name| fields.get(name).is_some());
            if !is_named {
                fields
                    .at("external_id")
                    .wrong("is required, unless phone is given");
            }
            NewContact::take(fields).filter(|_| is_named)
        })
    }
}

impl ContactChange {
    /// Reads the body of a change.
    ///
    /// # Errors
    /// [`Error::Validation`] with all errors.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, |fields| {
            let read = ContactChange::take(fields);
            fields.refuse(&FIXED, "cannot be changed");
            read
        })
    }
}

impl Merge {
    /// Reads the body of a merge.
    ///
    /// # Errors
    /// [`Error::Validation`] with all errors.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, Merge::take)
    }
}
