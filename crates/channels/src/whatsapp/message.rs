//! One element of WhatsApp's lists of messages: its direction, its time, and the item that it becomes.
//!
//! The content of a message is read in [`super::content`], and its people in [`super::people`].
//!
//! Invariant: every element becomes exactly one item.

use serde_json::value::RawValue;

use super::people::{author, parties};
use super::scope::{Origin, Scope};
use super::{content, system};
use crate::json::{self, Object};
use crate::meta::{ignored, unreadable};
use crate::{DeliveryStatus, Direction, Edit, Item, Message, Moment, Reaction, Revoke};

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
        // Not written by a person.
        "system" => {
            Ok(system::renamed(&message, timestamp, scope).unwrap_or_else(|| ignored(&kind)))
        }
        "request_welcome" => Ok(ignored(&kind)),
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
            let direction = direction_of(&message, origin, scope);
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

/// The delivery status of a message in the history.
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

/// Reads a reaction. Without an emoji, or with an empty one, it removes the earlier reaction.
fn reaction(
    message: &Object,
    timestamp: Option<Moment>,
    origin: &Origin,
    scope: &Scope,
) -> Result<Reaction, &'static str> {
    let reaction = json::inner(message, "reaction").ok_or("a reaction without its object")?;
    let provider_id = json::id(reaction, "message_id").ok_or("a reaction to nothing")?;
    let by = match direction_of(message, origin, scope) {
        Direction::Inbound => author(message, scope).map(|author| author.provider_id().to_owned()),
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

/// The direction of a message.
///
/// The history does not say it. The `from` of a message is compared with the customer whose thread it is in, and with the
/// displayed number of the business. Only the last digits are compared, since the formats of the numbers differ. In Brazil
/// and Argentina even the digits do.
fn direction_of(message: &Object, origin: &Origin, scope: &Scope) -> Direction {
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
