//! Updates of Telegram's Bot API.
//!
//! This file reads the kind of an update, its chat and its author. `telegram::content` reads the content of messages. Only
//! the URL says which bot an update is for.
//!
//! Invariant: a provider id made here identifies one message of one chat of one account, for ever. Telegram's own
//! `message_id` does not.

pub mod bot_api;
mod content;
mod entities;
pub mod send;
mod topic;

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{self, Object};
use crate::meta::{ignored, unreadable};
use crate::{
    Blocked, Contact, Direction, Edit, Identity, IdentityKind, Item, Kind, Malformed, Message,
    Moment, Quoted, Reaction, Renamed, Revoke, Sender, Update,
};
use content::Content;

/// Reads one update. It becomes a single part without an address.
///
/// An update of an unknown kind is ignored, unless it has the form of a person's message. Then it is kept as one.
///
/// # Errors
///
/// If the body is no JSON object, or one that cannot be an update.
pub fn parse(body: &[u8]) -> Result<Update, Malformed> {
    let body = json::repair(body);
    let malformed = |reason: &str| Malformed {
        reason: reason.to_owned(),
    };
    let frame = json::frame(&body).ok_or_else(|| malformed("not a JSON object"))?;
    let mut update = Update::default();
    let id = json::frame_id(&frame, "update_id");
    for (kind, raw) in &frame {
        if kind != "update_id" {
            read(kind, raw, id.as_deref(), &mut update);
        }
    }
    if update.parts.is_empty() {
        if !frame.contains_key("update_id") {
            return Err(malformed("not an update"));
        }
        update.add(None, ignored("empty"));
    }
    Ok(update)
}

fn read(kind: &str, raw: &RawValue, id: Option<&str>, update: &mut Update) {
    let object = match json::object(raw.get()) {
        Ok(object) => object,
        Err(reason) => {
            update.add(None, unreadable(format!("an update: {reason}")));
            return;
        }
    };
    let item = match kind {
        "message" | "business_message" => message(object),
        "edited_message" | "edited_business_message" => edit(object),
        "deleted_business_messages" => match revokes(&object) {
            Ok(revokes) => return revokes.for_each(|revoke| update.add(None, revoke)),
            Err(reason) => Err(reason),
        },
        "message_reaction" => reaction(&object, id),
        "my_chat_member" => membership(&object, id),
        "channel_post" | "edited_channel_post" => Ok(ignored(kind)),
        _ => unknown(kind, object),
    };
    update.add(None, item.unwrap_or_else(unreadable));
}

/// Who wrote a message.
enum Author {
    Person(Sender),
    /// Nobody whose message is stored, and why.
    Nobody(&'static str),
}

fn message(message: Object) -> Result<Item, &'static str> {
    let chat = Chat::of(&message)?;
    if chat.channel {
        return Ok(ignored("channel_post"));
    }
    let (kind, content) = match content::read(&message) {
        Content::Known(kind, content) => (kind, content),
        Content::Service(kind) => {
            return Ok(moved(&message, &chat).unwrap_or_else(|| ignored(kind)));
        }
        Content::Unknown => (Kind::Unsupported, raw(message.clone())),
    };
    stored(&message, &chat, kind, content)
}

/// A group that becomes a supergroup has another id from then on. Both chats say so.
fn moved(message: &Object, chat: &Chat) -> Option<Item> {
    let other = |key| json::int(message, key).map(chat_id);
    let here = chat_id(chat.id);
    let (now, before) = match other("migrate_to_chat_id") {
        Some(new) => (new, here),
        None => (here, other("migrate_from_chat_id")?),
    };
    Some(Item::Renamed(Box::new(Renamed {
        contact: Contact {
            identities: vec![now],
            ..chat.contact.clone()
        },
        former: vec![before],
        timestamp: moment(message, "date"),
    })))
}

fn chat_id(id: i64) -> Identity {
    Identity::new(IdentityKind::ChatId, id.to_string())
}

fn stored(
    message: &Object,
    chat: &Chat,
    kind: Kind,
    mut content: Object,
) -> Result<Item, &'static str> {
    json::put(&mut content, "topic", topic::of(message));
    let sender = match author(message, chat)? {
        Author::Person(sender) => sender,
        Author::Nobody(why) => return Ok(ignored(why)),
    };
    let message_id = json::int(message, "message_id").ok_or("a message without an id")?;
    Ok(Item::from(Message {
        provider_id: chat.message(message_id),
        direction: direction(message, chat),
        contact: chat.contact.clone(),
        sender,
        kind,
        content: content.into(),
        reply_to: reply_to(message, chat),
        quoted: quoted(message),
        timestamp: json::seconds(message, "date"),
        historic: false,
        placeholder: false,
        status: None,
    }))
}

fn raw(message: Object) -> Object {
    Object::from_iter([("raw".to_owned(), Value::Object(message))])
}

