//! What a request to send a message says.
//!
//! What a channel takes is said in `channels::send`, and what comes of the request in `send`.
//!
//! Invariant: the command line and the API read the same body, as the document names it.

use crate::{
    error::Error,
    id::{ConversationId, InboxId, MessageId},
    input::{self, At, Content, Fields, Schemas, Source, input, one_of, text},
};
use channels::send::outgoing::Outgoing;
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Type,
        schema::{AdditionalProperties, Schema},
    },
};

/// The most strings of metadata, and their longest key and value in characters.
const METADATA: usize = 20;
const LONGEST_KEY: usize = 40;
const LONGEST_VALUE: usize = 500;

text! {
    /// What a text message says.
    pub struct Words(String): words,
    |text| text.min_length(Some(1)).pattern(Some(r"\S")).examples(["Yes, the blue one is still available."]);
}

text! {
    /// Words beside a place.
    pub struct Caption(String): caption,
    |text| text.min_length(Some(1)).max_length(Some(1000)).pattern(Some(r"\S")).examples(["Toko Biru"]);
}

text! {
    /// Whom a message is for, by number or user id.
    pub struct To(String): to,
    |text| text.min_length(Some(1)).max_length(Some(256)).pattern(Some(r"^(\+[1-9][0-9]{6,14}|[A-Z]{2}\.[!-~]+)$"))
        .examples(["+628111111111"]);
}

/// Degrees of latitude or longitude.
#[derive(Debug, Clone, Copy)]
pub struct Degrees(pub f64);

impl Content for Degrees {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let number = value.as_f64();
        if number.is_none() {
            at.wrong("must be a number");
        }
        number.map(Degrees)
    }

    fn document() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Number).into()
    }
}

/// What the sender wants to find again with a message.
#[derive(Debug, Clone)]
pub struct Metadata(pub Map<String, Value>);

impl Content for Metadata {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let Value::Object(pairs) = value else {
            at.wrong("must be an object");
            return None;
        };
        let mut good = pairs.len() <= METADATA;
        if !good {
            at.wrong(format!("must have at most {METADATA} entries"));
        }
        for (key, value) in &pairs {
            let mut inside = |rule: String| {
                at.inside(&format!(".{key}")).wrong(rule);
                good = false;
            };
            let is_text = |text: &str, most| text.chars().count() <= most && !text.contains('\0');
            if key.is_empty() || !is_text(key, LONGEST_KEY) {
                inside(format!("a key must have 1 to {LONGEST_KEY} characters"));
            }
            if !value
                .as_str()
                .is_some_and(|text| is_text(text, LONGEST_VALUE))
            {
                inside(format!(
                    "must be a string of at most {LONGEST_VALUE} characters"
                ));
            }
        }
        good.then_some(Metadata(pairs))
    }

    fn document() -> RefOr<Schema> {
        let value = ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(LONGEST_VALUE));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .max_properties(Some(METADATA))
            .additional_properties(Some(AdditionalProperties::RefOr(value.into())))
            .into()
    }
}

input! {
    /// A text.
    pub struct TextContent {
        /// The text. How long it may be depends on the channel.
        pub text: Words,
        /// Whether a link in it is shown with a preview. Without it the channel decides.
        pub preview_url: Option<bool>,
    }
}

input! {
    /// A place.
    pub struct LocationContent {
        /// Degrees north, -90 to 90.
        pub latitude: Degrees,
        /// Degrees east, -180 to 180.
        pub longitude: Degrees,
        /// What is there.
        pub name: Option<Caption>,
        /// Where that is, in words.
        pub address: Option<Caption>,
    }
}

/// Declares the body that sends a message of one type.
macro_rules! message {
    ($Name:ident, $word:literal, $Content:ident, $about:literal) => {
        input! {
            #[doc = $about]
            pub struct $Name where type = $word {
                /// The conversation to answer in. Either this, or `inbox_id` and `to`.
                pub conversation_id: Option<ConversationId>,
                /// whatsapp: the inbox to send from. The recipient need not have written before.
                pub inbox_id: Option<InboxId>,
                /// whatsapp, with `inbox_id`: the recipient's phone number, E.164 with `+`, or WhatsApp user id.
                pub to: Option<To>,
                /// The content of the message, by its type.
                pub content: $Content,
                /// The message of the same conversation that it answers.
                pub reply_to: Option<MessageId>,
                /// The last message that its sender has seen of the conversation. If there is a newer one, nothing is sent.
                pub if_last_message: Option<MessageId>,
                /// Strings that are given back with the message, and never sent.
                pub metadata: Option<Metadata>,
            }
        }

        impl From<$Name> for NewMessage {
            fn from(new: $Name) -> Self {
                NewMessage {
                    conversation: new.conversation_id,
                    inbox: new.inbox_id,
                    to: new.to.map(|to| to.0),
                    receiver: None,
                    outgoing: new.content.into(),
                    reply_to: new.reply_to,
                    if_last_message: new.if_last_message,
                    metadata: new.metadata.map(|pairs| Value::Object(pairs.0).to_string()),
                }
            }
        }
    };
}

