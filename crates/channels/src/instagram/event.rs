//! One event of Instagram: its account, its author, and the item that it becomes.
//!
//! The content of a message is read in [`super::content`].
//!
//! Invariant: the contact of an event is always the customer, whoever caused the event.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::content;
use crate::json::{self, Object};
use crate::meta::{ignored, unreadable};
use crate::{
    Contact, DeliveryStatus, Direction, Edit, Identity, IdentityKind, Item, Kind, Message, Moment,
    Quoted, Reaction, Revoke, Sender, Status, Update,
};

/// The keys of known kinds of events, the most specific first. Other keys belong to kinds that are not messages.
const KINDS: [&str; 6] = [
    "message",
    "postback",
    "message_edit",
    "reaction",
    "read",
    "seen",
];

/// The keys that events of every kind have.
const ENVELOPE: [&str; 3] = ["sender", "recipient", "timestamp"];

/// The account and the time of an entry.
pub(super) struct Account {
    /// The account's id, if the entry says it.
    pub(super) id: Option<String>,
    /// When Meta sent the entry.
    pub(super) time: Option<Moment>,
}

impl Account {
    /// Adds an item for the account, even if its id is not known.
    pub(super) fn own(&self, update: &mut Update, item: Item) {
        update.add(self.id.as_deref(), item);
    }
}

/// Reads one event, and finds the account that it is for.
pub(super) fn read(raw: &RawValue, account: &Account, update: &mut Update) {
    let event = match json::object(raw.get()) {
        Ok(event) => event,
        Err(reason) => {
            account.own(update, unreadable(format!("an event: {reason}")));
            return;
        }
    };
    let sides = Sides::of(&event, account.id.as_deref());
    let item = item(event, &sides, account.time).unwrap_or_else(unreadable);
    let address = account.id.as_deref().or(sides.business.as_deref());
    update.add(address, item);
}

/// Who did something to whom.
struct Sides {
    direction: Direction,
    sender: Option<String>,
    customer: Option<String>,
    business: Option<String>,
    /// The account for which the customer's id is made.
    account: Option<String>,
}

impl Sides {
    /// An echo says that it is one; whatever else comes from the account itself is the business' doing,
    /// too.
    fn of(event: &Object, account: Option<&str>) -> Sides {
        let side = |key| json::inner(event, key).and_then(|side| json::id(side, "id"));
        let (sender, recipient) = (side("sender"), side("recipient"));
        let echo =
            json::inner(event, "message").is_some_and(|message| json::flag(message, "is_echo"));
        let own =
            account.is_some() && sender.as_deref() == account && recipient.as_deref() != account;
        let (direction, customer, business) = if echo || own {
            (Direction::Outbound, recipient, sender.clone())
        } else {
            (Direction::Inbound, sender.clone(), recipient)
        };
        Sides {
            direction,
            sender,
            customer,
            account: account.map(str::to_owned).or_else(|| business.clone()),
            business,
        }
    }

    /// Instagram's id for the customer is scoped to the account and all that comes; there are no names
    /// in a webhook.
    fn contact(&self) -> Result<Contact, &'static str> {
        let customer = self.customer.as_deref();
        let provider_id = customer.ok_or("a message without a sender")?;
        let account = self.account.as_deref().map(Arc::from);
        Ok(Contact {
            identities: vec![Identity::within(account, IdentityKind::Id, provider_id)],
            ..Contact::default()
        })
    }
}

fn item(event: Object, sides: &Sides, sent: Option<Moment>) -> Result<Item, &'static str> {
    let Some(kind) = kind_of(&event) else {
        return Err("an event that says nothing");
    };
    let timestamp = json::moment(&event, "timestamp").or(sent);
    let Some(body) = json::inner(&event, &kind) else {
        return match KINDS.contains(&kind.as_str()) {
            true => Err("an event that is not an object"),
            false => Ok(ignored(&kind)),
        };
    };
    match kind.as_str() {
        "message" if json::flag(body, "is_deleted") => Ok(Item::from(Revoke {
            provider_id: mid(body)?,
            timestamp,
        })),
        "message" => message(body, sides, timestamp),
        "postback" => postback(body, &event, sides, timestamp),
        "message_edit" => edit(body, timestamp),
        "reaction" => reaction(body, sides, timestamp),
        "read" | "seen" => Ok(seen(body, timestamp)),
        _ if json::id(body, "mid").is_some()
            && (body.contains_key("text") || body.contains_key("attachments")) =>
        {
            let provider_id = mid(body)?;
            let content = Object::from_iter([("raw".to_owned(), event.into())]);
            stored(provider_id, Kind::Unsupported, content, sides, timestamp)
        }
        _ => Ok(ignored(&kind)),
    }
}

