//! The formats of the providers: reads their updates into plain values, and writes requests to their APIs.
//!
//! Each channel is one module of pure functions that turn bytes into an [`Update`]. A new channel is a new module, and one
//! line here. Nothing here uses a database, HTTP or the clock, and nothing decides what is done with a message.
//!
//! Invariant: no input causes a panic, and an unreadable item does not affect others: it becomes an [`Item::Unreadable`].
//! Time and memory are proportional to the input's bytes.

mod addresses;
pub mod api;
pub mod graph;
pub mod instagram;
mod json;
mod meta;
mod named;
mod people;
pub mod sample;
pub mod send;
pub mod signature;
pub mod telegram;
pub mod whatsapp;

pub use meta::BusinessChange;

use std::borrow::Cow;
use std::sync::Arc;

pub use people::{Blocked, Contact, Identity, IdentityKind, Renamed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The content of one request from a provider, in the order of the request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// The parts, each for one address. An update may have many addresses, and one address several times.
    pub parts: Vec<Part>,
}

/// The part of an update that is for one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The address: WhatsApp's `phone_number_id`, or the id of the Instagram account. `None` if the update has none, as from
    /// Telegram, whose address is in the URL, or if it is about a whole WhatsApp business account.
    pub address: Option<String>,
    /// The items of this part.
    pub items: Vec<Item>,
}

/// One piece of information in an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A message. It is stored and counted once.
    Message(Box<Message>),
    /// The delivery status of a message that the business has sent.
    Status(Box<Status>),
    /// A reaction to a message, or the removal of a reaction.
    Reaction(Box<Reaction>),
    /// A message was edited.
    Edit(Box<Edit>),
    /// A message was deleted by its sender. It stays counted.
    Revoke(Box<Revoke>),
    /// Somebody has another identity now.
    Renamed(Box<Renamed>),
    /// A contact blocked the business, or unblocked it.
    Blocked(Box<Blocked>),
    /// Something changed in a whole business account, and at none of its addresses.
    Business(Box<BusinessChange>),
    /// Known, but neither a message nor a change of one.
    Ignored {
        /// The provider's name for its kind.
        kind: String,
    },
    /// Not readable. It goes to quarantine, together with its update.
    Unreadable {
        /// Why, in a few words, without any of the content.
        reason: Cow<'static, str>,
        /// The number of consecutive items with the same reason.
        count: u64,
    },
}

impl Item {
    /// The number of items that it represents.
    pub fn count(&self) -> u64 {
        match self {
            Item::Unreadable { count, .. } => *count,
            _ => 1,
        }
    }
}

/// Makes an item of each of these types.
macro_rules! items {
    ($($Type:ident),+) => {$(
        impl From<$Type> for Item {
            fn from(value: $Type) -> Item {
                Item::$Type(Box::new(value))
            }
        }
    )+};
}
items!(Message, Status, Reaction, Edit, Revoke);

impl Part {
    /// Adds an item.
    fn add(&mut self, item: Item) {
        match (self.items.last_mut(), item) {
            (
                Some(Item::Unreadable { reason, count }),
                Item::Unreadable {
                    reason: again,
                    count: more,
                },
            ) if *reason == again => *count += more,
            (_, item) => self.items.push(item),
        }
    }
}

impl Update {
    /// Adds an item for an address.
    fn add(&mut self, address: Option<&str>, item: Item) {
        match self.parts.last_mut() {
            Some(part) if part.address.as_deref() == address => part.add(item),
            _ => self.parts.push(Part {
                address: address.map(str::to_owned),
                items: vec![item],
            }),
        }
    }
}

/// The content of a message: a JSON object, as text. Its keys depend on the message's type.
///
/// It is a text because it is stored as one, and because parsed values take many times as much memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(Box<str>);

impl Content {
    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Map<String, Value>> for Content {
    fn from(object: Map<String, Value>) -> Content {
        Content(Value::Object(object).to_string().into())
    }
}

named! {
    /// The direction of a message.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Direction {
        /// From the contact to the business.
        Inbound = "inbound",
        /// From the business to the contact.
        Outbound = "outbound",
    }
}

