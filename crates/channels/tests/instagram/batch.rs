//! Envelopes: all their shapes, many at once, bad ones among good ones, and none at all.

use super::*;

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
        let update = parse(&json!({"object": "instagram", "entry": [entry]}));
        assert_eq!(update.parts[0].address.as_deref(), Some("23"), "{entry}");
        let message = message(only(update));
        assert_eq!(message.provider_id, "mid-of-a-test");
        assert_eq!(message.contact.provider_id(), "12");
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
    let update = parse(&json!({"entry": [{"id": "0", "changes": others}]}));
    assert_eq!(update.parts[0].address.as_deref(), Some("23"));
    let items = items(update);
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
    let update = parse(&json!({"entry": (1..=100).map(entry).collect::<Vec<_>>()}));
    assert_eq!(update.parts.len(), 100);
    assert_eq!(update.parts[41].address.as_deref(), Some("42"));
    assert_eq!(message_ids(&items(update)).len(), 1000);
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
        unreadable(items[1].clone());
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
fn what_is_no_update_is_malformed() {
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
    let body = br#"{"entry":[{"messaging":[{"sender":{"id":900},"message":{"mid":"m"}}],"id":"1784"},{"id":"ig_7","ti"#;
    assert_eq!(instagram::addresses(body), ["1784", "ig_7"]);
    // Of the Test button, and with Business Login: whoever the event is addressed to.
    for body in [
        r#"{"entry":[{"id":"0","messaging":[{"recipient":{"id":"23"},"sender":{"id":12}}]}]}"#,
        r#"{"entry":[{"id":0,"changes":[{"value":{"recipient":{"id":"23"},"sender":{"id":"12"}}}]}]}"#,
        r#"{"entry":[{"field":"messages","value":{"recipient":{"id":"23"},"sender":{"id":"12"}}}]}"#,
    ] {
        assert_eq!(instagram::addresses(body.as_bytes()), ["23", "12"]);
        let of_a_test = body.contains(r#""id":"0""#) || body.contains(r#""id":0"#);
        let unaddressed = instagram::unaddressed(body.as_bytes());
        assert_eq!(unaddressed, of_a_test.then(Vec::new), "{body}");
    }
}
