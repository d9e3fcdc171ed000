//! WhatsApp, row by row of what is a message, and the traps.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod batch;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod content;
mod people;

use channels::{
    DeliveryStatus, Direction, Edit, Item, Kind, Moment, Reaction, Revoke, Status, whatsapp,
};
use common::{identities, ignored, items, known_by, message, message_ids, only, unreadable};
use serde_json::{Value, json};

const ADA: &str = "4915112345678";
const BUSINESS: &str = "49301234567";

fn parse(body: &Value) -> channels::Update {
    whatsapp::parse(body.to_string().as_bytes()).unwrap()
}

fn update(field: &str, value: Value) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "waba-1", "changes": [{"field": field, "value": value}]}],
    })
}

fn metadata() -> Value {
    json!({"display_phone_number": BUSINESS, "phone_number_id": "106"})
}

/// A value with messages of somebody who is known by number and name.
fn from_ada(messages: Value) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(),
        "contacts": [{"profile": {"name": "Ada"}, "wa_id": ADA}],
        "messages": messages,
    })
}

/// A message's envelope, with `rest` in it.
fn envelope(rest: Value) -> Value {
    let mut message = json!({"from": ADA, "id": "wamid.1", "timestamp": "1700000000"});
    let rest = rest.as_object().unwrap().clone();
    message.as_object_mut().unwrap().extend(rest);
    message
}

fn one(rest: Value) -> Item {
    only(parse(&update(
        "messages",
        from_ada(json!([envelope(rest)])),
    )))
}

fn content(rest: Value) -> (Kind, Value) {
    let message = message(one(rest));
    (message.kind, common::value(&message.content))
}

fn message_of(value: Value) -> channels::Message {
    message(only(parse(&update("messages", value))))
}
