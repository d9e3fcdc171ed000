//! One WhatsApp message: who, to whom, when, and what kind of item it is.
//!
//! Not the place for what it says: see [`super::content`].
//!
//! Invariant: a contact is known by an id that WhatsApp gave, never by a number that is shown.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::content;
use super::profiles::{Profile, Profiles};
use crate::json::{self, Object};
use crate::meta::{ignored, unreadable};
use crate::{
    Contact, DeliveryStatus, Direction, Edit, Item, Message, Moment, Reaction, Revoke, Sender,
};

/// What a change says besides its messages.
pub(super) struct Scope {
    /// The business' `phone_number_id`.
    pub(super) number_id: Option<String>,
    /// The business' number as it is displayed, in whatever format.
    pub(super) number: Option<String>,
    /// The profiles of the people in this change.
    pub(super) profiles: Profiles,
    /// Whether all messages of this change have the same `from`.
    pub(super) one_author: bool,
}

/// Why a message is in an update.
pub(super) enum Origin {
    /// Somebody wrote to the business.
    Live,
    /// The business wrote it in its phone app.
    Echo,
    /// It is older than the connection.
    History {
        /// The customer whose thread it is in, where the update sorts by threads.
        thread: Option<Arc<str>>,
    },
}

/// Reads one element of a list of messages.
pub(super) fn read(raw: &RawValue, origin: &Origin, scope: &Scope) -> Item {
    let message = match json::object(raw.get()) {
        Ok(message) => message,
        Err(reason) => return unreadable(format!("a message: {reason}")),
    };
    match item(message, origin, scope) {
        Ok(item) => item,
        Err(reason) => unreadable(reason),
    }
}

fn item(message: Object, origin: &Origin, scope: &Scope) -> Result<Item, &'static str> {
    let kind = content::kind_of(&message);
    let timestamp = json::seconds(&message, "timestamp").map(Moment::seconds);
    match kind.as_str() {
        // A number or an identity changed, or somebody opened the chat: nobody wrote anything.
        "system" | "request_welcome" => Ok(ignored(&kind)),
        "edit" => {
            let edit = json::inner(&message, "edit").ok_or("an edit of nothing")?;
            let inner = json::inner(edit, "message").cloned();
            Ok(Item::from(Edit {
                provider_id: original(edit)?,
                content: inner.and_then(content::edited),
                timestamp,
            }))
        }
        "revoke" => {
            let revoke = json::inner(&message, "revoke").ok_or("a revoke of nothing")?;
            Ok(Item::from(Revoke {
                provider_id: original(revoke)?,
                timestamp,
            }))
        }
        "reaction" => {
            let reaction = reaction(&message, timestamp, origin, scope)?;
            Ok(Item::from(reaction))
        }
        _ => {
            let provider_id = json::id(&message, "id").ok_or("a message without an id")?;
            let direction = direction(&message, origin, scope);
            let (contact, sender) =
                parties(&message, direction, origin, scope).ok_or("a message without a sender")?;
            let context = json::inner(&message, "context");
            let reply_to = context.and_then(|context| json::id(context, "id"));
            let status = match direction {
                Direction::Inbound => None,
                Direction::Outbound => status(&message),
            };
            let placeholder = content::is_placeholder(&kind);
            let (kind, content) = content::read(&kind, message);
            Ok(Item::from(Message {
                provider_id,
                direction,
                contact,
                sender,
                kind,
                content: content.into(),
                reply_to,
                quoted: None,
                timestamp: timestamp.map(|moment| moment.seconds),
                historic: matches!(origin, Origin::History { .. }),
                placeholder,
                status,
            }))
        }
    }
}

/// How far a message of history had come.
fn status(message: &Object) -> Option<DeliveryStatus> {
    let context = json::inner(message, "history_context")?;
    match json::id(context, "status")?.to_ascii_uppercase().as_str() {
        "PENDING" => Some(DeliveryStatus::Queued),
        "SENT" => Some(DeliveryStatus::Sent),
        "DELIVERED" => Some(DeliveryStatus::Delivered),
        "READ" | "PLAYED" => Some(DeliveryStatus::Read),
        "ERROR" => Some(DeliveryStatus::Failed),
        _ => None,
    }
}

fn original(change: &Object) -> Result<String, &'static str> {
    json::id(change, "original_message_id").ok_or("a change of a message that it does not name")
}

/// A reaction. One without an emoji, or with an empty one, takes the earlier one back.
fn reaction(
    message: &Object,
    timestamp: Option<Moment>,
    origin: &Origin,
    scope: &Scope,
) -> Result<Reaction, &'static str> {
    let reaction = json::inner(message, "reaction").ok_or("a reaction without its object")?;
    let provider_id = json::id(reaction, "message_id").ok_or("a reaction to nothing")?;
    let by = match direction(message, origin, scope) {
        Direction::Inbound => author(message, scope).map(|author| author.provider_id.to_string()),
        Direction::Outbound => scope
            .number_id
            .clone()
            .or_else(|| json::id(message, "from")),
    };
    let emoji = match reaction.get("emoji") {
        None | Some(serde_json::Value::Null) => None,
        Some(_) => Some(json::text(reaction, "emoji").ok_or("a reaction that is not text")?),
    };
    Ok(Reaction {
        provider_id,
        by: by.ok_or("a reaction without a sender")?,
        emoji: emoji
            .map(|emoji| json::cut(&emoji, 64))
            .filter(|emoji| !emoji.is_empty()),
        id: json::id(message, "id"),
        timestamp,
    })
}

