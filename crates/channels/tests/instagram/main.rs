//! Instagram, row by row of what is a message, and the traps.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod batch;
#[path = "../common/mod.rs"]
mod common;
mod content;
mod events;

use channels::{
    DeliveryStatus, Direction, Edit, Item, Kind, Message, Moment, Reaction, Revoke, Status, Update,
    instagram,
};
use common::{ignored, items, message, message_ids, only, unreadable};
use serde_json::{Value, json};

const ADA: &str = "900";
const BUSINESS: &str = "17841400000000001";

fn parse(body: &Value) -> Update {
    instagram::parse(body.to_string().as_bytes()).unwrap()
}

fn entry(list: &str, events: Value) -> Value {
    json!({
        "object": "instagram",
        "entry": [{"id": BUSINESS, "time": 1_700_000_000_123_i64, list: events}],
    })
}

/// When an [`event`] happens.
const WHEN: Moment = Moment {
    seconds: 1_700_000_000,
    millis: 500,
};

fn event(rest: Value) -> Value {
    let mut event = json!({
        "sender": {"id": ADA},
        "recipient": {"id": BUSINESS},
        "timestamp": 1_700_000_000_500_i64,
    });
    event
        .as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    event
}

fn one(rest: Value) -> Item {
    only(parse(&entry("messaging", json!([event(rest)]))))
}

fn written(message: Value) -> Message {
    common::message(one(json!({"message": message})))
}

fn content(message: Value) -> (Kind, Value) {
    let message = written(message);
    (message.kind, common::value(&message.content))
}
