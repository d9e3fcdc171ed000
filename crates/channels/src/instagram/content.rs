//! The type and content of an Instagram message.
//!
//! Who wrote it is read in [`super::event`].
//!
//! Invariant: no message of a person is lost. If its form is not known, the whole original is kept.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::Kind;
use crate::json::{self, Object, put};

/// The keys that can have the id of a shared object.
const MEDIA_IDS: [&str; 6] = [
    "ig_post_media_id",
    "reel_video_id",
    "story_media_id",
    "attachment_id",
    "sticker_id",
    "id",
];

/// Whether the update only says that there is a message, and does not have its content.
pub(super) fn is_placeholder(message: &Object) -> bool {
    json::flag(message, "is_unsupported")
}

/// The type and content of a message.
pub(super) fn read(message: Object) -> (Kind, Object) {
    let known = match is_placeholder(&message) {
        true => None,
        false => known(&message),
    };
    match known {
        Some((kind, mut content)) => {
            extras(&message, &mut content);
            (kind, content)
        }
        None => (Kind::Unsupported, json::raw(message)),
    }
}

/// The content of a pressed button.
pub(super) fn postback(postback: &Object) -> Object {
    let mut content = Object::new();
    put(&mut content, "text", json::text(postback, "title"));
    put(&mut content, "id", json::text(postback, "payload"));
    content.insert("kind".to_owned(), "postback".into());
    extras(postback, &mut content);
    content
}

/// Adds what any message may have: the advertisement that led to it, and the story that it answers.
fn extras(message: &Object, content: &mut Object) {
    json::copy(content, "referral", message);
    if let Some(answered) = json::inner(message, "reply_to") {
        json::copy(content, "story", answered);
    }
}

fn known(message: &Object) -> Option<(Kind, Object)> {
    let text = json::text(message, "text").filter(|text| !text.is_empty());
    if let Some(reply) = json::inner(message, "quick_reply") {
        let mut content = Object::new();
        put(&mut content, "text", text);
        put(&mut content, "id", json::text(reply, "payload"));
        content.insert("kind".to_owned(), "quick_reply".into());
        return Some((Kind::Interactive, content));
    }
    let attachments = attachments(message);
    let Some((first, others)) = attachments.split_first() else {
        let content = Object::from_iter([("text".to_owned(), text?.into())]);
        return Some((Kind::Text, content));
    };
    let (kind, mut content) = attachment(first)?;
    put(&mut content, "caption", text);
    let others: Vec<Value> = others.iter().map(|other| further(other)).collect();
    if !others.is_empty() {
        content.insert("attachments".to_owned(), others.into());
    }
    Some((kind, content))
}

/// The attachments without duplicates: a shared post is sent both as `share` and as `ig_post`, or twice.
fn attachments(message: &Object) -> Vec<&Object> {
    let all: Vec<&Object> = match message.get("attachments") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_object).collect(),
        Some(Value::Object(one)) => vec![one],
        _ => Vec::new(),
    };
    let mut seen = HashSet::new();
    let fresh = all.into_iter().filter(|attachment| {
        let payload = json::inner(attachment, "payload").unwrap_or(attachment);
        let ids = [media_id(payload), url(payload)];
        let duplicate = ids.iter().flatten().any(|id| seen.contains(id));
        seen.extend(ids.into_iter().flatten());
        !duplicate
    });
    fresh.collect()
}

/// An attachment after the first.
fn further(from: &Object) -> Value {
    match attachment(from) {
        Some((kind, content)) => {
            let mut further = Object::from_iter([("kind".to_owned(), kind.as_str().into())]);
            // A template has a kind of its own, inside.
            further.extend(content.into_iter().filter(|(key, _)| key != "kind"));
            further.into()
        }
        None => json!({"kind": Kind::Unsupported.as_str(), "raw": from}),
    }
}

/// One attachment.
///
/// A shared post, a story or a mention can be a picture or a video, and Instagram does not say which. So it is a document,
/// which promises no more than a link, and `attachment` has Instagram's name for it.
fn attachment(from: &Object) -> Option<(Kind, Object)> {
    let name = json::id(from, "type")?;
    let payload = json::inner(from, "payload").unwrap_or(from);
    let kind = match name.as_str() {
        "image" => Kind::Image,
        "video" => Kind::Video,
        "audio" => Kind::Audio,
        "file" => Kind::Document,
        "sticker" | "like_heart" => Kind::Sticker,
        "ig_reel" | "reel" => Kind::Video,
        "share" | "ig_post" | "post" | "ig_story" | "story_mention" | "fallback" => Kind::Document,
        "template" => return Some((Kind::Interactive, template(payload))),
        _ => return None,
    };
    let mut media = Object::new();
    put(&mut media, "id", media_id(payload));
    put(&mut media, "url", url(payload));
    put(&mut media, "name", json::text(payload, "title"));
    let mut content = Object::from_iter([("media".to_owned(), media.into())]);
    if !matches!(name.as_str(), "image" | "video" | "audio" | "file") {
        content.insert("attachment".to_owned(), name.into());
    }
    Some((kind, content))
}

fn media_id(payload: &Object) -> Option<String> {
    MEDIA_IDS.iter().find_map(|key| json::id(payload, key))
}

fn url(payload: &Object) -> Option<String> {
    let keys = ["url", "story_media_url", "link"];
    let mut urls = keys.iter().filter_map(|key| json::text(payload, key));
    urls.find(|url| !url.is_empty())
}

/// A card that the business or one of its apps has sent. Its text is the first title in it.
fn template(payload: &Object) -> Object {
    let generic = json::inner(payload, "generic").unwrap_or(payload);
    let elements = generic.get("elements").and_then(Value::as_array);
    let first = elements.and_then(|elements| elements.first()?.as_object());
    let title = first.and_then(|first| json::text(first, "title"));
    let mut content = Object::new();
    let text = title.or_else(|| json::text(payload, "text"));
    put(&mut content, "text", text);
    content.insert("kind".to_owned(), "template".into());
    content.insert("data".to_owned(), payload.clone().into());
    content
}