fn kind_of(event: &Object) -> Option<String> {
    let says = |key: &&str| event.get(*key).is_some_and(|value| !value.is_null());
    let other = || {
        let mut keys = event.keys().map(String::as_str);
        keys.find(|key| !ENVELOPE.contains(key) && says(key))
    };
    let kind = KINDS.iter().find(|key| says(key)).copied();
    kind.or_else(other).map(str::to_owned)
}

fn mid(body: &Object) -> Result<String, &'static str> {
    json::id(body, "mid").ok_or("an event without the id of a message")
}

fn message(body: &Object, sides: &Sides, timestamp: Option<Moment>) -> Result<Item, &'static str> {
    let (kind, content) = content::read(body.clone());
    let mut item = stored(mid(body)?, kind, content, sides, timestamp)?;
    if let Item::Message(message) = &mut item {
        message.placeholder = content::is_placeholder(body);
        if let Some(answered) = json::inner(body, "reply_to") {
            message.reply_to = json::id(answered, "mid");
            message.quoted = Quoted::of(None, json::inner(answered, "story").cloned());
        }
    }
    Ok(item)
}

fn stored(
    provider_id: String,
    kind: Kind,
    content: Object,
    sides: &Sides,
    timestamp: Option<Moment>,
) -> Result<Item, &'static str> {
    Ok(Item::from(Message {
        provider_id,
        direction: sides.direction,
        contact: sides.contact()?,
        sender: Sender::default(),
        kind,
        content: content.into(),
        reply_to: None,
        quoted: None,
        timestamp: timestamp.map(|moment| moment.seconds),
        historic: false,
        placeholder: false,
        status: None,
    }))
}

/// The press of a button or of an ice breaker. Instagram shows its title like a message.
fn postback(
    body: &Object,
    event: &Object,
    sides: &Sides,
    timestamp: Option<Moment>,
) -> Result<Item, &'static str> {
    let provider_id = json::id(body, "mid").unwrap_or_else(|| postback_id(body, event, sides));
    stored(
        provider_id,
        Kind::Interactive,
        content::postback(body),
        sides,
        timestamp,
    )
}

/// An id for a postback without one, as they were before version 11 of the Graph API. It is made from the content and the
/// time in milliseconds, which are the same in a redelivery.
fn postback_id(body: &Object, event: &Object, sides: &Sides) -> String {
    let mut hash = Sha256::new();
    let parts = [
        sides.sender.clone(),
        json::text(event, "timestamp"),
        json::text(body, "payload"),
        json::text(body, "title"),
    ];
    for part in parts {
        let part = part.unwrap_or_default();
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    format!("postback:{}", HEXLOWER.encode(&hash.finalize()))
}

/// Reads an edit. Meta also sends one for messages that nobody edited, with `num_edit` 0 and without a text. It must not
/// clear the text.
fn edit(body: &Object, timestamp: Option<Moment>) -> Result<Item, &'static str> {
    let text = json::text(body, "text").filter(|text| !text.is_empty());
    let content = text.map(|text| Object::from_iter([("text".to_owned(), text.into())]));
    Ok(Item::from(Edit {
        provider_id: mid(body)?,
        content: content.map(|content| (Kind::Text, content.into())),
        timestamp,
    }))
}

/// A reaction has an `emoji`, a name for it (`reaction`), or both.
fn reaction(body: &Object, sides: &Sides, timestamp: Option<Moment>) -> Result<Item, &'static str> {
    let withdrawn = json::id(body, "action").is_some_and(|action| action == "unreact");
    let emoji = if withdrawn {
        None
    } else {
        let name = || match json::text(body, "reaction")?.as_str() {
            "" => None,
            "love" => Some("\u{2764}\u{fe0f}".to_owned()),
            name => Some(name.to_owned()),
        };
        let emoji = json::text(body, "emoji").filter(|emoji| !emoji.is_empty());
        Some(emoji.or_else(name).ok_or("a reaction without an emoji")?)
    };
    Ok(Item::from(Reaction {
        provider_id: mid(body)?,
        by: sides.sender.clone().ok_or("a reaction without a sender")?,
        emoji: emoji.map(|emoji| json::cut(&emoji, 64)),
        id: None,
        timestamp,
    }))
}

/// The customer has read all messages up to this one. If only a time is given, no message is known to be read.
fn seen(body: &Object, timestamp: Option<Moment>) -> Item {
    match json::id(body, "mid") {
        Some(provider_id) => Item::from(Status {
            provider_id,
            status: DeliveryStatus::Read,
            timestamp,
            error: None,
            our_id: None,
        }),
        None => ignored("read"),
    }
}