message!(NewText, "text", TextContent, "A text to send.");
message!(NewLocation, "location", LocationContent, "A place to send.");

/// The types: their words, and their schemas' names.
const TYPES: [(&str, &str); 2] = [("text", "NewText"), ("location", "NewLocation")];

/// A message to send.
#[derive(Debug)]
pub struct NewMessage {
    /// The conversation that it goes to, or none.
    pub conversation: Option<ConversationId>,
    /// Else the inbox that it goes out from.
    pub inbox: Option<InboxId>,
    /// And whom it is for: a number with `+`, or a user id.
    pub to: Option<String>,
    /// Whom the conversation must be with, in the same words, if that is checked.
    pub receiver: Option<String>,
    /// What it says.
    pub outgoing: Outgoing,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// What must still be the conversation's last message.
    pub if_last_message: Option<MessageId>,
    /// What its sender noted with it: a JSON object.
    pub metadata: Option<String>,
}

impl NewMessage {
    /// Reads the body of `POST /messages`.
    ///
    /// # Errors
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, |fields| {
            check_target(fields);
            match fields.get("type").and_then(Value::as_str) {
                Some("text") => NewText::take(fields).map(NewMessage::from),
                Some("location") => NewLocation::take(fields).map(NewMessage::from),
                _ => {
                    let has_content = fields.get("content").is_some();
                    fields.discard(NewText::NAMES);
                    fields.at("type").wrong("must be one of text, location");
                    if !has_content {
                        fields.at("content").wrong("is required");
                    }
                    None
                }
            }
        })
    }
}

/// Either a conversation, or an inbox and a recipient.
fn check_target(fields: &mut Fields<'_>) {
    let given = ["conversation_id", "inbox_id", "to"].map(|name| fields.get(name).is_some());
    let (field, rule) = match given {
        [true, false, false] | [false, true, true] => return,
        [true, _, _] => ("conversation_id", "give either this, or inbox_id and to"),
        [false, false, false] => ("conversation_id", "is required, or else inbox_id and to"),
        [false, true, false] => ("to", "is required with inbox_id"),
        [false, false, true] => ("inbox_id", "is required with to"),
    };
    fields.at(field).wrong(rule);
}

impl PartialSchema for NewMessage {
    fn schema() -> RefOr<Schema> {
        one_of("A message to send, by type.", "type", &TYPES)
    }
}

impl ToSchema for NewMessage {
    fn name() -> Cow<'static, str> {
        "NewMessage".into()
    }

    fn schemas(all: &mut Schemas) {
        <NewText as Content>::schemas(all);
        <NewLocation as Content>::schemas(all);
    }
}

impl From<TextContent> for Outgoing {
    fn from(content: TextContent) -> Self {
        Outgoing::Text {
            text: content.text.0,
            preview_url: content.preview_url,
        }
    }
}

impl From<LocationContent> for Outgoing {
    fn from(content: LocationContent) -> Self {
        Outgoing::Location {
            latitude: content.latitude.0,
            longitude: content.longitude.0,
            name: content.name.map(|text| text.0),
            address: content.address.map(|text| text.0),
        }
    }
}

fn words(text: &str) -> Result<String, &'static str> {
    match () {
        () if text.trim().is_empty() => Err("must not be empty"),
        // The store cannot hold it.
        () if text.contains('\0') => Err("must not contain U+0000"),
        () => Ok(text.to_owned()),
    }
}

fn caption(text: &str) -> Result<String, &'static str> {
    match text.chars().count() {
        0..=1000 => words(text),
        _ => Err("must have at most 1000 characters"),
    }
}

/// A number, or a business-scoped user id: a country, a dot, and letters and digits.
pub(super) fn to(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be an E.164 phone number, as in +628111111111, or a user id of WhatsApp's, as in ID.13491208655302741918";
    if let Some(digits) = text.strip_prefix('+') {
        let good = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        return if good { Ok(text.to_owned()) } else { Err(RULE) };
    }
    let parts = text.split_once('.').filter(|(country, id)| {
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && !id.is_empty()
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match parts {
        Some(_) if text.len() <= 256 => Ok(text.to_owned()),
        _ => Err(RULE),
    }
}
