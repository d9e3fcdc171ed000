//! What the tests of all channels share: reading an update in one line.
//!
//! Invariant that every test gets for free: whatever a parser puts out keeps the crate's promises, see
//! [`check`].
#![allow(dead_code, reason = "each test binary uses its own part")]

use channels::{Contact, Content, Identity, Item, Message, Moment, Update};
use serde_json::Value;

/// All items of an update, whosever they are, each for itself.
pub(crate) fn items(update: Update) -> Vec<Item> {
    check(&update);
    let parts = update.parts.into_iter();
    let each = |item| match item {
        Item::Unreadable { reason, count } => {
            let one = Item::Unreadable { reason, count: 1 };
            vec![one; usize::try_from(count).expect("not so many")]
        }
        item => vec![item],
    };
    parts.flat_map(|part| part.items).flat_map(each).collect()
}

/// What a content says.
pub(crate) fn value(content: &Content) -> Value {
    serde_json::from_str(content.as_str()).expect("content is JSON")
}

/// The only item of an update.
pub(crate) fn only(update: Update) -> Item {
    let mut items = items(update);
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}

/// The message that an item is.
pub(crate) fn message(item: Item) -> Message {
    match item {
        Item::Message(message) => *message,
        other => panic!("no message: {other:?}"),
    }
}

/// The messages' ids, in order.
pub(crate) fn message_ids(items: &[Item]) -> Vec<&str> {
    let ids = items.iter().filter_map(|item| match item {
        Item::Message(message) => Some(message.provider_id.as_str()),
        _ => None,
    });
    ids.collect()
}

/// The name under which an item is ignored.
pub(crate) fn ignored(item: Item) -> String {
    match item {
        Item::Ignored { kind } => kind,
        other => panic!("not ignored: {other:?}"),
    }
}

/// Why an item could not be read.
pub(crate) fn unreadable(item: Item) -> String {
    match item {
        Item::Unreadable { reason, .. } => reason.into_owned(),
        other => panic!("not unreadable: {other:?}"),
    }
}

/// What a contact is known by: kind, value, and the scope or nothing.
pub(crate) fn known_by(contact: &Contact) -> Vec<(&'static str, &str, &str)> {
    identities(&contact.identities)
}

/// The same of identities.
pub(crate) fn identities(identities: &[Identity]) -> Vec<(&'static str, &str, &str)> {
    let all = identities.iter();
    all.map(|one| {
        (
            one.kind.as_str(),
            &*one.value,
            one.scope.as_deref().unwrap_or_default(),
        )
    })
    .collect()
}

/// The promises: no U+0000 anywhere, ids that are ids, times that are times, and no deep nesting.
pub(crate) fn check(update: &Update) {
    for part in &update.parts {
        assert!(!part.items.is_empty());
        part.address.iter().for_each(|address| check_id(address));
        part.items.iter().for_each(check_item);
    }
}

fn check_item(item: &Item) {
    match item {
        Item::Message(message) => {
            check_id(&message.provider_id);
            check_contact(&message.contact);
            message.reply_to.iter().for_each(|id| check_id(id));
            let (contact, sender) = (&message.contact, &message.sender);
            for text in [
                contact.name.as_deref(),
                contact.phone.as_deref(),
                contact.username.as_deref(),
                sender.name.as_deref(),
                sender.phone.as_deref(),
                sender.username.as_deref(),
            ] {
                text.into_iter().for_each(check_text);
            }
            check_content(&message.content);
            check_time(message.timestamp);
        }
        Item::Status(status) => {
            check_id(&status.provider_id);
            status.error.iter().for_each(|text| check_text(text));
            status.our_id.iter().for_each(|id| check_id(id));
            check_moment(status.timestamp);
        }
        Item::Reaction(reaction) => {
            check_id(&reaction.provider_id);
            check_id(&reaction.by);
            reaction.emoji.iter().for_each(|emoji| check_id(emoji));
            check_moment(reaction.timestamp);
        }
        Item::Edit(edit) => {
            check_id(&edit.provider_id);
            edit.content
                .iter()
                .for_each(|(_, content)| check_content(content));
            check_moment(edit.timestamp);
        }
        Item::Revoke(revoke) => {
            check_id(&revoke.provider_id);
            check_moment(revoke.timestamp);
        }
        Item::Renamed(renamed) => {
            check_contact(&renamed.contact);
            assert!(!renamed.former.is_empty());
            check_identities(&renamed.former);
            check_moment(renamed.timestamp);
        }
        Item::Blocked(blocked) => {
            check_contact(&blocked.contact);
            check_moment(blocked.timestamp);
        }
        Item::Business(change) => {
            check_id(&change.business_account_id);
            check_id(&change.field);
            check_content(&change.value);
            check_moment(change.timestamp);
        }
        Item::Ignored { kind } => check_text(kind),
        Item::Unreadable { reason, count } => {
            check_text(reason);
            assert!(*count > 0);
        }
    }
}

/// At least one identity, and each once.
fn check_contact(contact: &Contact) {
    assert!(!contact.identities.is_empty());
    check_identities(&contact.identities);
}

fn check_identities(identities: &[Identity]) {
    for (place, identity) in identities.iter().enumerate() {
        check_id(&identity.value);
        identity.scope.iter().for_each(|scope| check_id(scope));
        assert!(!identities[..place].contains(identity));
    }
}

fn check_id(id: &str) {
    assert!(!id.is_empty());
    assert!(id.chars().count() <= 600);
    check_text(id);
}

fn check_text(text: &str) {
    assert!(!text.contains('\0'));
}

fn check_time(time: Option<i64>) {
    assert!(time.is_none_or(|time| (0..=253_402_300_799).contains(&time)));
}

fn check_moment(moment: Option<Moment>) {
    check_time(moment.map(|moment| moment.seconds));
    assert!(moment.is_none_or(|moment| (0..1000).contains(&moment.millis)));
}

fn check_content(content: &Content) {
    let content = value(content);
    assert!(content.is_object());
    check_value(&content, 0);
}

fn check_value(value: &Value, depth: usize) {
    assert!(
        depth < 110,
        "nested too deeply to be shown inside an answer"
    );
    match value {
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().for_each(|item| check_value(item, depth + 1)),
        Value::Object(map) => {
            map.keys().for_each(|key| check_text(key));
            map.values().for_each(|item| check_value(item, depth + 1));
        }
        _ => {}
    }
}
