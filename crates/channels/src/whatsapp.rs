//! WhatsApp Cloud API webhooks.
//!
//! This file walks the envelope: entries, changes, and the lists inside a change. What one message says
//! is read in `whatsapp::message` and `whatsapp::content`; signatures are checked in
//! [`crate::signature`].
//!
//! Invariant: every message and every status comes out as exactly one item, whatever its neighbours
//! are.

mod content;
mod message;

use serde_json::value::RawValue;

use crate::json::{self, Frame, Object};
use crate::meta::{self, unreadable};
use crate::{Delivery, DeliveryStatus, Item, Malformed, Part, Status};
use message::{Origin, Profile, Scope};

/// The fields that promise messages. Of any other field it is no surprise if there are none.
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
pub fn parse(body: &[u8]) -> Result<Delivery, Malformed> {
    let body = json::repair(body);
    let mut parts = Vec::new();
    for entry in meta::entries(&body)? {
        match changes(entry) {
            Some(changes) => parts.extend(changes.into_iter().map(change)),
            None => parts.push(Part {
                address: None,
                items: vec![unreadable("an entry without changes", entry)],
            }),
        }
    }
    Ok(Delivery { parts })
}

/// The `phone_number_id`s that a body names, found without parsing it: for one that [`parse`] refuses,
/// so that its signature can still be checked before it is put aside.
pub fn addresses(body: &[u8]) -> Vec<String> {
    meta::scan(body, "phone_number_id")
}

fn changes(entry: &RawValue) -> Option<Vec<&RawValue>> {
    json::list(json::frame(entry.get())?.get("changes")?)
}

/// One change: what happened, in one field, for one phone number.
fn change(raw: &RawValue) -> Part {
    let frame = json::frame(raw.get()).unwrap_or_default();
    let field = json::frame_id(&frame, "field");
    let value = frame
        .get("value")
        .and_then(|value| json::frame(value.get()));
    match (value, field) {
        (Some(value), field) => contents(&value, field.as_deref(), raw),
        (None, Some(kind)) if !promises_messages(Some(&kind)) => Part {
            address: None,
            items: vec![ignored(&kind)],
        },
        (None, _) => Part {
            address: None,
            items: vec![unreadable("a change without a value", raw)],
        },
    }
}

fn promises_messages(field: Option<&str>) -> bool {
    field.is_none_or(|field| MESSAGE_FIELDS.contains(&field))
}

/// The lists in a change's value.
///
/// Which of them are looked for does not depend on the field's name: a field that is new tomorrow and
/// carries people's messages is read like `messages`.
fn contents(value: &Frame<'_>, field: Option<&str>, raw: &RawValue) -> Part {
    let metadata = value
        .get("metadata")
        .and_then(|metadata| json::frame(metadata.get()))
        .unwrap_or_default();
    let scope = Scope {
        number_id: json::frame_id(&metadata, "phone_number_id"),
        number: json::frame_id(&metadata, "display_phone_number"),
        contacts: profiles(value),
        one_author: one_author(value),
    };
    let origin = match field {
        Some("history") => Origin::History { thread: None },
        Some("message_echoes" | "smb_message_echoes") => Origin::Echo,
        _ => Origin::Live,
    };
    let mut items = Vec::new();
    each(value, "messages", raw, &mut items, |message, items| {
        items.push(message::read(message, &origin, &scope));
    });
    each(value, "message_echoes", raw, &mut items, |echo, items| {
        items.push(message::read(echo, &Origin::Echo, &scope));
    });
    each(value, "history", raw, &mut items, |chunk, items| {
        history(chunk, &scope, items);
    });
    each(value, "statuses", raw, &mut items, |one, items| {
        items.push(status(one));
    });
    if items.is_empty() {
        items.push(match field {
            Some(kind) if !promises_messages(field) => ignored(kind),
            _ if value.contains_key("errors") => ignored("errors"),
            Some(kind) if knows_a_list(value) => ignored(kind),
            _ => unreadable("a change without anything known in it", raw),
        });
    }
    Part {
        address: scope.number_id,
        items,
    }
}

