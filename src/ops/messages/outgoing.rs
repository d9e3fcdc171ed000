//! What is sent, as it is stored: content as messages show it, and beside it the way on which it goes.
//!
//! Invariant: what is read here is what was written here.

use crate::{domain::Channel, error::Error, ops::Context};
use channels::send::outgoing::{INSTAGRAM, LIVECHAT, Limits, Outgoing, TELEGRAM, WHATSAPP};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How a message goes to its contact, beside the contact's own address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ops) struct Way {
    /// Telegram: the connection to a business account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) connection: Option<String>,
    /// Telegram: the topic of a forum, or of a channel's direct messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) topic: Option<i64>,
    /// Telegram: the chat of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) topic_chat: Option<i64>,
    /// Telegram: the chat that the contact's group has become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) chat: Option<i64>,
    /// Whether links are shown with a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::ops) preview_url: Option<bool>,
}

impl Way {
    /// The way on which a message came, by its key and content: an answer takes the same.
    pub(in crate::ops) fn of(channel: Channel, key: &str, content: &str) -> Self {
        if channel != Channel::Telegram {
            return Way::default();
        }
        // Without a connection there are two parts: see `channels::telegram`.
        let mut parts = key.rsplitn(3, ':').skip(1);
        let chat = parts.next().and_then(|chat| chat.parse().ok());
        let content: Map<String, Value> = serde_json::from_str(content).unwrap_or_default();
        let topic = content.get("topic").and_then(topic);
        Way {
            connection: parts.next().map(str::to_owned),
            topic,
            topic_chat: chat.filter(|_| topic.is_some()),
            ..Way::default()
        }
    }

    /// Reads what is stored.
    pub(in crate::ops) fn read(text: Option<&str>) -> Result<Self, Error> {
        text.map_or(Ok(Way::default()), |text| {
            serde_json::from_str(text).map_err(damaged)
        })
    }

    /// As it is stored; `None` if it says nothing.
    pub(in crate::ops) fn write(&self) -> Result<Option<String>, Error> {
        if *self == Way::default() {
            return Ok(None);
        }
        serde_json::to_string(self).map(Some).map_err(damaged)
    }
}

/// A topic is a number, or an object with its id.
fn topic(value: &Value) -> Option<i64> {
    let id = value.get("id").unwrap_or(value);
    id.as_i64().or_else(|| id.as_str()?.parse().ok())
}

/// What a channel takes.
pub(super) fn limits(channel: Channel) -> &'static Limits {
    match channel {
        Channel::Whatsapp => &WHATSAPP,
        Channel::Instagram => &INSTAGRAM,
        Channel::Telegram => &TELEGRAM,
        Channel::Livechat => &LIVECHAT,
    }
}

/// The type under which a message is stored.
pub(super) fn kind(outgoing: &Outgoing) -> &'static str {
    match outgoing {
        Outgoing::Text { .. } => "text",
        Outgoing::Location { .. } => "location",
    }
}

/// Its content, as it is stored and shown.
pub(super) fn content(outgoing: &Outgoing) -> String {
    let content = match outgoing {
        Outgoing::Text { text, .. } => json!({"text": text}),
        Outgoing::Location {
            latitude,
            longitude,
            name,
            address,
        } => {
            let mut content = json!({"latitude": latitude, "longitude": longitude});
            for (key, text) in [("name", name), ("address", address)] {
                if let Some(text) = text {
                    content[key] = text.as_str().into();
                }
            }
            content
        }
    };
    content.to_string()
}

/// What a stored message says, to be sent.
pub(in crate::ops) fn read(kind: &str, content: &str, way: &Way) -> Result<Outgoing, Error> {
    let content: Map<String, Value> = serde_json::from_str(content).map_err(damaged)?;
    let text = |key: &str| content.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| content.get(key).and_then(Value::as_f64);
    let outgoing = match kind {
        "text" => text("text").map(|text| Outgoing::Text {
            text,
            preview_url: way.preview_url,
        }),
        "location" => {
            let place = number("latitude").zip(number("longitude"));
            place.map(|(latitude, longitude)| Outgoing::Location {
                latitude,
                longitude,
                name: text("name"),
                address: text("address"),
            })
        }
        _ => None,
    };
    outgoing.ok_or_else(|| Error::Internal(format!("a stored {kind} cannot be sent")))
}

fn damaged(error: serde_json::Error) -> Error {
    Error::Internal(format!("a stored message is damaged: {error}"))
}

/// Until when a message that is accepted now is tried, in milliseconds since 1970.
pub(in crate::ops) fn expiry(context: &Context) -> i64 {
    let patience = i64::try_from(context.send_patience.as_millis()).unwrap_or(i64::MAX);
    context.clock.millis().saturating_add(patience)
}
