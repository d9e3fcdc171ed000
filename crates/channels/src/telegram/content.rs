//! What a Telegram message says, in the crate's own words.
//!
//! Not the place for who says it, and where: see [`super`].
//!
//! Invariant: only what is known to be no message is left out, by its key or by how its key is formed; whatever else a
//! later version of the Bot API brings is a message.

use serde_json::Value;

use super::entities;
use crate::Kind;
use crate::json::{self, Object, put};

/// What Telegram itself writes into a chat: never what a person says.
const SERVICE: [&str; 60] = [
    "new_chat_members",
    "new_chat_member",
    "new_chat_participant",
    "left_chat_member",
    "left_chat_participant",
    "chat_owner_left",
    "chat_owner_changed",
    "new_chat_title",
    "new_chat_photo",
    "delete_chat_photo",
    "group_chat_created",
    "supergroup_chat_created",
    "channel_chat_created",
    "message_auto_delete_timer_changed",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
    "pinned_message",
    "successful_payment",
    "refunded_payment",
    "users_shared",
    "user_shared",
    "chat_shared",
    "gift",
    "unique_gift",
    "gift_upgrade_sent",
    "connected_website",
    "write_access_allowed",
    "passport_data",
    "proximity_alert_triggered",
    "boost_added",
    "chat_background_set",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "direct_message_price_changed",
    "paid_message_price_changed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_closed",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "giveaway_created",
    "giveaway_completed",
    "suggested_post_approved",
    "suggested_post_approval_failed",
    "suggested_post_declined",
    "suggested_post_paid",
    "suggested_post_refunded",
    "poll_option_added",
    "poll_option_deleted",
    "managed_bot_created",
    "video_chat_scheduled",
    "video_chat_started",
    "video_chat_ended",
    "video_chat_participants_invited",
    "voice_chat_scheduled",
    "voice_chat_started",
    "voice_chat_ended",
    "voice_chat_participants_invited",
    "giveaway_winners",
];

/// How the keys end under which Telegram says that something was done. What a person says is a thing, so its key is a
/// noun. New keys of both kinds come every few months.
const DONE: [&str; 28] = [
    "_added",
    "_allowed",
    "_approved",
    "_changed",
    "_closed",
    "_completed",
    "_created",
    "_declined",
    "_deleted",
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

/// The objects and lists that stand beside what a message says.
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

/// What is in a message.
pub(super) enum Content {
    /// Something that a person says.
    Known(Kind, Object),
    /// Something that Telegram says, by its key.
    Service(&'static str),
    /// Neither that nor anything known.
    Unknown,
}

/// Reads the content of a message. What a person says comes first: a service message has none of it.
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
        None if only_tells_what_was_done(message) => Content::Service("service_message"),
        None => Content::Unknown,
    }
}

/// Whether a message says that something was done, and nothing else.
fn only_tells_what_was_done(message: &Object) -> bool {
    let is_done = |key: &str| DONE.iter().any(|done| key.ends_with(done));
    let is_thing = |value: &Value| value.is_object() || value.is_array();
    let says_more = message
        .iter()
        .any(|(key, value)| is_thing(value) && !is_done(key) && !BESIDE.contains(&key.as_str()));
    message.keys().any(|key| is_done(key)) && !says_more
}

/// The order matters in two places: an `animation` also comes as a `document`, for the sake of old
/// bots, and a `venue` also as a `location`.
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
        (Kind::Location, self::location(location)?)
    } else if let Some(contact) = inner("contact") {
        let contacts = Value::from(vec![Value::Object(contact.clone())]);
        let content = Object::from_iter([("contacts".to_owned(), contacts)]);
        (Kind::Contacts, content)
    } else {
        return None;
    };
    Some(known)
}

/// A photo comes in several sizes of which each is the whole picture.
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

fn location(from: &Object) -> Option<Object> {
    let mut content = Object::new();
    put(
        &mut content,
        "latitude",
        Some(json::number(from, "latitude")?),
    );
    put(
        &mut content,
        "longitude",
        Some(json::number(from, "longitude")?),
    );
    Some(content)
}

fn venue(venue: &Object) -> Option<Object> {
    let mut content = location(json::inner(venue, "location")?)?;
    put(&mut content, "name", json::text(venue, "title"));
    put(&mut content, "address", json::text(venue, "address"));
    Some(content)
}

/// What a mini app sends in the name of the person who filled it in.
fn web_app_data(app: &Object) -> Object {
    let mut content = Object::new();
    put(&mut content, "text", json::text(app, "button_text"));
    content.insert("kind".to_owned(), "web_app_data".into());
    put(
        &mut content,
        "data",
        json::text(app, "data").map(json::embedded),
    );
    content
}