named! {
    /// The type of a message.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[allow(missing_docs, reason = "the names are the documentation")]
    pub enum Kind {
        Text = "text",
        Image = "image",
        Video = "video",
        Audio = "audio",
        Document = "document",
        Sticker = "sticker",
        Location = "location",
        Contacts = "contacts",
        Interactive = "interactive",
        Order = "order",
        System = "system",
        /// Written by a person, of a type that this version does not know.
        Unsupported = "unsupported",
    }
}

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The provider's id. It is unique within the inbox for ever, and identifies a redelivered message.
    pub provider_id: String,
    /// Its direction.
    pub direction: Direction,
    /// The contact: a person, or a group chat.
    pub contact: Contact,
    /// Who wrote it, as far as known. In a group this is a member, not the group.
    pub sender: Sender,
    /// Its type.
    pub kind: Kind,
    /// Its content. For `unsupported` this is `{"raw": …}` with the original.
    pub content: Content,
    /// The provider's id of the message that it answers.
    pub reply_to: Option<String>,
    /// Other information about the message that it answers.
    pub quoted: Option<Box<Quoted>>,
    /// When it was written, by the provider's clock, in seconds since 1970. `None` if absent, unreadable or outside the
    /// years 1970 to 9999.
    pub timestamp: Option<i64>,
    /// Whether it is from the time before the connection. Such a message is counted, but causes no event.
    pub historic: bool,
    /// Whether its content is missing, and may follow later with the same id. Until then it is `unsupported`.
    pub placeholder: bool,
    /// The delivery status that came with an outbound message, if any.
    pub status: Option<DeliveryStatus>,
}

/// What an update says about the message that another one answers, apart from its id. Never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// Its text, or the quoted part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The story, if it is one, as the provider describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<Map<String, Value>>,
}

impl Quoted {
    /// `None` if there is neither a text nor a story.
    fn of(text: Option<String>, story: Option<Map<String, Value>>) -> Option<Box<Quoted>> {
        let text = text.filter(|text| !text.is_empty());
        (text.is_some() || story.is_some()).then(|| Box::new(Quoted { text, story }))
    }
}

/// Who wrote a message, as far as known. Possibly nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Phone number, E.164 with `+`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// User name, without `@`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Arc<str>>,
}

named! {
    /// The delivery status of an outbound message. A status can only be followed by a later one in this order.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    pub enum DeliveryStatus {
        /// It waits to be sent.
        Queued = "queued",
        /// The provider has accepted it.
        Sent = "sent",
        /// It has reached the contact's device.
        Delivered = "delivered",
        /// The contact has opened it.
        Read = "read",
        /// It will not arrive. This can also happen after `sent`.
        Failed = "failed",
    }
}

/// A moment by the provider's clock, as precise as the provider gives it. It decides which of two changes is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970, up to the end of the year 9999.
    pub seconds: i64,
    /// Milliseconds after that second, 0 to 999.
    pub millis: i64,
}

impl Moment {
    /// A moment in whole seconds.
    pub fn seconds(seconds: i64) -> Moment {
        Moment { seconds, millis: 0 }
    }
}

/// A report of the delivery status of an outbound message.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The provider's id of the message.
    pub provider_id: String,
    /// The new status.
    pub status: DeliveryStatus,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
    /// The provider's error code and text, if it failed: see [`whatsapp::send::failure`].
    pub error: Option<String>,
    /// What we called the message when we sent it (WhatsApp): see [`send::message`].
    pub our_id: Option<String>,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// The provider's id of the message.
    pub provider_id: String,
    /// The provider's id of the person who reacts. One person has one reaction to a message.
    pub by: String,
    /// The emoji. `None` removes the reaction.
    pub emoji: Option<String>,
    /// The provider's id of this reaction, if it has one. It tells apart two equal reactions in the same second.
    pub id: Option<String>,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// An edit of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The provider's id of the message.
    pub provider_id: String,
    /// The new type and the whole new content. `None` if the provider only says that there was an edit.
    pub content: Option<(Kind, Content)>,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// The deletion of a message by its sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Revoke {
    /// The provider's id of the message.
    pub provider_id: String,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// The error for an update that does not have the provider's format at all, although its signature may be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Why, in a few words, without any of the content.
    pub reason: String,
}
