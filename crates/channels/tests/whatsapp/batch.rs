//! Envelopes: many at once, bad ones among good ones, and none at all.

use super::*;

#[test]
fn everything_in_a_batch_is_taken() {
    let change = |number: u32| {
        let messages: Vec<Value> = (0..10)
            .map(|at| json!({"id": format!("{number}.{at}"), "from": ADA, "type": "text", "text": {"body": "x"}}))
            .collect();
        let statuses: Vec<Value> = (0..10)
            .map(|at| json!({"id": format!("s.{number}.{at}"), "status": "sent"}))
            .collect();
        let metadata = json!({"phone_number_id": number});
        json!({"field": "messages", "value": {"metadata": metadata, "messages": messages, "statuses": statuses}})
    };
    let entry = |from: u32| json!({"id": from, "changes": (from..from + 5).map(change).collect::<Vec<_>>()});
    let update = parse(&json!({"entry": (0..10).map(|at| entry(at * 5)).collect::<Vec<_>>()}));
    assert_eq!(update.parts.len(), 50);
    let addresses: Vec<_> = update
        .parts
        .iter()
        .filter_map(|part| part.address.clone())
        .collect();
    assert_eq!(
        addresses,
        (0..50).map(|at| at.to_string()).collect::<Vec<_>>()
    );
    let items = items(update);
    assert_eq!(items.len(), 1000);
    assert_eq!(message_ids(&items).len(), 500);
}

#[test]
fn a_bad_item_does_not_cost_its_neighbours() {
    let good =
        |id: &str| envelope(json!({"id": id, "type": "text", "text": {"body": "Hi"}})).to_string();
    let deep = format!(
        r#"{{"id":"x","from":"1","a":{}{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for bad in [
        r#"{"id":"x","from":"1","timestamp":1e999}"#,
        &deep,
        "7",
        "null",
        r#""text""#,
        "[[]]",
        r#"{"id":1e400}"#,
    ] {
        let body = format!(
            r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{"messages":[{},{bad},{}]}}}}]}}]}}"#,
            good("a"),
            good("b"),
        );
        let items = items(whatsapp::parse(body.as_bytes()).unwrap());
        assert_eq!(message_ids(&items), ["a", "b"], "{bad}");
        assert_eq!(items.len(), 3);
        unreadable(items[1].clone());
    }
}

#[test]
fn a_bad_entry_or_change_does_not_cost_its_neighbours() {
    let change = json!({"field": "messages", "value": from_ada(json!([envelope(json!({"text": {"body": "Hi"}}))]))});
    let body = json!({"entry": [
        1, null, {}, {"changes": 7}, {"changes": [7, {"value": 1}, change]}, {"changes": [change]},
    ]});
    let items = items(parse(&body));
    assert_eq!(message_ids(&items), ["wamid.1", "wamid.1"]);
    assert_eq!(
        items
            .iter()
            .filter(|item| matches!(item, Item::Unreadable { .. }))
            .count(),
        6
    );
}

#[test]
fn what_is_no_update_is_malformed() {
    let whole = update("messages", from_ada(json!([]))).to_string();
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"7",
        b"{}",
        br#"{"entry":{}}"#,
        br#"{"entry":"x"}"#,
        b"\0\xff",
        b"<html>",
        &whole.as_bytes()[..whole.len() - 1],
        &whole.as_bytes()[..whole.len() / 2],
        format!("{whole}x").as_bytes(),
    ] {
        assert!(
            whatsapp::parse(body).is_err(),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    assert!(
        whatsapp::parse(br#"{"entry":[]}"#)
            .unwrap()
            .parts
            .is_empty()
    );
}

#[test]
fn addresses_are_found_without_parsing() {
    let body = br#"{"entry":[{"phone_number_id" : "106"},{"phone_number_id":107},
        {"phone_number_id":"106"},{"phone_number_id":null},{"phone_number_id":""},{"phone_number_id":"ig_7-\u0038"},
        {"text":"{\"phone_number_id\":\"9\"}"},{"phone_number_id""#;
    assert_eq!(whatsapp::addresses(body), ["106", "107", "ig_7-8"]);
    assert!(whatsapp::addresses(b"\xff\"phone_number_id\":").is_empty());
    let long = format!(r#"{{"phone_number_id":"{}"}}"#, "7".repeat(65));
    assert!(whatsapp::addresses(long.as_bytes()).is_empty());
    let many: String = (0..1000)
        .map(|at| format!(r#""phone_number_id":"{at}""#))
        .collect();
    assert_eq!(whatsapp::addresses(many.as_bytes()).len(), 0, "no object");
    let many = format!("{{{many}}}");
    assert_eq!(whatsapp::addresses(many.as_bytes()).len(), 64);
}

#[test]
fn a_body_without_a_number_names_business_accounts() {
    for (body, accounts) in [
        (
            r#"{"entry":[{"id":"102","changes":[]},{"id":103}]}"#,
            Some(vec!["102", "103"]),
        ),
        (
            r#"{"entry":[{"id":"102","a":{"phone_number_id":"106"}}]}"#,
            None,
        ),
        (
            r#"{"entry":[{"a":{"phone_number_id":"106"},"id":"0"}]}"#,
            Some(vec![]),
        ),
        (
            r#"{"entry":[{"id":"102","a":{"phone_number_id":"123456123"}}]}"#,
            Some(vec!["102"]),
        ),
        ("", None),
    ] {
        let accounts = accounts.map(|ids: Vec<_>| ids.into_iter().map(str::to_owned).collect());
        assert_eq!(whatsapp::unaddressed(body.as_bytes()), accounts, "{body}");
    }
}

/// Another reader stops at 128 levels, and what is stored here is shown inside other objects.
#[test]
fn what_is_kept_whole_can_be_shown_again() {
    for (levels, readable) in [(90, true), (100, false), (120, false)] {
        let nested = "[".repeat(levels) + &"]".repeat(levels);
        let message = format!(r#"{{"id":"a","from":"491","type":"new","new":{nested}}}"#);
        let body = format!(
            r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{"messages":[{message}]}}}}]}}]}}"#
        );
        let item = only(whatsapp::parse(body.as_bytes()).unwrap());
        assert_eq!(matches!(item, Item::Message(_)), readable, "{levels}");
    }
}
