//! The type and content of a Telegram message.
//!
//! Who wrote it, and in which chat, is read in [`super`].
//!
//! Invariant: a message is left out only if its keys show that it is a service message. Everything else that a later
//! version of the Bot API adds is kept as a message.

use serde_json::Value;

use super::entities;
use crate::Kind;
use crate::json::{self, Object, put};

/// The keys of service messages, which Telegram itself writes into a chat, except those that end as in [`DONE`].
const SERVICE: [&str; 18] = [
    "new_chat_members",
    "new_chat_member",
    "new_chat_participant",
    "left_chat_member",
    "left_chat_participant",
    "new_chat_title",
    "new_chat_photo",
    "delete_chat_photo",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
    "pinned_message",
    "successful_payment",
    "refunded_payment",
    "gift",
    "unique_gift",
    "connected_website",
    "passport_data",
    "giveaway_winners",
];

/// The endings of keys that say that something was done: these are service messages. The content of a person's message is
/// a thing, so its key is a noun. The Bot API adds keys of both kinds every few months.
const DONE: [&str; 29] = [
    "_added",
    "_allowed",
    "_approved",
    "_changed",
    "_closed",
    "_completed",
    "_created",
    "_declined",
    "_deleted",
    "_done",
    "_edited",
    "_ended",
    "_failed",
    "_hidden",
    "_invited",
    "_joined",
    "_left",
    "_paid",
    "_pinned",
    "_refunded",
    "_removed",
    "_reopened",
    "_scheduled",
    "_sent",
    "_set",
    "_shared",
    "_started",
    "_triggered",
    "_unhidden",
];

/// The keys of objects and lists that any message can have beside its content.
const BESIDE: [&str; 18] = [
    "from",
    "chat",
    "sender_chat",
    "sender_business_bot",
    "via_bot",
    "forward_origin",
    "forward_from",
    "forward_from_chat",
    "reply_to_message",
    "external_reply",
    "quote",
    "reply_to_story",
    "direct_messages_topic",
    "suggested_post_info",
    "entities",
    "caption_entities",
    "link_preview_options",
    "reply_markup",
];

/// The content of a message.
pub(super) enum Content {
    /// A person's message of a known type.
    Known(Kind, Object),
    /// A service message, by its key.
    Service(&'static str),
    /// A person's message of an unknown type.
    Unknown,
}

/// Reads the content of a message.
pub(super) fn read(message: &Object) -> Content {
    if let Some((kind, mut content)) = known(message) {
        let caption = json::text(message, "caption");
        let entities = match (&caption, message.get("text")) {
            (Some(caption), _) => entities::read(caption, message.get("caption_entities")),
            (None, Some(Value::String(text))) => entities::read(text, message.get("entities")),
            _ => None,
        };
        put(&mut content, "caption", caption);
        put(&mut content, "entities", entities);
        let forwarded =
            message.contains_key("forward_origin") || message.contains_key("forward_date");
        put(&mut content, "forwarded", forwarded.then_some(true));
        return Content::Known(kind, content);
    }
    match SERVICE.iter().find(|key| message.contains_key(**key)) {
        Some(key) => Content::Service(key),
        None if is_service(message) => Content::Service("service_message"),
        None => Content::Unknown,
    }
}

/// Whether a message has a key that says that something was done, and no content of a person.
fn is_service(message: &Object) -> bool {
    let is_done = |key: &str| DONE.iter().any(|done| key.ends_with(done));
    let is_thing = |value: &Value| value.is_object() || value.is_array();
    let has_content = message
        .iter()
        .any(|(key, value)| is_thing(value) && !is_done(key) && !BESIDE.contains(&key.as_str()));
    message.keys().any(|key| is_done(key)) && !has_content
}

/// The order matters in two places: for old bots, an `animation` is also sent as a `document`, and a `venue` also as a
/// `location`.
fn known(message: &Object) -> Option<(Kind, Object)> {
    let inner = |key| json::inner(message, key);
    let known = if let Some(app) = inner("web_app_data") {
        (Kind::Interactive, web_app_data(app))
    } else if let Some(Value::String(text)) = message.get("text") {
        let text = Value::from(text.as_str());
        (Kind::Text, Object::from_iter([("text".to_owned(), text)]))
    } else if let Some(photo) = message.get("photo").and_then(largest) {
        (Kind::Image, media(photo, &[]))
    } else if let Some(animation) = inner("animation") {
        (Kind::Video, media(animation, &["animated"]))
    } else if let Some(video) = inner("video").or_else(|| inner("video_note")) {
        (Kind::Video, media(video, &[]))
    } else if let Some(voice) = inner("voice") {
        (Kind::Audio, media(voice, &["voice"]))
    } else if let Some(audio) = inner("audio") {
        (Kind::Audio, media(audio, &[]))
    } else if let Some(document) = inner("document") {
        (Kind::Document, media(document, &[]))
    } else if let Some(sticker) = inner("sticker") {
        (Kind::Sticker, self::sticker(sticker))
    } else if let Some(venue) = inner("venue") {
        (Kind::Location, self::venue(venue)?)
    } else if let Some(location) = inner("location") {
        (Kind::Location, json::coordinates(location)?)
    } else if let Some(contact) = inner("contact") {
        let contacts = Value::from(vec![Value::Object(contact.clone())]);
        let content = Object::from_iter([("contacts".to_owned(), contacts)]);
        (Kind::Contacts, content)
    } else {
        return None;
    };
    Some(known)
}

/// The largest of a photo's sizes. Each of them is the whole picture.
fn largest(sizes: &Value) -> Option<&Object> {
    let sizes = sizes.as_array()?.iter().filter_map(Value::as_object);
    sizes.max_by_key(|size| {
        let side = |key| json::int(size, key).unwrap_or(0);
        side("width").saturating_mul(side("height"))
    })
}

fn media(file: &Object, flags: &[&str]) -> Object {
    let mut media = Object::new();
    put(&mut media, "id", json::id(file, "file_id"));
    put(&mut media, "mime_type", json::text(file, "mime_type"));
    let name = json::text(file, "file_name").or_else(|| json::text(file, "title"));
    put(&mut media, "name", name);
    put(&mut media, "size", json::int(file, "file_size"));
    for flag in flags {
        put(&mut media, flag, Some(true));
    }
    Object::from_iter([("media".to_owned(), media.into())])
}

fn sticker(sticker: &Object) -> Object {
    let moves = json::flag(sticker, "is_animated") || json::flag(sticker, "is_video");
    let mut content = media(sticker, if moves { &["animated"] } else { &[] });
    put(&mut content, "emoji", json::text(sticker, "emoji"));
    content
}

fn venue(venue: &Object) -> Option<Object> {
    let mut content = json::coordinates(json::inner(venue, "location")?)?;
    put(&mut content, "name", json::text(venue, "title"));
    put(&mut content, "address", json::text(venue, "address"));
    Some(content)
}

/// The data that a mini app sends for the person who has filled it in.
fn web_app_data(app: &Object) -> Object {
    let mut content = Object::new();
    put(&mut content, "text", json::text(app, "button_text"));
    content.insert("kind".to_owned(), "web_app_data".into());
    let data = json::text(app, "data").map(json::embedded);
    put(&mut content, "data", data);
    content
}
