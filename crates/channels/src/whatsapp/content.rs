//! The type and content of a WhatsApp message.
//!
//! Who wrote it is read in [`super::message`].
//!
//! Invariant: no message of a person is lost. If its form is not known, the whole original is kept.

use serde_json::{Value, json};

use crate::json::{self, Object, put};
use crate::{Content, Kind};

/// The types whose content has a key of the same name. This key tells the type if `type` is missing.
const TYPES: [&str; 13] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "button",
    "order",
    "reaction",
    "system",
];

/// The message's `type`. If it is missing, the type of the content that the message has.
pub(super) fn kind_of(message: &Object) -> String {
    json::id(message, "type").unwrap_or_else(|| {
        let present = TYPES.iter().find(|kind| message.contains_key(**kind));
        present.copied().unwrap_or("unknown").to_owned()
    })
}

/// The types that only say that there is a message. The media of the history follows in a later update.
const PLACEHOLDERS: [&str; 2] = ["media_placeholder", "unsupported"];

/// Whether a message of WhatsApp's type `kind` has no content yet.
pub(super) fn is_placeholder(kind: &str) -> bool {
    PLACEHOLDERS.contains(&kind)
}

/// The type and content of a message of WhatsApp's type `kind`.
pub(super) fn read(kind: &str, message: Object) -> (Kind, Object) {
    match known(kind, &message) {
        Some((kind, mut content)) => {
            extras(&message, &mut content);
            (kind, content)
        }
        None => (Kind::Unsupported, json::raw(message)),
    }
}

/// The new content of an edited message, if the edit has any.
pub(super) fn edited(message: Object) -> Option<(Kind, Content)> {
    if message.is_empty() {
        return None;
    }
    let (kind, content) = read(&kind_of(&message), message);
    Some((kind, content.into()))
}

fn known(kind: &str, message: &Object) -> Option<(Kind, Object)> {
    let content = match kind {
        "text" => (Kind::Text, text(message)?),
        "image" => (Kind::Image, media(json::inner(message, kind)?)),
        "video" => (Kind::Video, media(json::inner(message, kind)?)),
        "audio" | "voice" => {
            let audio = json::inner(message, kind).or_else(|| json::inner(message, "audio"))?;
            (Kind::Audio, media(audio))
        }
        "document" => (Kind::Document, media(json::inner(message, kind)?)),
        "sticker" => (Kind::Sticker, media(json::inner(message, kind)?)),
        "location" => (Kind::Location, location(json::inner(message, kind)?)?),
        "contacts" => (Kind::Contacts, contacts(message)?),
        "interactive" => (Kind::Interactive, interactive(json::inner(message, kind)?)?),
        "button" => (Kind::Interactive, button(json::inner(message, kind)?)?),
        "order" => (Kind::Order, order(json::inner(message, kind)?)?),
        _ => return None,
    };
    Some(content)
}

/// Adds what any message may have: the advertisement that led to it, and whether it was forwarded.
fn extras(message: &Object, content: &mut Object) {
    json::copy(content, "referral", message);
    if let Some(context) = json::inner(message, "context") {
        let forwarded =
            json::flag(context, "forwarded") || json::flag(context, "frequently_forwarded");
        put(content, "forwarded", forwarded.then_some(true));
        json::copy(content, "referred_product", context);
    }
}

fn text(message: &Object) -> Option<Object> {
    let body = match json::inner(message, "text") {
        Some(text) => json::text(text, "body")?,
        None => json::text(message, "text")?,
    };
    Some(Object::from_iter([("text".to_owned(), body.into())]))
}

fn media(from: &Object) -> Object {
    let mut media = Object::new();
    put(&mut media, "id", json::id(from, "id"));
    put(&mut media, "mime_type", json::text(from, "mime_type"));
    put(&mut media, "name", json::text(from, "filename"));
    put(&mut media, "size", json::int(from, "file_size"));
    put(&mut media, "sha256", json::text(from, "sha256"));
    let url = json::text(from, "url").or_else(|| json::text(from, "link"));
    put(&mut media, "url", url);
    for flag in ["voice", "animated"] {
        put(&mut media, flag, json::flag(from, flag).then_some(true));
    }
    let mut content = Object::from_iter([("media".to_owned(), media.into())]);
    put(&mut content, "caption", json::text(from, "caption"));
    content
}

fn location(from: &Object) -> Option<Object> {
    let mut content = json::coordinates(from)?;
    put(&mut content, "name", json::text(from, "name"));
    put(&mut content, "address", json::text(from, "address"));
    put(&mut content, "url", json::text(from, "url"));
    Some(content)
}

fn contacts(message: &Object) -> Option<Object> {
    let contacts = message.get("contacts").filter(|all| all.is_array())?;
    Some(Object::from_iter([(
        "contacts".to_owned(),
        contacts.clone(),
    )]))
}

/// A reply to a list or to buttons, a form that was filled in, or (in echoes) the question of the business.
///
/// Only its type is required: replies without title or body have been seen. If the type is not one of the three, the whole
/// original is kept in `data`.
fn interactive(from: &Object) -> Option<Object> {
    let kind = json::id(from, "type").or_else(|| {
        let replies = ["button_reply", "list_reply", "nfm_reply"];
        let present = replies.iter().find(|reply| from.contains_key(**reply));
        present.map(|reply| (*reply).to_owned())
    })?;
    let empty = Object::new();
    let reply = json::inner(from, &kind).unwrap_or(&empty);
    let mut content = Object::new();
    match kind.as_str() {
        "button_reply" | "list_reply" => {
            put(&mut content, "text", json::text(reply, "title"));
            put(&mut content, "id", json::text(reply, "id"));
            let description = json::text(reply, "description");
            put(&mut content, "description", description);
        }
        "nfm_reply" => {
            put(&mut content, "text", json::text(reply, "body"));
            put(&mut content, "name", json::text(reply, "name"));
            let data = match reply.get("response_json") {
                Some(Value::String(text)) => Some(json::embedded(text.clone())),
                other => other.cloned(),
            };
            put(&mut content, "data", data);
        }
        _ => {
            let body = json::inner(from, "body");
            let text = body.and_then(|body| json::text(body, "text"));
            put(&mut content, "text", text);
            put(&mut content, "data", Some(from.clone()));
        }
    }
    content.insert("kind".to_owned(), kind.into());
    Some(content)
}

/// The press of a template's button.
fn button(from: &Object) -> Option<Object> {
    let mut content = Object::new();
    put(&mut content, "text", json::text(from, "text"));
    put(&mut content, "id", json::text(from, "payload"));
    if content.is_empty() {
        return None;
    }
    content.insert("kind".to_owned(), "button".into());
    Some(content)
}

fn order(from: &Object) -> Option<Object> {
    let items = from.get("product_items")?.as_array()?.clone();
    let mut content = Object::new();
    put(&mut content, "text", json::text(from, "text"));
    put(&mut content, "catalog_id", json::text(from, "catalog_id"));
    content.insert("product_items".to_owned(), json!(items));
    Some(content)
}
