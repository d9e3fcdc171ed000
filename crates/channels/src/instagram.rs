//! Updates of Instagram.
//!
//! This file reads the envelope in all its forms, and finds the account of each event. `instagram::event` reads the events,
//! and `instagram::content` the content of messages.
//!
//! Invariant: every event becomes exactly one item, in whichever list and form it is.

mod content;
mod event;
pub(crate) mod send;

use serde_json::value::RawValue;

use crate::addresses::{self, Addresses};
use crate::json::{self, Frame};
use crate::meta::{self, TEST_ENTRY, ignored, unreadable};
use crate::{Malformed, Update};
use event::Account;

/// [`TEST_ENTRY`], as it may be written in a body.
const TEST_ENTRIES: [&[u8]; 2] = [b"0", b"\"0\""];

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
pub fn parse(body: &[u8]) -> Result<Update, Malformed> {
    let body = json::repair(body);
    let mut update = Update::default();
    meta::entries(&body, |entry| read_entry(entry, &mut update))?;
    Ok(update)
}

/// The accounts that a body names, found without parsing it, each once: at most 64, so that whoever sent the body has
/// its signature checked with no more secrets than that. Where an entry names none, whoever wrote or got a message
/// may be one.
///
/// One too many does no harm: it still has to have signed the body.
pub fn addresses(body: &[u8]) -> Vec<String> {
    let mut accounts = Addresses::default();
    let mut sides = Addresses::default();
    addresses::visit(body, |keys, scalar| {
        match keys {
            [b"entry", b"id"] if !TEST_ENTRIES.contains(&scalar) => accounts.add(scalar),
            [b"entry", .., b"recipient" | b"sender", b"id"] => sides.add(scalar),
            _ => {}
        }
        !accounts.is_full()
    });
    match accounts.is_empty() {
        true => sides.into_vec(),
        false => accounts.into_vec(),
    }
}

/// Whether a body is from the dashboard's Test button, which makes an account up: an empty list then, since nothing else
/// tells whose it is.
pub fn unaddressed(body: &[u8]) -> Option<Vec<String>> {
    let ids = meta::entry_ids(body);
    let of_a_test = !ids.is_empty() && ids.iter().all(|id| id == TEST_ENTRY);
    of_a_test.then(Vec::new)
}

fn read_entry(entry: &RawValue, update: &mut Update) {
    let Some(frame) = json::frame(entry.get()) else {
        update.add(None, unreadable("an entry that is not an object"));
        return;
    };
    let account = Account {
        id: json::frame_id(&frame, "id").filter(|id| id != TEST_ENTRY),
        time: json::frame_time(&frame, "time"),
    };
    let mut known = false;
    for key in ["messaging", "standby"] {
        known |= each(&frame, key, &account, update, |event, update| {
            event::read(event, &account, update);
        });
    }
    known |= each(
        &frame,
        "changes",
        &account,
        update,
        |raw, update| match json::frame(raw.get()) {
            Some(change) => read_change(&change, &account, update),
            None => account.own(update, unreadable("a change that is not an object")),
        },
    );
    // With Business Login for Instagram, the one change stands in the entry itself.
    if frame.contains_key("field") {
        known = true;
        read_change(&frame, &account, update);
    }
    if !known {
        account.own(update, unreadable("an entry without anything known in it"));
    }
}

/// Calls `read` with every element of the list of a key. If the value is not a list, it goes to quarantine as a whole.
/// Returns whether the key exists.
fn each<'a>(
    frame: &Frame<'a>,
    key: &'static str,
    account: &Account,
    update: &mut Update,
    mut read: impl FnMut(&'a RawValue, &mut Update),
) -> bool {
    let Some(list) = frame.get(key) else {
        return false;
    };
    if !json::each(list, |element| read(element, update)) {
        account.own(update, unreadable(format!("{key} is not a list")));
    }
    true
}

/// Reads a change. It is an event if it has the keys of one. Otherwise it is about comments, mentions and so on.
fn read_change(change: &Frame<'_>, account: &Account, update: &mut Update) {
    let field = json::frame_id(change, "field");
    let other = || match &field {
        Some(field) if field != "messages" => ignored(field),
        _ => unreadable("a change without an event"),
    };
    let mut empty = true;
    if let Some(values) = change.get("value") {
        json::each(values, |value| {
            empty = false;
            match is_event(value) {
                true => event::read(value, account, update),
                false => account.own(update, other()),
            }
        });
    }
    if empty {
        account.own(update, other());
    }
}

fn is_event(value: &RawValue) -> bool {
    json::frame(value.get()).is_some_and(|frame| {
        let addressed = frame.contains_key("sender") || frame.contains_key("recipient");
        addressed || EVENTS.iter().any(|event| frame.contains_key(*event))
    })
}
