//! What providers send, as plain values; and what is asked of them and sent through them.
//!
//! Each channel is one module of pure functions: bytes in, a [`Update`] out. Adding a channel means
//! one such module, and one line here. Nothing here knows a database, HTTP or the time. This is not the
//! place for what is *done* with a message.
//!
//! Invariant: no input panics, and one bad item never costs its neighbours: what cannot be read comes
//! out as [`Item::Unreadable`], beside everything that can. Time and memory are in proportion to the input's bytes.

mod addresses;
pub mod api;
pub mod graph;
pub mod instagram;
mod json;
mod meta;
pub mod sample;
pub mod send;
pub mod signature;
pub mod telegram;
pub mod whatsapp;

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

/// Everything that one request from a provider says, in the order in which it says it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// The pieces, each for one address. A batch may name many addresses, and one address twice.
    pub parts: Vec<Part>,
}

/// The piece of an update that is for one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Whose it is: WhatsApp's `phone_number_id`, or the Instagram account's id. `None` where the
    /// update does not say (Telegram, where the URL does; a WhatsApp change for a whole business
    /// account).
    pub address: Option<String>,
    /// What it says.
    pub items: Vec<Item>,
}

/// One thing that a provider says.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Somebody wrote something: stored and counted, once.
    Message(Box<Message>),
    /// What became of a message that the business sent.
    Status(Box<Status>),
    /// A reaction to a message, or its withdrawal.
    Reaction(Box<Reaction>),
    /// A message has a new text.
    Edit(Box<Edit>),
    /// A message was withdrawn by its sender. It stays counted.
    Revoke(Box<Revoke>),
    /// A contact blocked the business (`true`) or unblocked it (`false`).
    Blocked {
        /// Who did it.
        contact: Box<Contact>,
        /// Whether the contact can no longer be written to.
        blocked: bool,
    },
    /// Known, and neither a message nor a change of one.
    Ignored {
        /// The provider's name for its kind.
        kind: String,
    },
    /// Could not be understood; goes to quarantine, with the update that it is from.
    Unreadable {
        /// Why, in a few words, without any of the content.
        reason: Cow<'static, str>,
        /// How many there are in a row, for the same reason.
        count: u64,
    },
}

impl Item {
    /// How many things it stands for.
    pub fn count(&self) -> u64 {
        match self {
            Item::Unreadable { count, .. } => *count,
            _ => 1,
        }
    }
}

impl From<Message> for Item {
    fn from(message: Message) -> Item {
        Item::Message(Box::new(message))
    }
}

impl From<Status> for Item {
    fn from(status: Status) -> Item {
        Item::Status(Box::new(status))
    }
}

impl From<Reaction> for Item {
    fn from(reaction: Reaction) -> Item {
        Item::Reaction(Box::new(reaction))
    }
}

impl From<Edit> for Item {
    fn from(edit: Edit) -> Item {
        Item::Edit(Box::new(edit))
    }
}

impl From<Revoke> for Item {
    fn from(revoke: Revoke) -> Item {
        Item::Revoke(Box::new(revoke))
    }
}

impl Part {
    /// Adds one more thing that it says.
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
    /// Adds one more thing that it says to an address.
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

/// What a message says: a JSON object, as text. Its keys depend on the message's kind.
///
/// It is text because that is stored, and because values take many times the memory that they are written with.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the contact to the business.
    Inbound,
    /// From the business to the contact.
    Outbound,
}

impl Direction {
    /// All of them.
    pub const ALL: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Kind {
    Text,
    Image,
    Video,
    Audio,
    Document,
    Sticker,
    Location,
    Contacts,
    Interactive,
    Order,
    System,
    /// Written by a person, of a kind that this version does not know.
    Unsupported,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Text,
        Kind::Image,
        Kind::Video,
        Kind::Audio,
        Kind::Document,
        Kind::Sticker,
        Kind::Location,
        Kind::Contacts,
        Kind::Interactive,
        Kind::Order,
        Kind::System,
        Kind::Unsupported,
    ];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Image => "image",
            Kind::Video => "video",
            Kind::Audio => "audio",
            Kind::Document => "document",
            Kind::Sticker => "sticker",
            Kind::Location => "location",
            Kind::Contacts => "contacts",
            Kind::Interactive => "interactive",
            Kind::Order => "order",
            Kind::System => "system",
            Kind::Unsupported => "unsupported",
        }
    }
}

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The provider's id, unique within the inbox for ever: the key by which a redelivery is known.
    pub provider_id: String,
    /// Which way it went.
    pub direction: Direction,
    /// The other side of the conversation: a person, or a group chat.
    pub contact: Contact,
    /// Who wrote it, as far as it is known. In a group this is a member, not the group.
    pub sender: Sender,
    /// What it is.
    pub kind: Kind,
    /// What it says. For `unsupported` it is `{"raw": …}`, the original.
    pub content: Content,
    /// The provider's id of the message that it answers.
    pub reply_to: Option<String>,
    /// What else the provider tells of what it answers.
    pub quoted: Option<Box<Quoted>>,
    /// The provider's clock, in seconds since 1970. `None` if absent, unreadable or outside the years
    /// 1970 to 9999.
    pub timestamp: Option<i64>,
    /// Handed over from the time before the connection: counted, but nobody is notified.
    pub historic: bool,
    /// Announced without its content, which may come later under the same id. It is `unsupported` until then.
    pub placeholder: bool,
    /// How far an outbound message had come when it was handed over, if that is said.
    pub status: Option<DeliveryStatus>,
}

