//! What kind of item an event is, and whose.

use super::*;

#[test]
fn a_text_is_read_in_full() {
    let text = json!({"mid": "m.1", "text": "Hallo", "reply_to": {"mid": "m.0"}});
    let update = parse(&entry(
        "messaging",
        json!([event(json!({"message": text}))]),
    ));
    assert_eq!(update.parts.len(), 1);
    assert_eq!(update.parts[0].address.as_deref(), Some(BUSINESS));
    let message = message(only(update));
    assert_eq!(message.provider_id, "m.1");
    assert_eq!(message.direction, Direction::Inbound);
    let known_by = crate::common::known_by(&message.contact);
    assert_eq!(known_by, [("id", ADA, BUSINESS)]);
    assert_eq!(message.contact.phone, None);
    assert_eq!(message.kind, Kind::Text);
    assert_eq!(common::value(&message.content), json!({"text": "Hallo"}));
    assert_eq!(message.reply_to.as_deref(), Some("m.0"));
    assert_eq!(message.timestamp, Some(1_700_000_000));
    assert!(!message.historic);
}

#[test]
fn standby_items_are_messages() {
    let body = entry(
        "standby",
        json!([event(json!({"message": {"mid": "m.1", "text": "Hi"}}))]),
    );
    assert_eq!(message_ids(&items(parse(&body))), ["m.1"]);
}

#[test]
fn a_no_is_a_no() {
    let message = written(json!({
        "mid": "m.1", "text": "Hi",
        "is_echo": false, "is_deleted": false, "is_unsupported": false, "is_self": null,
    }));
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.kind, Kind::Text);
}

#[test]
fn echoes_are_what_the_business_wrote() {
    let said_so = json!({
        "sender": {"id": BUSINESS}, "recipient": {"id": ADA},
        "message": {"mid": "m.1", "text": "We are open", "is_echo": true},
    });
    let told_by_the_sender = json!({
        "sender": {"id": BUSINESS}, "recipient": {"id": ADA},
        "message": {"mid": "m.2", "text": "We are open"},
    });
    for item in items(parse(&entry(
        "messaging",
        json!([said_so, told_by_the_sender]),
    ))) {
        let message = message(item);
        assert_eq!(message.direction, Direction::Outbound);
        assert_eq!(message.contact.provider_id(), ADA);
    }
}

#[test]
fn an_echo_is_told_by_its_flag_if_the_entry_names_nobody() {
    let body = json!({"entry": [{"id": "0", "messaging": [{
        "sender": {"id": BUSINESS}, "recipient": {"id": ADA},
        "message": {"mid": "m.1", "text": "We are open", "is_echo": true},
    }]}]});
    let update = parse(&body);
    assert_eq!(update.parts[0].address.as_deref(), Some(BUSINESS));
    let message = message(only(update));
    assert_eq!(message.direction, Direction::Outbound);
    assert_eq!(message.contact.provider_id(), ADA);
}

#[test]
fn a_postback_is_a_message_with_or_without_an_id() {
    let postback = |postback: Value| message(one(json!({"postback": postback})));
    let named = postback(json!({"mid": "m.1", "title": "Start", "payload": "go"}));
    assert_eq!(named.provider_id, "m.1");
    assert_eq!(named.kind, Kind::Interactive);
    assert_eq!(
        common::value(&named.content),
        json!({"text": "Start", "id": "go", "kind": "postback"}),
    );

    let unnamed = || postback(json!({"title": "Start", "payload": "go"})).provider_id;
    assert_eq!(unnamed(), unnamed());
    assert!(unnamed().starts_with("postback:"));
    assert_ne!(
        unnamed(),
        postback(json!({"title": "Start", "payload": "stop"})).provider_id
    );
    let later = json!({"timestamp": 1_700_000_000_501_i64, "postback": {"title": "Start", "payload": "go"}});
    assert_ne!(unnamed(), message(one(later)).provider_id);
    let other = json!({"sender": {"id": "901"}, "postback": {"title": "Start", "payload": "go"}});
    assert_ne!(unnamed(), message(one(other)).provider_id);
}

