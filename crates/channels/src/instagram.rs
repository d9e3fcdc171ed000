//! Instagram messaging webhooks.
//!
//! This file walks the envelope, in all the shapes that it comes in, and says whose each event is. What
//! an event is, is read in `instagram::event`, and what a message says in `instagram::content`.
//!
//! Invariant: every event comes out as exactly one item, in whichever list and shape it came.

mod content;
mod event;

use serde_json::value::RawValue;

use crate::json::{self, Frame};
use crate::meta::{self, unreadable};
use crate::{Delivery, Item, Malformed, Part};
use event::Account;

/// What Meta's dashboard puts where the account's id belongs when somebody presses Test.
const TEST_ENTRY: &str = "0";

/// The keys under which events have been seen in the value of a change.
const EVENTS: [&str; 5] = ["message", "postback", "message_edit", "reaction", "read"];

/// Reads one webhook request: all of it, in the order in which it came.
///
/// Events stand in `messaging`, in `standby` (another app has the conversation), or, if they come from
/// the dashboard's Test button, in `changes`; each entry is for the account in its `id`. The Test
/// button sends `"0"` there, and the account is then whoever the event is addressed to.
///
/// # Errors
///
/// If the body is no JSON object with a list called `entry`.
pub fn parse(body: &[u8]) -> Result<Delivery, Malformed> {
    let body = json::repair(body);
    let mut parts: Vec<Part> = Vec::new();
    for entry in meta::entries(&body)? {
        let mut items = Vec::new();
        read_entry(entry, &mut items);
        for (address, item) in items {
            match parts.last_mut() {
                Some(part) if part.address == address => part.items.push(item),
                _ => parts.push(Part {
                    address,
                    items: vec![item],
                }),
            }
        }
    }
    Ok(Delivery { parts })
}

/// The ids that a body names, found without parsing it, the accounts' among them: for one that
/// [`parse`] refuses, so that its signature can still be checked before it is put aside.
pub fn addresses(body: &[u8]) -> Vec<String> {
    meta::scan(body, "id")
}

/// An item, and whose it is.
type Addressed = (Option<String>, Item);

fn read_entry(entry: &RawValue, items: &mut Vec<Addressed>) {
    let Some(frame) = json::frame(entry.get()) else {
        items.push((None, unreadable("an entry that is not an object", entry)));
        return;
    };
    let account = Account {
        id: json::frame_id(&frame, "id").filter(|id| id != TEST_ENTRY),
        time: json::frame_time(&frame, "time"),
    };
    let before = items.len();
    let mut known = false;
    for key in ["messaging", "standby"] {
        known |= each(&frame, key, entry, &account, items, |event, items| {
            items.push(event::read(event, &account));
        });
    }
    known |= each(
        &frame,
        "changes",
        entry,
        &account,
        items,
        |raw, items| match json::frame(raw.get()) {
            Some(change) => read_change(&change, raw, &account, items),
            None => items.push(account.unreadable("a change that is not an object", raw)),
        },
    );
    // With Business Login for Instagram, the one change stands in the entry itself.
    if frame.contains_key("field") {
        read_change(&frame, entry, &account, items);
    }
    if !known && items.len() == before {
        items.push(account.unreadable("an entry without anything known in it", entry));
    }
}

/// Calls `read` with every element of a list; a list that is none goes to quarantine as a whole.
/// The answer is whether there is one.
fn each<'a>(
    frame: &Frame<'a>,
    key: &str,
    whole: &RawValue,
    account: &Account,
    items: &mut Vec<Addressed>,
    mut read: impl FnMut(&'a RawValue, &mut Vec<Addressed>),
) -> bool {
    let Some(list) = frame.get(key) else {
        return false;
    };
    match json::list(list) {
        Some(elements) => {
            for element in elements {
                read(element, items);
            }
        }
        None => items.push(account.unreadable(&format!("{key} is not a list"), whole)),
    }
    true
}

/// A change is an event if it looks like one; else it is about comments, mentions and the like.
fn read_change(change: &Frame<'_>, raw: &RawValue, account: &Account, items: &mut Vec<Addressed>) {
    let field = json::frame_id(change, "field");
    let other = || match &field {
        Some(field) if field != "messages" => account.own(event::ignored(field)),
        _ => account.unreadable("a change without an event", raw),
    };
    let values = change.get("value").and_then(|value| json::list(value));
    match values.as_deref() {
        None | Some([]) => items.push(other()),
        Some(values) => items.extend(values.iter().map(|value| match is_event(value) {
            true => event::read(value, account),
            false => other(),
        })),
    }
}

fn is_event(value: &RawValue) -> bool {
    json::frame(value.get()).is_some_and(|frame| {
        let addressed = frame.contains_key("sender") || frame.contains_key("recipient");
        addressed || EVENTS.iter().any(|event| frame.contains_key(*event))
    })
}