/// What a provider tells of what a message answers, besides its id. Never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Quoted {
    /// What it says, or the part of it that is quoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The story that it is, as the provider describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<Map<String, Value>>,
}

impl Quoted {
    /// Of what is told, if anything is.
    fn of(text: Option<String>, story: Option<Map<String, Value>>) -> Option<Box<Quoted>> {
        let text = text.filter(|text| !text.is_empty());
        let told = text.is_some() || story.is_some();
        told.then(|| Box::new(Quoted { text, story }))
    }
}

/// The other side of a conversation. Its texts are shared by all messages that it is named in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// The provider's own id for it: the most durable one that came. Never empty.
    pub provider_id: Arc<str>,
    /// A second id of the same contact: WhatsApp's `wa_id` where `provider_id` is a business-scoped
    /// user id.
    pub alias: Option<Arc<str>>,
    /// Whether it is a group chat.
    pub group: bool,
    /// Display name.
    pub name: Option<Arc<str>>,
    /// Phone number, E.164 with `+`.
    pub phone: Option<String>,
    /// User name, without `@`.
    pub username: Option<Arc<str>>,
}

/// Who wrote a message: whatever is known, possibly nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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

/// How far an outbound message has come. The order is the one in which it may advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryStatus {
    /// It waits to be sent.
    Queued,
    /// The provider has it.
    Sent,
    /// It is on the contact's device.
    Delivered,
    /// The contact opened it.
    Read,
    /// It will not arrive. Real after `sent`, too.
    Failed,
}

impl DeliveryStatus {
    /// All of them, in the order in which they may follow each other.
    pub const ALL: [DeliveryStatus; 5] = [
        DeliveryStatus::Queued,
        DeliveryStatus::Sent,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
        DeliveryStatus::Failed,
    ];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Queued => "queued",
            DeliveryStatus::Sent => "sent",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Read => "read",
            DeliveryStatus::Failed => "failed",
        }
    }
}

/// A moment by the provider's clock, as fine as the provider says it: the finer one decides what came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970, up to the end of the year 9999.
    pub seconds: i64,
    /// Milliseconds beyond them, 0 to 999.
    pub millis: i64,
}

impl Moment {
    /// A moment in whole seconds.
    pub fn seconds(seconds: i64) -> Moment {
        Moment { seconds, millis: 0 }
    }
}

/// A report about an outbound message.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The message that it is about, if it names one.
    pub provider_id: String,
    /// How far it came.
    pub status: DeliveryStatus,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
    /// The provider's error code and words, where it failed: see [`whatsapp::send::failure`].
    pub error: Option<String>,
    /// What we called the message when we sent it (WhatsApp): see [`send::message`].
    pub our_id: Option<String>,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// The message that it is for.
    pub provider_id: String,
    /// Who reacts: the provider's id for the person. One person has one reaction on a message.
    pub by: String,
    /// The emoji, or `None` where the reaction is withdrawn.
    pub emoji: Option<String>,
    /// The provider's own id of this reaction, if it has one. Somebody who does the same twice in a moment has done
    /// it twice.
    pub id: Option<String>,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// A message's new content.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The message that it changes.
    pub provider_id: String,
    /// What the message is from now on, and the whole of what it says, or `None` if the provider only says that there
    /// was an edit.
    pub content: Option<(Kind, Content)>,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// A message withdrawn by its sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Revoke {
    /// The message that it withdraws.
    pub provider_id: String,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// An update that is not of the provider's format at all, although it may be correctly signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Why, in a few words, without any of the content.
    pub reason: String,
}
