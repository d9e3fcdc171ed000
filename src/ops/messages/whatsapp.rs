//! The bodies of `POST /messages/whatsapp`, which programs that were written for another API send: to a number, as in
//! `POST /messages`; or into a conversation, with names of its own.
//!
//! Invariant: the second body says all of what it is given to say, or is refused with the field at fault.

use super::{
    input::{Caption, NewMessage, Words, to},
    send::send,
};
use crate::{
    domain::{Message, SentBy},
    error::{Error, FieldError},
    id::{AccountId, ConversationId},
    input::{self, At, Content, Fields, Schemas, Text, input, text, word},
    ops::{Context, idempotency::Request},
};
use channels::send::outgoing::Outgoing;
use serde_json::{Map, Value};
use std::{borrow::Cow, time::Duration};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, Ref, RefOr, Type, schema::Schema},
};

/// The fields that only the second body has.
const OF_CONVERSATION: [&str; 9] = [
    "conversation_id",
    "receiver",
    "message",
    "file_url",
    "media_type",
    "location",
    "header",
    "footer",
    "action",
];
const NO_FILES: &str = "files cannot be sent yet";
const NO_BUTTONS: &str = "buttons and lists cannot be sent yet";

text! {
    /// Whom a message is for, by number or user id. A number may lack the `+`.
    pub struct Receiver(String): receiver,
    |text| text.min_length(Some(1)).max_length(Some(256)).examples(["628111111111"]);
}

/// What a message has beside a text, or in place of it.
#[derive(Debug, Clone, Copy)]
pub struct MediaType;

impl Text for MediaType {
    fn parse(text: &str) -> Result<Self, String> {
        let rule = match text {
            "location" => return Ok(MediaType),
            "cta_url" | "button" | "list" => NO_BUTTONS,
            "image" | "video" | "audio" | "document" => NO_FILES,
            _ => "must be location",
        };
        Err(rule.to_owned())
    }

    fn describe() -> RefOr<Schema> {
        word(&["location"])
    }
}

/// Degrees of latitude or longitude, as a number or in a string.
#[derive(Debug, Clone, Copy)]
pub struct WrittenDegrees(f64);

impl Content for WrittenDegrees {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let number = match &value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let number = number.filter(|number: &f64| number.is_finite());
        if number.is_none() {
            at.wrong("must be a number");
        }
        number.map(WrittenDegrees)
    }

    fn document() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Number))
            .item(ObjectBuilder::new().schema_type(Type::String))
            .into()
    }
}

input! {
    /// A place to send.
    pub struct WhatsappLocation {
        /// Degrees north, -90 to 90.
        pub latitude: WrittenDegrees,
        /// Degrees east, -180 to 180.
        pub longitude: WrittenDegrees,
        /// What is there.
        pub name: Option<Caption>,
        /// Where that is, in words.
        pub address: Option<Caption>,
    }
}

input! {
    /// A message into a conversation. Empty strings, `{}` and `null` count as absent. `file_url`, `header`, `footer`, `action`
    /// and other values of `media_type` are known and cannot be sent yet.
    pub struct WhatsappInConversation {
        /// The conversation to answer in.
        pub conversation_id: ConversationId,
        /// Its contact: a phone number, with or without `+`, or a WhatsApp user id.
        pub receiver: Receiver,
        /// The text to send. Absent with a location.
        pub message: Option<Words>,
        /// `location`, or absent.
        pub media_type: Option<MediaType>,
        /// The place to send.
        pub location: Option<WhatsappLocation>,
    }
}

/// A message to send, by either body.
#[derive(Debug)]
pub struct NewWhatsappMessage {
    message: NewMessage,
    /// Whom it is for, as the answer says it: a number with `+`, or a user id.
    pub to: String,
    /// Whether it was asked for by the second body.
    pub in_conversation: bool,
}

impl NewWhatsappMessage {
    /// Reads either body.
    ///
    /// # Errors
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(mut body: Map<String, Value>) -> Result<Self, Error> {
        body.retain(|_, value| !is_absent(value));
        let in_conversation = OF_CONVERSATION.iter().any(|name| body.contains_key(*name));
        if in_conversation {
            return input::read(body, read_in_conversation);
        }
        let missing = ["inbox_id", "to"].into_iter();
        let missing: Vec<_> = missing
            .filter(|name| !body.contains_key(*name))
            .map(|name| FieldError::new(name, "is required"))
            .collect();
        if !missing.is_empty() {
            return Err(Error::Validation(missing));
        }
        let message = NewMessage::parse(body)?;
        let to = message.to.clone().unwrap_or_default();
        Ok(NewWhatsappMessage {
            message,
            to,
            in_conversation,
        })
    }
}