#[test]
fn unsends_and_edits_change_a_message() {
    assert_eq!(
        one(json!({"message": {"mid": "m.0", "is_deleted": true}})),
        Item::from(Revoke {
            provider_id: "m.0".to_owned(),
            timestamp: Some(WHEN),
        })
    );
    let edit = |edit: Value| one(json!({"message_edit": edit}));
    let expected = |text: Option<&str>| {
        let content = text.map(|text| json!({"text": text}).as_object().unwrap().clone());
        let content = content.map(|content| (Kind::Text, content.into()));
        Item::from(Edit {
            provider_id: "m.0".to_owned(),
            content,
            timestamp: Some(WHEN),
        })
    };
    assert_eq!(
        edit(json!({"mid": "m.0", "text": "New", "num_edit": 1})),
        expected(Some("New"))
    );
    assert_eq!(edit(json!({"mid": "m.0", "num_edit": 0})), expected(None));
    assert_eq!(
        edit(json!({"mid": "m.0", "text": "", "num_edit": "0"})),
        expected(None)
    );
    unreadable(edit(json!({"text": "New", "num_edit": 1})));

    let nobody =
        json!({"timestamp": 1_700_000_000_500_i64, "message_edit": {"mid": "m.0", "num_edit": 0}});
    assert_eq!(
        only(parse(&entry("messaging", json!([nobody])))),
        expected(None)
    );
}

#[test]
fn reactions_are_kept_and_withdrawn() {
    let reaction = |reaction: Value| one(json!({"reaction": reaction}));
    let expected = |emoji: Option<&str>| {
        Item::from(Reaction {
            provider_id: "m.0".to_owned(),
            by: ADA.to_owned(),
            emoji: emoji.map(str::to_owned),
            id: None,
            timestamp: Some(WHEN),
        })
    };
    for (given, emoji) in [
        (
            json!({"mid": "m.0", "action": "react", "reaction": "love", "emoji": "❤"}),
            Some("❤"),
        ),
        (
            json!({"mid": "m.0", "action": "react", "reaction": "love"}),
            Some("❤️"),
        ),
        (
            json!({"mid": "m.0", "action": "react", "reaction": "other"}),
            Some("other"),
        ),
        (json!({"mid": "m.0", "emoji": "👍"}), Some("👍")),
        (json!({"mid": "m.0", "action": "unreact"}), None),
        (
            json!({"mid": "m.0", "action": "unreact", "emoji": "❤"}),
            None,
        ),
    ] {
        assert_eq!(reaction(given), expected(emoji));
    }
    unreadable(reaction(json!({"action": "react", "emoji": "❤"})));
    unreadable(reaction(json!({"mid": "m.0", "action": "react"})));
}

#[test]
fn reads_and_everything_else_are_no_messages() {
    assert_eq!(
        one(json!({"read": {"mid": "m.0"}})),
        Item::from(Status {
            provider_id: "m.0".to_owned(),
            status: DeliveryStatus::Read,
            timestamp: Some(WHEN),
            error: None,
            our_id: None,
        })
    );
    assert_eq!(
        ignored(one(json!({"read": {"watermark": 1_700_000_000_000_i64}}))),
        "read"
    );
    for kind in [
        "referral",
        "optin",
        "pass_thread_control",
        "update",
        "something_new",
    ] {
        assert_eq!(ignored(one(json!({kind: {"ref": "x"}}))), kind);
    }
    assert_eq!(ignored(one(json!({"typing": "on"}))), "typing");
}

#[test]
fn an_event_never_seen_before_may_be_a_message() {
    let new = json!({"whisper": {"mid": "m.1", "text": "psst"}});
    let message = message(one(new.clone()));
    assert_eq!(
        (message.provider_id.as_str(), message.kind),
        ("m.1", Kind::Unsupported)
    );
    assert_eq!(common::value(&message.content), json!({"raw": event(new)}));
}
