//! Instagram, row by row of what is a message, and the traps.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use channels::{
    Delivery, DeliveryStatus, Direction, Edit, Item, Kind, Message, Reaction, Revoke, Status,
    instagram,
};
use common::{ignored, items, message, message_ids, only, unreadable};
use serde_json::{Value, json};

const ADA: &str = "900";
const BUSINESS: &str = "17841400000000001";

fn parse(body: &Value) -> Delivery {
    instagram::parse(body.to_string().as_bytes()).unwrap()
}

fn entry(list: &str, events: Value) -> Value {
    json!({
        "object": "instagram",
        "entry": [{"id": BUSINESS, "time": 1_700_000_000_123_i64, list: events}],
    })
}

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
    (message.kind, message.content.into())
}

#[test]
fn a_text_is_read_in_full() {
    let text = json!({"mid": "m.1", "text": "Hallo", "reply_to": {"mid": "m.0"}});
    let delivery = parse(&entry(
        "messaging",
        json!([event(json!({"message": text}))]),
    ));
    assert_eq!(delivery.parts.len(), 1);
    assert_eq!(delivery.parts[0].address.as_deref(), Some(BUSINESS));
    let message = message(only(delivery));
    assert_eq!(message.provider_id, "m.1");
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.contact.provider_id, ADA);
    assert_eq!(message.contact.phone, None);
    assert_eq!(message.kind, Kind::Text);
    assert_eq!(Value::from(message.content), json!({"text": "Hallo"}));
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
        assert_eq!(message.contact.provider_id, ADA);
    }
}