/// Which way a message went.
///
/// History does not say it. A thread is the customer's, so what the customer did not write, the
/// business did; the displayed number comes last, and by its last digits only, for the formats of the
/// two differ (and in Brazil and Argentina even the digits do).
fn direction(message: &Object, origin: &Origin, scope: &Scope) -> Direction {
    let thread = match origin {
        Origin::Live => return Direction::Inbound,
        Origin::Echo => return Direction::Outbound,
        Origin::History { thread } => thread.as_deref(),
    };
    let from_me = json::inner(message, "history_context")
        .and_then(|context| context.get("from_me"))
        .or_else(|| message.get("from_me"))
        .and_then(serde_json::Value::as_bool);
    let outbound = from_me.unwrap_or_else(|| {
        let Some(from) = json::id(message, "from") else {
            return message.contains_key("to") && !message.contains_key("from_user_id");
        };
        let number = scope.number.as_deref();
        if thread.is_some_and(|thread| thread == from) {
            false
        } else if number.is_some_and(|number| same_number(&from, number)) {
            true
        } else if let Some(thread) = thread {
            !same_number(&from, thread)
        } else {
            message.contains_key("to")
        }
    });
    if outbound {
        Direction::Outbound
    } else {
        Direction::Inbound
    }
}

fn same_number(one: &str, other: &str) -> bool {
    let tail = |number: &str| -> Vec<char> {
        let digits = number.chars().rev().filter(char::is_ascii_digit);
        digits.take(8).collect()
    };
    let one = tail(one);
    one.len() == 8 && one == tail(other)
}

/// The other side of the conversation, and who wrote the message.
fn parties(
    message: &Object,
    direction: Direction,
    origin: &Origin,
    scope: &Scope,
) -> Option<(Contact, Sender)> {
    let (sender, person) = match direction {
        Direction::Inbound => {
            let author = author(message, scope)?;
            (named(&author), Some(author))
        }
        Direction::Outbound => {
            let sender = Sender {
                phone: json::id(message, "from").and_then(|from| json::phone(&from)),
                ..Sender::default()
            };
            (sender, recipient(message, origin, scope))
        }
    };
    let contact = match group(message) {
        Some(group) => Contact {
            provider_id: group.into(),
            group: true,
            ..Contact::default()
        },
        None => person?,
    };
    Some((contact, sender))
}

fn named(person: &Contact) -> Sender {
    Sender {
        name: person.name.clone(),
        phone: person.phone.clone(),
        username: person.username.clone(),
    }
}

fn group(message: &Object) -> Option<String> {
    json::id(message, "group_id").or_else(|| {
        let to_group = json::id(message, "recipient_type").is_some_and(|kind| kind == "group");
        to_group.then(|| json::id(message, "to")).flatten()
    })
}

fn author(message: &Object, scope: &Scope) -> Option<Contact> {
    person(
        json::id(message, "from_user_id").map(Arc::from),
        json::id(message, "from").map(Arc::from),
        scope,
    )
}

fn recipient(message: &Object, origin: &Origin, scope: &Scope) -> Option<Contact> {
    let thread = match origin {
        Origin::History { thread } => thread.clone(),
        _ => None,
    };
    let user_id =
        json::id(message, "to_user_id").or_else(|| json::id(message, "recipient_user_id"));
    person(
        user_id.map(Arc::from),
        thread.or_else(|| json::id(message, "to").map(Arc::from)),
        scope,
    )
}

/// Somebody of whom either id may be missing in the message and be in the profiles, or be nowhere.
///
/// The business-scoped user id comes first: a user who hides the number has no other, and one who shows
/// it has both.
fn person(user_id: Option<Arc<str>>, wa_id: Option<Arc<str>>, scope: &Scope) -> Option<Contact> {
    let known = profile(user_id.as_deref(), wa_id.as_deref(), scope);
    let user_id = user_id.or_else(|| known?.user_id.clone());
    let wa_id = wa_id.or_else(|| known?.wa_id.clone());
    let phone = wa_id.as_deref().and_then(json::phone);
    let (provider_id, alias) = match (user_id, wa_id) {
        (Some(user_id), wa_id) => (user_id, wa_id),
        (None, wa_id) => (wa_id?, None),
    };
    Some(Contact {
        alias: alias.filter(|alias| *alias != provider_id),
        provider_id,
        group: false,
        name: known.and_then(|known| known.name.clone()),
        phone,
        username: known.and_then(|known| known.username.clone()),
    })
}

/// The profile that belongs to an id.
///
/// Profiles name people and are not in the order of the messages. A single one belongs to a single
/// author even if the two ids differ (`wa_id` is sometimes spelled otherwise than `from`), and to every
/// message that has no id.
fn profile<'a>(
    user_id: Option<&str>,
    wa_id: Option<&str>,
    scope: &'a Scope,
) -> Option<&'a Profile> {
    scope.profiles.find(user_id, wa_id).or_else(|| {
        let nameless = user_id.is_none() && wa_id.is_none();
        let only = scope.profiles.only();
        only.filter(|_| scope.one_author || nameless)
    })
}
