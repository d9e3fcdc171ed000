//! Sending on WhatsApp Cloud API: the requests, and what its error codes mean.
//!
//! Source: <https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages>.
//!
//! Invariant: a number is written with its `+`. Without one, Meta takes it for a number of the business's own country.

use serde_json::{Value, json};

use crate::api::{Api, Call, words};
use crate::graph::{self, VERSION};
use crate::json::{self, Object};
use crate::send::graph::{Then, outcome};
use crate::send::outcome::{DeliveryError, ErrorCode, Outcome, Taken, Wait};
use crate::send::outgoing::Outgoing;

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// Whoever has this phone number: E.164, with or without `+`.
    Phone(&'a str),
    /// Whoever has this business-scoped user id. For people whose number is not known; a number is the better way,
    /// since Meta goes on to show a number that is written to.
    UserId(&'a str),
    /// The members of this group.
    Group(&'a str),
}

/// The request that sends a message.
pub(crate) fn message(
    token: &str,
    phone_number_id: &str,
    to: To<'_>,
    outgoing: &Outgoing,
    reply_to: Option<&str>,
    our_id: &str,
) -> Call<Outcome> {
    let (recipient_type, field, id) = match to {
        To::Phone(number) => {
            let number = format!("+{}", number.trim_start_matches('+'));
            ("individual", "to", number)
        }
        To::UserId(id) => ("individual", "recipient", id.to_owned()),
        To::Group(id) => ("group", "to", id.to_owned()),
    };
    let (kind, content) = content(outgoing);
    let mut body = json!({
        "messaging_product": "whatsapp",
        "recipient_type": recipient_type,
        field: id,
        "type": kind,
        kind: content,
        "biz_opaque_callback_data": our_id,
    });
    if let Some(id) = reply_to {
        body["context"] = json!({"message_id": id});
    }
    let read = |status, answer: &Object| Ok(outcome(status, answer, meaning, taken));
    graph::call(Api::Graph, path(phone_number_id), token, read).posting(&body)
}

fn content(outgoing: &Outgoing) -> (&'static str, Object) {
    let mut content = Object::new();
    let kind = match outgoing {
        Outgoing::Text { text, preview_url } => {
            json::put(&mut content, "preview_url", *preview_url);
            json::put(&mut content, "body", Some(text.as_str()));
            "text"
        }
        Outgoing::Location {
            latitude,
            longitude,
            name,
            address,
        } => {
            json::put(&mut content, "latitude", Some(latitude.to_string()));
            json::put(&mut content, "longitude", Some(longitude.to_string()));
            json::put(&mut content, "name", name.as_deref());
            json::put(&mut content, "address", address.as_deref());
            "location"
        }
    };
    (kind, content)
}

/// The request that marks a message, and all before it, as read, and shows that somebody types if so.
/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/typing-indicators>
pub(crate) fn read_mark(
    token: &str,
    phone_number_id: &str,
    provider_id: &str,
    typing: bool,
) -> Call<()> {
    let mut body = json!({
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": provider_id,
    });
    if typing {
        body["typing_indicator"] = json!({"type": "text"});
    }
    graph::call(Api::Graph, path(phone_number_id), token, graph::done).posting(&body)
}

fn path(phone_number_id: &str) -> String {
    format!("/{VERSION}/{}/messages", graph::encoded(phone_number_id))
}

/// The ids in a success. A recipient who was written to by number has a `wa_id` there.
fn taken(answer: &Object) -> Option<Taken> {
    let objects = |key: &str| {
        let list = answer.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_object)
    };
    let mut ids = objects("messages").filter_map(|message| json::id(message, "id"));
    let respelled = objects("contacts").find_map(|contact| {
        let input = json::id(contact, "input")?;
        let input = input.strip_prefix('+').unwrap_or(&input).to_owned();
        let wa_id = json::id(contact, "wa_id")?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let differs = input != wa_id && is_number(&input) && is_number(&wa_id);
        differs.then_some((input, wa_id))
    });
    Some(Taken {
        provider_id: ids.next()?,
        also: ids.collect(),
        respelled,
    })
}

/// Why a message failed, from a failed status: [`crate::Status::error`] has the code and Meta's words.
///
/// Many codes come only so, after the message was taken.
pub fn failure(error: &str) -> DeliveryError {
    let (code, said) = error.split_once(' ').unwrap_or((error, ""));
    match code.parse() {
        Ok(number) => DeliveryError {
            code: meaning(number, 0).0,
            message: words(said),
            provider_code: Some(code.to_owned()),
        },
        Err(_) => DeliveryError {
            code: ErrorCode::Rejected,
            message: words(error),
            provider_code: None,
        },
    }
}

/// What each code means, and what to do.
///
/// Source: <https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes>.
fn meaning(code: i64, _subcode: i64) -> (ErrorCode, Then) {
    use ErrorCode as E;
    match code {
        0 | 190 => (E::Credential, Then::Stop),
        3 | 10 | 200..=299 => (E::Permission, Then::Refuse),
        4 | 80_007 | 130_429 | 131_057 => (E::RateLimited, Then::Again(Wait::Inbox)),
        131_056 => (E::RateLimited, Then::Again(Wait::Recipient)),
        1 | 2 | 131_000 | 131_016 => (E::Unavailable, Then::Again(Wait::Message)),
        131_047 => (E::OutsideWindow, Then::Refuse),
        131_026 => (E::RecipientUnreachable, Then::Refuse),
        // Meta's choice: too much marketing for this person, or an experiment that this person is part of.
        131_049 | 130_472 => (E::Rejected, Then::Refuse),
        // An unknown kind of message; one that needs a number, sent to a user id.
        131_051 | 131_062 => (E::Unsupported, Then::Refuse),
        131_050 => (E::OptedOut, Then::Refuse),
        // Not paid, locked, against the rules.
        131_042 | 131_031 | 368 => (E::AccountRestricted, Then::Stop),
        132_000 | 132_001 | 132_005 | 132_012 | 132_015 => (E::Template, Then::Refuse),
        _ => (E::Rejected, Then::Refuse),
    }
}