#[test]
fn every_attachment_has_its_content() {
    let url = "https://x.test/1";
    for (attachment, kind, expected) in [
        (
            json!({"type": "image", "payload": {"url": url}}),
            Kind::Image,
            json!({"media": {"url": url}}),
        ),
        (
            json!({"type": "video", "payload": {"url": url}}),
            Kind::Video,
            json!({"media": {"url": url}}),
        ),
        (
            json!({"type": "audio", "payload": {"url": url}}),
            Kind::Audio,
            json!({"media": {"url": url}}),
        ),
        (
            json!({"type": "file", "payload": {"url": url, "title": "a.pdf"}}),
            Kind::Document,
            json!({"media": {"url": url, "name": "a.pdf"}}),
        ),
        (
            json!({"type": "ig_reel", "payload": {"url": url, "reel_video_id": 5, "title": "Look"}}),
            Kind::Video,
            json!({"media": {"id": "5", "url": url, "name": "Look"}, "attachment": "ig_reel"}),
        ),
        (
            json!({"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "6"}}),
            Kind::Document,
            json!({"media": {"id": "6", "url": url}, "attachment": "ig_post"}),
        ),
        (
            json!({"type": "ig_story", "payload": {"story_media_url": url, "story_media_id": "7"}}),
            Kind::Document,
            json!({"media": {"id": "7", "url": url}, "attachment": "ig_story"}),
        ),
        (
            json!({"type": "story_mention", "payload": {"url": url}}),
            Kind::Document,
            json!({"media": {"url": url}, "attachment": "story_mention"}),
        ),
        (
            json!({"type": "share", "payload": {"url": url}}),
            Kind::Document,
            json!({"media": {"url": url}, "attachment": "share"}),
        ),
        (
            json!({"type": "like_heart"}),
            Kind::Sticker,
            json!({"media": {}, "attachment": "like_heart"}),
        ),
        (
            json!({"type": "image", "payload": null}),
            Kind::Image,
            json!({"media": {}}),
        ),
        (
            json!({"type": "template", "payload": {"generic": {"elements": [{"title": "Shoes"}]}}}),
            Kind::Interactive,
            json!({
                "text": "Shoes",
                "kind": "template",
                "data": {"generic": {"elements": [{"title": "Shoes"}]}},
            }),
        ),
    ] {
        let message = json!({"mid": "m.1", "attachments": [attachment]});
        assert_eq!(content(message), (kind, expected));
    }
}

#[test]
fn further_attachments_stay_with_the_first() {
    let image = |url: &str| json!({"type": "image", "payload": {"url": url}});
    let message = json!({
        "mid": "m.1",
        "text": "Both",
        "attachments": [image("a"), image("b"), {"type": "hologram"}, 7],
    });
    let expected = json!({
        "media": {"url": "a"},
        "caption": "Both",
        "attachments": [
            {"kind": "image", "media": {"url": "b"}},
            {"kind": "unsupported", "raw": {"type": "hologram"}},
        ],
    });
    assert_eq!(content(message), (Kind::Image, expected));
}

#[test]
fn the_same_post_twice_is_one() {
    let url = "https://x.test/p";
    for second in [
        json!({"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "6"}}),
        json!({"type": "share", "payload": {"url": url}}),
        json!({"type": "ig_post", "payload": {"url": "https://x.test/other", "ig_post_media_id": "6"}}),
    ] {
        let first = json!({"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "6"}});
        let (_, content) = content(json!({"mid": "m.1", "attachments": [first, second]}));
        assert_eq!(content.get("attachments"), None);
    }
}

#[test]
fn what_cannot_be_shown_is_kept_whole() {
    for message in [
        json!({"mid": "m.1", "is_unsupported": true}),
        json!({"mid": "m.1", "is_unsupported": true, "text": "Hi"}),
        json!({"mid": "m.1", "attachments": [{"type": "unsupported_type"}]}),
        json!({"mid": "m.1", "attachments": [{"type": "ephemeral"}]}),
        json!({"mid": "m.1", "attachments": "none"}),
        json!({"mid": "m.1", "text": {"no": "text"}}),
        json!({"mid": "m.1", "text": ""}),
        json!({"mid": "m.1"}),
    ] {
        assert_eq!(
            content(message.clone()),
            (Kind::Unsupported, json!({"raw": message}))
        );
    }
}

#[test]
fn quick_replies_stories_and_referrals_are_kept() {
    assert_eq!(
        content(json!({"mid": "m.1", "text": "Red", "quick_reply": {"payload": "red-1"}})),
        (
            Kind::Interactive,
            json!({"text": "Red", "id": "red-1", "kind": "quick_reply"})
        ),
    );
    assert_eq!(
        content(json!({
            "mid": "m.1", "text": "Nice",
            "reply_to": {"story": {"id": "s1", "url": "https://x.test/s"}},
            "referral": {"source": "ADS", "ad_id": 5},
        })),
        (
            Kind::Text,
            json!({
                "text": "Nice",
                "referral": {"source": "ADS", "ad_id": 5},
                "story": {"id": "s1", "url": "https://x.test/s"},
            })
        ),
    );
}

#[test]
fn a_postback_is_a_message_with_or_without_an_id() {
    let postback = |postback: Value| message(one(json!({"postback": postback})));
    let named = postback(json!({"mid": "m.1", "title": "Start", "payload": "go"}));
    assert_eq!(named.provider_id, "m.1");
    assert_eq!(named.kind, Kind::Interactive);
    assert_eq!(
        Value::from(named.content),
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
        Item::Revoke(Revoke {
            provider_id: "m.0".to_owned(),
            timestamp: Some(1_700_000_000),
        })
    );
    let edit = |edit: Value| one(json!({"message_edit": edit}));
    let expected = |text: Option<&str>| {
        let content = text.map(|text| json!({"text": text}).as_object().unwrap().clone());
        Item::Edit(Edit {
            provider_id: "m.0".to_owned(),
            content,
            timestamp: Some(1_700_000_000),
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
        Item::Reaction(Reaction {
            provider_id: "m.0".to_owned(),
            by: ADA.to_owned(),
            emoji: emoji.map(str::to_owned),
            timestamp: Some(1_700_000_000),
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
        Item::Status(Status {
            provider_id: "m.0".to_owned(),
            status: DeliveryStatus::Read,
            timestamp: Some(1_700_000_000),
            error: None,
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
        "delivery",
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
    assert_eq!(Value::from(message.content), json!({"raw": event(new)}));
}

#[test]
fn changes_about_posts_are_ignored() {
    for field in ["comments", "live_comments", "mentions", "story_insights"] {
        let value = json!({"id": "c1", "from": {"id": ADA}, "text": "Nice", "media": {"id": "p1"}});
        let change = json!({"field": field, "value": value});
        assert_eq!(
            ignored(only(parse(&entry("changes", json!([change]))))),
            field
        );
        let in_the_entry = json!({"entry": [{"id": BUSINESS, "field": field, "value": value}]});
        assert_eq!(ignored(only(parse(&in_the_entry))), field);
    }
}

#[test]
fn the_test_button_is_understood_in_all_its_shapes() {
    let said = json!({
        "sender": {"id": "12"}, "recipient": {"id": "23"}, "timestamp": "1527459824",
        "message": {"mid": "mid-of-a-test", "text": "text of a test"},
    });
    for entry in [
        json!({"id": "0", "time": 1_700_000_000, "messaging": [said]}),
        json!({"id": "0", "time": 1_700_000_000, "changes": [{"field": "messages", "value": said}]}),
        json!({"id": 0, "time": "1700000000", "standby": [said]}),
        json!({"id": "0", "time": 1_700_000_000_000_i64, "field": "messages", "value": said}),
    ] {
        let delivery = parse(&json!({"object": "instagram", "entry": [entry]}));
        assert_eq!(delivery.parts[0].address.as_deref(), Some("23"), "{entry}");
        let message = message(only(delivery));
        assert_eq!(message.provider_id, "mid-of-a-test");
        assert_eq!(message.contact.provider_id, "12");
        assert_eq!(message.timestamp, Some(1_527_459_824));
    }
    let others = json!([
        {"field": "message_reactions", "value": {
            "sender": {"id": "12"}, "recipient": {"id": "23"}, "timestamp": "233445667",
            "reaction": {"mid": "m", "action": "react", "reaction": "love", "emoji": "❤"}}},
        {"field": "messaging_postbacks", "value": {
            "sender": {"id": "12"}, "recipient": {"id": "23"}, "timestamp": "233445667",
            "postback": {"title": "Start", "payload": "go"}}},
        {"field": "messaging_seen", "value": {
            "sender": {"id": "12"}, "recipient": {"id": "23"}, "timestamp": "233445667",
            "read": {"mid": "m"}}},
        {"field": "messages", "value": null},
    ]);
    let delivery = parse(&json!({"entry": [{"id": "0", "changes": others}]}));
    assert_eq!(delivery.parts[0].address.as_deref(), Some("23"));
    let items = items(delivery);
    assert!(matches!(items[0], Item::Reaction(_)));
    assert!(matches!(items[1], Item::Message(_)));
    assert!(matches!(items[2], Item::Status(_)));
    assert!(matches!(items[3], Item::Unreadable { .. }));
}

#[test]
fn everything_in_a_batch_is_taken() {
    let said = |mid: String| event(json!({"message": {"mid": mid, "text": "Hi"}}));
    let entry = |at: usize| {
        json!({
            "id": at,
            "messaging": (0..8).map(|n| said(format!("{at}.{n}"))).collect::<Vec<_>>(),
            "standby": [said(format!("{at}.8"))],
            "changes": [{"field": "messages", "value": [said(format!("{at}.9"))]}],
        })
    };
    let delivery = parse(&json!({"entry": (1..=100).map(entry).collect::<Vec<_>>()}));
    assert_eq!(delivery.parts.len(), 100);
    assert_eq!(delivery.parts[41].address.as_deref(), Some("42"));
    assert_eq!(message_ids(&items(delivery)).len(), 1000);
}

#[test]
fn a_bad_item_does_not_cost_its_neighbours() {
    let good = |mid: &str| event(json!({"message": {"mid": mid, "text": "Hi"}})).to_string();
    let deep = format!(r#"{{"message":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    for bad in [
        r#"{"sender":{"id":"1"},"timestamp":1e999,"message":{"mid":"x"}}"#,
        &deep,
        "7",
        "null",
        r#"{"sender":{"id":"1"},"message":5}"#,
        r#"{"sender":{"id":"1"},"message":{"text":"no id"}}"#,
        r#"{"sender":{"id":"1"},"message":{"mid":["x"],"text":"no id"}}"#,
        r#"{"recipient":{"id":"1"},"message":{"mid":"x","text":"no sender"}}"#,
        r#"{"sender":"1","message":{"mid":"x","text":"no sender"}}"#,
        r#"{"sender":{"id":"1"}}"#,
        "{}",
    ] {
        let body = format!(
            r#"{{"entry":[{{"id":"1784","messaging":[{},{bad},{}]}}]}}"#,
            good("a"),
            good("b")
        );
        let items = items(instagram::parse(body.as_bytes()).unwrap());
        assert_eq!(message_ids(&items), ["a", "b"], "{bad}");
        assert_eq!(unreadable(items[1].clone()), bad);
    }
    let good = event(json!({"message": {"mid": "a", "text": "Hi"}}));
    let body = json!({"entry": [
        7, {}, {"id": BUSINESS, "messaging": 7, "changes": [7, null], "standby": [good]}, {"messaging": [good]},
    ]});
    let items = items(parse(&body));
    assert_eq!(message_ids(&items), ["a", "a"]);
    assert_eq!(items.len(), 7);
}

#[test]
fn text_and_time_survive() {
    let body = br#"{"entry":[{"id":"1784","time":1700000000,"messaging":[
        {"sender":{"id":"1"},"timestamp":0,"message":{"mid":"a","text":"\ud83d\ude00 \ud83d \u0000 \u200f"}},
        {"sender":{"id":9007199254740993},"timestamp":253402300799999,"message":{"mid":9007199254740993,"text":5}},
        {"sender":{"id":"1"},"timestamp":253402300800000,"message":{"mid":"c","text":"x"}},
        {"sender":{"id":"1"},"message":{"mid":"d","text":"x","text":"y"}}
    ]}]}"#;
    let messages: Vec<_> = items(instagram::parse(body).unwrap())
        .into_iter()
        .map(message)
        .map(|message| {
            let text = message.content["text"].as_str().unwrap().to_owned();
            (message.provider_id, text, message.timestamp)
        })
        .collect();
    let expected = [
        ("a", "😀 \u{fffd} \u{fffd} \u{200f}", Some(0)),
        ("9007199254740993", "5", Some(253_402_300_799)),
        ("c", "x", Some(1_700_000_000)),
        ("d", "y", Some(1_700_000_000)),
    ];
    let expected = expected.map(|(id, text, time)| (id.to_owned(), text.to_owned(), time));
    assert_eq!(messages, expected);
    let long = "ü".repeat(32 * 1024);
    assert_eq!(
        content(json!({"mid": "m", "text": long})).1,
        json!({"text": long})
    );
}

#[test]
fn what_is_no_delivery_is_malformed() {
    let whole = entry("messaging", json!([])).to_string();
    for body in [
        &b""[..],
        b"[]",
        b"{}",
        br#"{"entry":7}"#,
        &whole.as_bytes()[..whole.len() - 2],
    ] {
        assert!(instagram::parse(body).is_err());
    }
}

#[test]
fn addresses_are_found_without_parsing() {
    let body = br#"{"entry":[{"id":"1784","messaging":[{"sender":{"id":900},"message":{"mid":"m"#;
    assert_eq!(instagram::addresses(body), ["1784", "900"]);
}