fn knows_a_list(value: &Frame<'_>) -> bool {
    ["messages", "message_echoes", "history", "statuses"]
        .iter()
        .any(|list| value.contains_key(*list))
}

/// Calls `read` with every element of a list; a list that is none goes to quarantine as a whole.
fn each<'a>(
    value: &Frame<'a>,
    key: &str,
    whole: &RawValue,
    items: &mut Vec<Item>,
    mut read: impl FnMut(&'a RawValue, &mut Vec<Item>),
) {
    let Some(list) = value.get(key) else {
        return;
    };
    match json::list(list) {
        Some(elements) => {
            for element in elements {
                read(element, items);
            }
        }
        None => items.push(unreadable(format!("{key} is not a list"), whole)),
    }
}

fn one_author(value: &Frame<'_>) -> bool {
    let messages = value.get("messages").and_then(|list| json::list(list));
    let mut authors = messages.unwrap_or_default().into_iter().map(|message| {
        let frame = json::frame(message.get()).unwrap_or_default();
        json::frame_id(&frame, "from")
    });
    let first = authors.next();
    first.is_some() && authors.all(|author| Some(author) == first)
}

/// The profiles that can be read. Who is missing among them only lacks a name.
fn profiles(value: &Frame<'_>) -> Vec<Profile> {
    let contacts = value.get("contacts").and_then(|list| json::list(list));
    contacts
        .unwrap_or_default()
        .into_iter()
        .filter_map(|contact| json::object(contact.get()).ok())
        .map(|contact| Profile::of(&contact))
        .collect()
}

/// One chunk of the history that a business hands over when it connects the number of its phone app.
///
/// A business that declines to share it gets a chunk with nothing but `errors`.
fn history(chunk: &RawValue, scope: &Scope, items: &mut Vec<Item>) {
    let Some(frame) = json::frame(chunk.get()) else {
        items.push(unreadable("a history chunk that is not an object", chunk));
        return;
    };
    if !frame.contains_key("threads") {
        items.push(if frame.contains_key("errors") {
            ignored("history.errors")
        } else {
            unreadable("a history chunk without threads", chunk)
        });
        return;
    }
    each(&frame, "threads", chunk, items, |thread, items| {
        let Some(frame) = json::frame(thread.get()) else {
            items.push(unreadable("a thread that is not an object", thread));
            return;
        };
        let origin = Origin::History {
            thread: json::frame_id(&frame, "id"),
        };
        each(&frame, "messages", thread, items, |message, items| {
            items.push(message::read(message, &origin, scope));
        });
    });
}

/// A report about a message that the business sent.
fn status(raw: &RawValue) -> Item {
    let status = match json::object(raw.get()) {
        Ok(status) => status,
        Err(reason) => return unreadable(format!("a status: {reason}"), raw),
    };
    let Some(name) = json::id(&status, "status") else {
        return unreadable("a status that does not say which", raw);
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
        return unreadable("a status of no message", raw);
    };
    Item::Status(Status {
        provider_id,
        status: reached,
        timestamp: json::seconds(&status, "timestamp"),
        error: error(&status),
    })
}

/// The first of a status' errors, as `code title`.
fn error(status: &Object) -> Option<String> {
    let error = status.get("errors")?.as_array()?.first()?.as_object()?;
    let code = json::text(error, "code");
    let title = json::text(error, "title").or_else(|| json::text(error, "message"));
    let words: Vec<String> = code.into_iter().chain(title).collect();
    (!words.is_empty()).then(|| json::cut(&words.join(" "), 1024))
}

fn ignored(kind: &str) -> Item {
    Item::Ignored {
        kind: json::cut(kind, 64),
    }
}