/// Whether a value says nothing: programs send forms of which they have filled in a part.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(inner) => inner.values().all(is_absent),
        _ => false,
    }
}

fn read_in_conversation(fields: &mut Fields<'_>) -> Option<NewWhatsappMessage> {
    let says_more = OF_CONVERSATION[3..]
        .iter()
        .any(|name| fields.get(name).is_some());
    fields.refuse(&["file_url"], NO_FILES);
    fields.refuse(&["header", "footer", "action"], NO_BUTTONS);
    if let Some(Value::Object(location)) = fields.get_mut("location") {
        location.retain(|_, value| !is_absent(value));
    }
    let new = WhatsappInConversation::take(fields)?;
    let (wrong, rule) = match (new.message, new.media_type, new.location) {
        (Some(text), None, None) => {
            let text = Outgoing::Text {
                text: text.0,
                preview_url: None,
            };
            return Some(in_conversation(new.conversation_id, new.receiver, text));
        }
        (None, _, Some(place)) => {
            let place = place.into();
            return Some(in_conversation(new.conversation_id, new.receiver, place));
        }
        (Some(_), _, Some(_)) => (
            "message",
            "a location has no text: send it as a message of its own",
        ),
        (_, Some(MediaType), None) => ("location", "is required with media_type location"),
        // What else it says cannot be sent, and was named.
        (None, None, None) if says_more => return None,
        (None, None, None) => ("message", "is required"),
    };
    input::Source::at(fields, wrong).wrong(rule);
    None
}

fn in_conversation(
    conversation: ConversationId,
    receiver: Receiver,
    outgoing: Outgoing,
) -> NewWhatsappMessage {
    NewWhatsappMessage {
        to: receiver.0.clone(),
        in_conversation: true,
        message: NewMessage {
            conversation: Some(conversation),
            receiver: Some(receiver.0),
            outgoing,
            inbox: None,
            to: None,
            reply_to: None,
            if_last_message: None,
            metadata: None,
        },
    }
}

impl From<WhatsappLocation> for Outgoing {
    fn from(place: WhatsappLocation) -> Self {
        Outgoing::Location {
            latitude: place.latitude.0,
            longitude: place.longitude.0,
            name: place.name.map(|text| text.0),
            address: place.address.map(|text| text.0),
        }
    }
}

/// Accepts a message to send: see [`send`].
///
/// # Errors
/// Those of [`send`], with the names that the body has for its fields.
pub async fn send_whatsapp(
    context: &Context,
    account: &AccountId,
    sent_by: &SentBy,
    new: NewWhatsappMessage,
    request: Option<&Request>,
    wait: Option<Duration>,
) -> Result<Message<'static>, Error> {
    let renames = new.in_conversation;
    match send(context, account, sent_by, new.message, request, wait).await {
        Err(Error::Validation(mut wrong)) if renames => {
            for one in &mut wrong {
                one.field = match one.field.strip_prefix("content.") {
                    Some("text") => "message".to_owned(),
                    Some(inner) => format!("location.{inner}"),
                    None => std::mem::take(&mut one.field),
                };
            }
            Err(Error::Validation(wrong))
        }
        other => other,
    }
}

impl PartialSchema for NewWhatsappMessage {
    fn schema() -> RefOr<Schema> {
        let forms = ["NewText", "NewLocation", "WhatsappInConversation"];
        let about = "A message to a number (`inbox_id` and `to`), or into a conversation (`conversation_id` and `receiver`).";
        let builder = OneOfBuilder::new().description(Some(about));
        let form = |all: OneOfBuilder, name| all.item(Ref::from_schema_name(name));
        forms.into_iter().fold(builder, form).into()
    }
}

impl ToSchema for NewWhatsappMessage {
    fn name() -> Cow<'static, str> {
        "NewWhatsappMessage".into()
    }

    fn schemas(all: &mut Schemas) {
        NewMessage::schemas(all);
        <WhatsappInConversation as Content>::schemas(all);
    }
}

/// With the `+` that a number may lack.
fn receiver(text: &str) -> Result<String, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits {
        true => to(&format!("+{text}")),
        false => to(text),
    }
}
