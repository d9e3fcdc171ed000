//! Updates of the WhatsApp Cloud API.
//!
//! This file reads the envelope: entries, changes, and the lists inside a change. `whatsapp::message` and
//! `whatsapp::content` read messages. [`crate::signature`] checks signatures.
//!
//! Invariant: every message and every status becomes exactly one item, whatever the others are.

mod content;
mod message;
mod people;
mod profiles;
mod scope;
pub mod send;
mod system;

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::addresses::{self, Addresses};
use crate::json::{self, Frame, Object};
use crate::meta::{self, TEST_ENTRY, ignored, unreadable};
use crate::send::graph::said;
use crate::{BusinessChange, Content, DeliveryStatus, Item, Malformed, Moment, Status, Update};
use profiles::Profiles;
use scope::{Origin, Scope};

/// The number that the dashboard's Test button sends to.
const TEST_NUMBER: &str = "123456123";

/// Most bytes of a change in a business account that are kept.
const LONGEST_CHANGE: usize = 64 * 1024;

/// The fields whose changes must have messages or statuses.
const MESSAGE_FIELDS: [&str; 4] = [
    "messages",
    "message_echoes",
    "smb_message_echoes",
    "history",
];

/// Reads one webhook request: all of it, in the order in which it came.
///
/// Each change is for one `metadata.phone_number_id`; one that names none (those about a whole business
/// account) becomes a part without an address.
///
/// # Errors
///
/// If the body is no JSON object with a list called `entry`.
pub fn parse(body: &[u8]) -> Result<Update, Malformed> {
    let body = json::repair(body);
    let mut update = Update::default();
    meta::entries(&body, |entry| {
        let frame = json::frame(entry.get()).unwrap_or_default();
        let business = Business {
            id: json::frame_id(&frame, "id")
                .filter(|id| id != TEST_ENTRY)
                .map(Arc::from),
            time: json::frame_time(&frame, "time"),
        };
        let each = |raw: &RawValue| change(raw, &business, &mut update);
        let changes = frame.get("changes");
        if !changes.is_some_and(|changes| json::each(changes, each)) {
            update.add(None, unreadable("an entry without changes"));
        }
    })?;
    Ok(update)
}

/// The `phone_number_id`s that a body names, found without parsing it, each once: at most 64, so that whoever sent the
/// body has its signature checked with no more secrets than that.
///
/// One too many does no harm: it still has to have signed the body.
pub fn addresses(body: &[u8]) -> Vec<String> {
    let mut found = Addresses::default();
    addresses::visit(body, |keys, scalar| {
        if keys.last() == Some(&&b"phone_number_id"[..]) {
            found.add(scalar);
        }
        !found.is_full()
    });
    found.into_vec()
}

/// The business accounts of a body whose entries name no phone number, or a made-up one as the dashboard's Test button does.
/// `None` if they name a real one, or there are none. Found without parsing it: at most 64.
pub fn unaddressed(body: &[u8]) -> Option<Vec<String>> {
    let ids = meta::entry_ids(body);
    let numbers = addresses(body);
    let made_up =
        ids.iter().any(|id| id == TEST_ENTRY) || numbers.iter().all(|number| number == TEST_NUMBER);
    let real = ids.iter().filter(|id| *id != TEST_ENTRY).cloned();
    (made_up && !ids.is_empty()).then(|| real.collect())
}

/// Whose an entry is.
struct Business {
    /// None in what the Test button sends.
    id: Option<Arc<str>>,
    time: Option<Moment>,
}

/// One change: what happened, in one field, for one phone number.
fn change(raw: &RawValue, business: &Business, update: &mut Update) {
    let frame = json::frame(raw.get()).unwrap_or_default();
    let field = json::frame_id(&frame, "field");
    let value = frame
        .get("value")
        .and_then(|value| Some((*value, json::frame(value.get())?)));
    match (value, field) {
        (Some((raw, value)), field) => {
            contents(raw, &value, field.as_deref(), business, update);
        }
        (None, Some(kind)) if !promises_messages(Some(&kind)) => {
            update.add(None, ignored(&kind));
        }
        (None, _) => update.add(None, unreadable("a change without a value")),
    }
}

fn promises_messages(field: Option<&str>) -> bool {
    field.is_none_or(|field| MESSAGE_FIELDS.contains(&field))
}

/// Reads the lists in a change's value.
///
/// All lists are read, whatever the field's name is: a new field with messages of people is read like `messages`. A change
/// without a number and without lists is about the business account.
fn contents(
    raw: &RawValue,
    value: &Frame<'_>,
    field: Option<&str>,
    business: &Business,
    update: &mut Update,
) {
    let metadata = value
        .get("metadata")
        .and_then(|metadata| json::frame(metadata.get()))
        .unwrap_or_default();
    let scope = Scope {
        account: business.id.clone(),
        number_id: json::frame_id(&metadata, "phone_number_id"),
        number: json::frame_id(&metadata, "display_phone_number"),
        profiles: profiles(value),
        one_author: one_author(value),
    };
    let origin = match field {
        Some("history") => Origin::History { thread: None },
        Some("message_echoes" | "smb_message_echoes") => Origin::Echo,
        _ => Origin::Live,
    };
    let mut empty = true;
    let mut add = |item| {
        empty = false;
        update.add(scope.number_id.as_deref(), item);
    };
    each(value, "messages", &mut add, |message, add| {
        add(message::read(message, &origin, &scope));
    });
    each(value, "message_echoes", &mut add, |echo, add| {
        add(message::read(echo, &Origin::Echo, &scope));
    });
    each(value, "history", &mut add, |chunk, add| {
        history(chunk, &scope, add);
    });
    each(value, "statuses", &mut add, |one, add| add(status(one)));
    if empty {
        let item = match field {
            Some(kind) if !promises_messages(field) => match scope.number_id {
                None => business_change(raw, kind, business),
                Some(_) => ignored(kind),
            },
            _ if value.contains_key("errors") => ignored("errors"),
            Some(kind) if knows_a_list(value) => ignored(kind),
            _ => unreadable("a change without anything known in it"),
        };
        update.add(scope.number_id.as_deref(), item);
    }
}