/// A new version of a message: text, caption, or media.
fn edit(message: Object) -> Result<Item, &'static str> {
    let chat = Chat::of(&message)?;
    if let Author::Nobody(why) = author(&message, &chat)? {
        return Ok(ignored(why));
    }
    let message_id = json::int(&message, "message_id").ok_or("an edit of nothing")?;
    let timestamp = moment(&message, "edit_date").or_else(|| moment(&message, "date"));
    let topic = topic::of(&message);
    let (kind, mut content) = match content::read(&message) {
        Content::Known(kind, content) => (kind, content),
        Content::Service(kind) => return Ok(ignored(kind)),
        Content::Unknown => (Kind::Unsupported, raw(message)),
    };
    json::put(&mut content, "topic", topic);
    Ok(Item::from(Edit {
        provider_id: chat.message(message_id),
        content: Some((kind, content.into())),
        timestamp,
    }))
}

/// Reads the deletion of messages in a chat of a connected business account.
fn revokes(deleted: &Object) -> Result<impl Iterator<Item = Item>, &'static str> {
    let chat = Chat::of(deleted)?;
    let ids = deleted.get("message_ids").and_then(Value::as_array);
    let ids = ids.ok_or("a deletion of nothing")?;
    Ok(ids.iter().map(move |id| match json::int_of(id) {
        Some(id) => Item::from(Revoke {
            provider_id: chat.message(id),
            timestamp: None,
        }),
        None => unreadable("a deletion of a message without an id"),
    }))
}

/// Reads the current reaction of one member to a message. Several emojis of one member are one reaction.
fn reaction(change: &Object, update: Option<&str>) -> Result<Item, &'static str> {
    let chat = Chat::of(change)?;
    let message_id = json::int(change, "message_id").ok_or("a reaction to nothing")?;
    let by = match (
        json::inner(change, "user"),
        json::inner(change, "actor_chat"),
    ) {
        (Some(user), _) if json::flag(user, "is_bot") => return Ok(ignored("bot")),
        (Some(user), _) => json::int(user, "id"),
        (None, Some(chat)) => json::int(chat, "id"),
        (None, None) => None,
    };
    let new = change.get("new_reaction").and_then(Value::as_array);
    let new = new.ok_or("a reaction that says nothing")?;
    let emoji: String = new.iter().filter_map(Value::as_object).map(shown).collect();
    Ok(Item::from(Reaction {
        provider_id: chat.message(message_id),
        by: by.ok_or("a reaction without a sender")?.to_string(),
        emoji: (!emoji.is_empty()).then(|| json::cut(&emoji, 64)),
        id: update.map(str::to_owned),
        timestamp: moment(change, "date"),
    }))
}

/// Telegram's times are in whole seconds.
fn moment(of: &Object, key: &str) -> Option<Moment> {
    json::seconds(of, key).map(Moment::seconds)
}

/// The text of a reaction. A custom emoji is an image and a paid reaction a star, so they are shown as a star.
fn shown(reaction: &Object) -> String {
    let star = "\u{2b50}";
    json::text(reaction, "emoji")
        .filter(|emoji| !emoji.is_empty())
        .unwrap_or_else(|| star.to_owned())
}

/// Reads a change of the bot's own membership. In a private chat it says whether the bot may write.
fn membership(change: &Object, update: Option<&str>) -> Result<Item, &'static str> {
    let chat = Chat::of(change)?;
    let new = json::inner(change, "new_chat_member").and_then(|new| json::id(new, "status"));
    let blocked = match new.as_deref() {
        Some("kicked") => true,
        Some("member") => false,
        _ => return Ok(ignored("my_chat_member")),
    };
    if chat.contact.group {
        return Ok(ignored("my_chat_member"));
    }
    let update = update.and_then(|id| id.parse().ok());
    Ok(Item::Blocked(Box::new(Blocked {
        contact: chat.contact,
        blocked,
        timestamp: moment(change, "date"),
        update: update.unwrap_or(0),
    })))
}

/// Reads an update of an unknown kind, which Telegram adds every few months. With a chat, an id and a person it is a
/// person's message.
fn unknown(kind: &str, object: Object) -> Result<Item, &'static str> {
    let looks_written = json::int(&object, "message_id").is_some()
        && (json::inner(&object, "from").is_some()
            || json::inner(&object, "sender_chat").is_some());
    match Chat::of(&object) {
        Ok(chat) if looks_written && !chat.channel => {
            stored(&object, &chat, Kind::Unsupported, raw(object.clone()))
        }
        _ => Ok(ignored(kind)),
    }
}

/// The chat of an update.
struct Chat {
    id: i64,
    /// The connection through which a business lets the bot see its own account's chats.
    connection: Option<String>,
    channel: bool,
    /// Who it is with: a person, or the group. In the direct messages of a channel that is whoever opened the topic.
    contact: Contact,
    /// The person, if it is with one whom the chat's id does not name.
    topic_of: Option<i64>,
}