/// Reads a change of a whole business account. An update of the Test button has none.
fn business_change(raw: &RawValue, field: &str, business: &Business) -> Item {
    let value = Some(raw).filter(|raw| raw.get().len() <= LONGEST_CHANGE);
    let value = value.and_then(|raw| json::object(raw.get()).ok());
    match (&business.id, value) {
        (Some(id), Some(value)) => Item::Business(Box::new(BusinessChange {
            business_account_id: id.clone(),
            field: json::cut(field, 64),
            value: Content::from(value),
            timestamp: business.time,
        })),
        _ => ignored(field),
    }
}

fn knows_a_list(value: &Frame<'_>) -> bool {
    ["messages", "message_echoes", "history", "statuses"]
        .iter()
        .any(|list| value.contains_key(*list))
}

/// Adds an item of a change.
type Add<'a> = dyn FnMut(Item) + 'a;

/// Calls `read` with every element of the list of a key. If the value is not a list, it goes to quarantine as a whole.
fn each<'a>(
    frame: &Frame<'a>,
    key: &'static str,
    add: &mut Add<'_>,
    mut read: impl FnMut(&'a RawValue, &mut Add<'_>),
) {
    let Some(list) = frame.get(key) else {
        return;
    };
    if !json::each(list, |element| read(element, add)) {
        add(unreadable(format!("{key} is not a list")));
    }
}

fn one_author(value: &Frame<'_>) -> bool {
    let mut first: Option<Option<String>> = None;
    let mut same = true;
    if let Some(messages) = value.get("messages") {
        json::each(messages, |message| {
            let frame = json::frame(message.get()).unwrap_or_default();
            let author = json::frame_id(&frame, "from");
            match &first {
                None => first = Some(author),
                Some(first) => same &= *first == author,
            }
        });
    }
    same && first.is_some()
}

/// The profiles that can be read. Without a profile, only a person's name is missing.
fn profiles(value: &Frame<'_>) -> Profiles {
    let mut profiles = Profiles::default();
    if let Some(contacts) = value.get("contacts") {
        json::each(contacts, |contact| {
            if let Ok(contact) = json::object(contact.get()) {
                profiles.add(&contact);
            }
        });
    }
    profiles
}

/// Reads one part of the history, which a business can share when it connects the number of its phone app.
///
/// If the business does not share it, the part has only `errors`.
fn history(chunk: &RawValue, scope: &Scope, add: &mut Add<'_>) {
    let Some(frame) = json::frame(chunk.get()) else {
        add(unreadable("a history chunk that is not an object"));
        return;
    };
    if !frame.contains_key("threads") {
        add(if frame.contains_key("errors") {
            ignored("history.errors")
        } else {
            unreadable("a history chunk without threads")
        });
        return;
    }
    each(&frame, "threads", add, |thread, add| {
        let Some(frame) = json::frame(thread.get()) else {
            add(unreadable("a thread that is not an object"));
            return;
        };
        let origin = Origin::History {
            thread: json::frame_id(&frame, "id").map(Arc::from),
        };
        each(&frame, "messages", add, |message, add| {
            add(message::read(message, &origin, scope));
        });
    });
}

/// Reads the delivery status of a message that the business has sent.
fn status(raw: &RawValue) -> Item {
    let status = match json::object(raw.get()) {
        Ok(status) => status,
        Err(reason) => return unreadable(format!("a status: {reason}")),
    };
    let Some(name) = json::id(&status, "status") else {
        return unreadable("a status that does not say which");
    };
    // Calls and payments report here too, in words of their own ("failed" among them).
    if let Some(kind) = json::id(&status, "type")
        && kind != "message"
    {
        return ignored(&format!("status.{kind}"));
    }
    let reached = match name.as_str() {
        "sent" => DeliveryStatus::Sent,
        "delivered" => DeliveryStatus::Delivered,
        "read" | "played" => DeliveryStatus::Read,
        "failed" => DeliveryStatus::Failed,
        _ => return ignored(&format!("status.{name}")),
    };
    let Some(provider_id) = json::id(&status, "id") else {
        return unreadable("a status of no message");
    };
    Item::from(Status {
        provider_id,
        status: reached,
        timestamp: json::seconds(&status, "timestamp").map(Moment::seconds),
        error: error(&status),
        our_id: json::id(&status, "biz_opaque_callback_data"),
    })
}

/// The first of a status' errors: its code, and what Meta says about it.
fn error(status: &Object) -> Option<String> {
    let error = status.get("errors")?.as_array()?.first()?.as_object()?;
    let code = json::id(error, "code").unwrap_or_default();
    let error = format!("{code} {}", said(error));
    Some(error.trim().to_owned()).filter(|error| !error.is_empty())
}