impl Chat {
    fn of(from: &Object) -> Result<Chat, &'static str> {
        let chat = json::inner(from, "chat").ok_or("an update without a chat")?;
        let id = json::int(chat, "id").ok_or("a chat without an id")?;
        // People's ids are positive, those of groups and channels negative.
        let kind = json::id(chat, "type");
        let private = kind.as_deref().map_or(id > 0, |kind| kind == "private");
        let writer = topic::writer(from);
        let contact = match writer {
            Some((user, writer)) => person(user, writer),
            None if private => person(id, chat),
            None => Contact {
                identities: vec![chat_id(id)],
                group: true,
                ..person(id, chat)
            },
        };
        Ok(Chat {
            id,
            connection: json::id(from, "business_connection_id"),
            channel: kind.as_deref() == Some("channel"),
            contact,
            topic_of: writer.map(|(user, _)| user),
        })
    }

    /// The id of a message in this chat.
    ///
    /// `message_id` is unique within the chats of one account only. A customer's chat with the bot and the same customer's
    /// chat with a connected business account have the same `chat.id`, but are independent (see `business_connection_id` in
    /// the Bot API). So the connection is a part of the id. Otherwise messages of one chat could be taken for messages of
    /// the other. If the business connects again, it gets a new connection, and later edits of older messages find no
    /// message. That is the smaller loss.
    fn message(&self, message_id: i64) -> String {
        match &self.connection {
            Some(connection) => format!("{connection}:{}:{message_id}", self.id),
            None => format!("{}:{message_id}", self.id),
        }
    }
}

fn person(id: i64, named: &Object) -> Contact {
    Contact {
        identities: vec![Identity::new(IdentityKind::UserId, id.to_string())],
        group: false,
        name: json::name(named, "title")
            .or_else(|| full_name(named))
            .map(Arc::from),
        phone: None,
        username: username(named),
    }
}

/// The direction of a message. In a connected business account's chat, and in the direct messages of a channel, a message
/// that the customer did not write is from the business.
fn direction(message: &Object, chat: &Chat) -> Direction {
    let customer = match (&chat.connection, chat.topic_of) {
        (_, Some(user)) => user,
        (Some(_), None) => chat.id,
        (None, None) => return Direction::Inbound,
    };
    match json::inner(message, "from").and_then(|from| json::int(from, "id")) {
        Some(from) if from != customer => Direction::Outbound,
        _ => Direction::Inbound,
    }
}

/// Who wrote a message.
///
/// `sender_chat` comes first: a person can write in the name of a group or channel. For old bots, `from` is then one of
/// Telegram's own accounts.
fn author(message: &Object, chat: &Chat) -> Result<Author, &'static str> {
    if json::flag(message, "is_automatic_forward") {
        return Ok(Author::Nobody("automatic_forward"));
    }
    if let Some(sender) = json::inner(message, "sender_chat") {
        return Ok(Author::Person(Sender {
            name: json::name(sender, "title").map(Arc::from),
            username: username(sender),
            phone: None,
        }));
    }
    let from = json::inner(message, "from");
    let bot = from.is_some_and(|from| json::flag(from, "is_bot"));
    if bot || json::inner(message, "sender_business_bot").is_some() {
        return Ok(Author::Nobody("bot"));
    }
    match from {
        Some(from) => Ok(Author::Person(Sender {
            name: full_name(from).map(Arc::from),
            username: username(from),
            phone: None,
        })),
        None if !chat.contact.group => Ok(Author::Person(Sender {
            name: chat.contact.name.clone(),
            username: chat.contact.username.clone(),
            phone: None,
        })),
        None => Err("a message without a sender"),
    }
}

fn username(of: &Object) -> Option<Arc<str>> {
    json::username(of, "username").map(Arc::from)
}

fn full_name(person: &Object) -> Option<String> {
    let parts = ["first_name", "last_name"];
    let parts: Vec<String> = parts
        .iter()
        .filter_map(|key| json::name(person, key))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The message that this one answers, in the same chat or, as an external reply, in another.
fn reply_to(message: &Object, chat: &Chat) -> Option<String> {
    if let Some(original) = original(message) {
        return Some(chat.message(json::int(original, "message_id")?));
    }
    let external = json::inner(message, "external_reply")?;
    let elsewhere = json::int(json::inner(external, "chat")?, "id")?;
    let message_id = json::int(external, "message_id")?;
    Some(format!("{elsewhere}:{message_id}"))
}

/// The text of that message: the quoted part, otherwise the whole text.
fn quoted(message: &Object) -> Option<Box<Quoted>> {
    let text = |of: &Object| json::text(of, "text").or_else(|| json::text(of, "caption"));
    let part = json::inner(message, "quote").and_then(text);
    let text = part.or_else(|| original(message).and_then(text));
    let story = json::inner(message, "reply_to_story").cloned();
    Quoted::of(text, story)
}

/// The message that this one answers. In a topic, a message that answers nothing has the message that opened the topic here,
/// which does not count.
fn original(message: &Object) -> Option<&Object> {
    let original = json::inner(message, "reply_to_message")?;
    (!original.contains_key("forum_topic_created")).then_some(original)
}
