//! What a message says.

use super::*;

#[test]
fn a_text_is_read_in_full() {
    let update = parse(&update(
        "messages",
        from_ada(json!([envelope(json!({
            "type": "text",
            "text": {"body": "Hallo"},
            "context": {"from": BUSINESS, "id": "wamid.0"},
        }))])),
    ));
    assert_eq!(update.parts.len(), 1);
    assert_eq!(update.parts[0].address.as_deref(), Some("106"));
    let message = message(only(update));
    assert_eq!(message.provider_id, "wamid.1");
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.contact.provider_id(), ADA);
    assert_eq!(known_by(&message.contact), [("phone", ADA, "")]);
    assert_eq!(message.contact.name.as_deref(), Some("Ada"));
    assert_eq!(message.contact.phone.as_deref(), Some("+4915112345678"));
    assert_eq!(message.sender.name.as_deref(), Some("Ada"));
    assert_eq!(message.kind, Kind::Text);
    assert_eq!(common::value(&message.content), json!({"text": "Hallo"}));
    assert_eq!(message.reply_to.as_deref(), Some("wamid.0"));
    assert_eq!(message.timestamp, Some(1_700_000_000));
    assert!(!message.historic && !message.contact.group);
}

#[test]
fn every_kind_has_its_content() {
    let file =
        json!({"id": "m1", "mime_type": "image/jpeg", "sha256": "ab", "url": "https://x.test/1"});
    let media =
        json!({"id": "m1", "mime_type": "image/jpeg", "sha256": "ab", "url": "https://x.test/1"});
    let with = |more: Value| {
        let mut file = file.clone();
        file.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        file
    };
    for (rest, kind, expected) in [
        (
            json!({"type": "image", "image": with(json!({"caption": "See"}))}),
            Kind::Image,
            json!({"media": media, "caption": "See"}),
        ),
        (
            json!({"type": "video", "video": file}),
            Kind::Video,
            json!({"media": media}),
        ),
        (
            json!({"type": "audio", "audio": {"id": "m2", "voice": true}}),
            Kind::Audio,
            json!({"media": {"id": "m2", "voice": true}}),
        ),
        (
            json!({"type": "document", "document": {"id": "m3", "filename": "a.pdf", "file_size": "12"}}),
            Kind::Document,
            json!({"media": {"id": "m3", "name": "a.pdf", "size": 12}}),
        ),
        (
            json!({"type": "sticker", "sticker": {"id": "m4", "animated": true}}),
            Kind::Sticker,
            json!({"media": {"id": "m4", "animated": true}}),
        ),
        (
            json!({"type": "location", "location": {"latitude": 52.5, "longitude": "13.4", "name": "Berlin"}}),
            Kind::Location,
            json!({"latitude": 52.5, "longitude": 13.4, "name": "Berlin"}),
        ),
        (
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Bob"}, "x": null}]}),
            Kind::Contacts,
            json!({"contacts": [{"name": {"formatted_name": "Bob"}, "x": null}]}),
        ),
        (
            json!({"type": "button", "button": {"payload": "yes-1", "text": "Yes"}}),
            Kind::Interactive,
            json!({"text": "Yes", "id": "yes-1", "kind": "button"}),
        ),
        (
            json!({"type": "order", "order": {"catalog_id": 7, "text": "Please", "product_items": [{"quantity": 2}]}}),
            Kind::Order,
            json!({"text": "Please", "catalog_id": "7", "product_items": [{"quantity": 2}]}),
        ),
    ] {
        assert_eq!(content(rest), (kind, expected));
    }
}

#[test]
fn interactive_replies_may_lack_anything_but_their_type() {
    for (interactive, expected) in [
        (
            json!({"type": "button_reply", "button_reply": {"id": "b1", "title": "Yes"}}),
            json!({"text": "Yes", "id": "b1", "kind": "button_reply"}),
        ),
        (
            json!({"type": "list_reply", "list_reply": {"id": "l1", "title": "Red", "description": "A colour"}}),
            json!({"text": "Red", "id": "l1", "description": "A colour", "kind": "list_reply"}),
        ),
        (
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"a\":[1]}"}}),
            json!({"text": "Sent", "name": "flow", "data": {"a": [1]}, "kind": "nfm_reply"}),
        ),
        (
            json!({"type": "nfm_reply", "nfm_reply": {"response_json": "not json\u{0}"}}),
            json!({"data": "not json\u{fffd}", "kind": "nfm_reply"}),
        ),
        (
            json!({"type": "nfm_reply", "nfm_reply": {"response_json": "{\"a\":\"\\u0000\\ud800\"}"}}),
            json!({"data": {"a": "\u{fffd}\u{fffd}"}, "kind": "nfm_reply"}),
        ),
        (
            json!({"type": "button_reply"}),
            json!({"kind": "button_reply"}),
        ),
        (
            json!({"button_reply": {"title": "Yes"}}),
            json!({"text": "Yes", "kind": "button_reply"}),
        ),
        (
            json!({"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}}),
            json!({
                "data": {"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}},
                "kind": "call_permission_reply",
            }),
        ),
    ] {
        let rest = json!({"type": "interactive", "interactive": interactive});
        assert_eq!(content(rest), (Kind::Interactive, expected));
    }
    assert_eq!(content(json!({"type": "interactive"})).0, Kind::Unsupported);
}

#[test]
fn referral_and_forwarding_are_kept() {
    let (_, content) = content(json!({
        "type": "text",
        "text": {"body": "Hi"},
        "referral": {"source_type": "ad", "source_id": "9"},
        "context": {"frequently_forwarded": true},
    }));
    assert_eq!(
        content,
        json!({"text": "Hi", "referral": {"source_type": "ad", "source_id": "9"}, "forwarded": true}),
    );
}

#[test]
fn what_was_never_seen_before_is_kept_whole() {
    for rest in [
        json!({"type": "hologram", "hologram": {"id": "h1"}}),
        json!({"type": "unsupported", "errors": [{"code": 131051}]}),
        json!({"type": "unknown"}),
        json!({"type": "media_placeholder"}),
        json!({"type": "text"}),
        json!({"type": "text", "text": {"body": ["no", "text"]}}),
        json!({"type": "image", "image": 5}),
        json!({"type": "location", "location": {"latitude": "north"}}),
        json!({"type": "order", "order": {}}),
        json!({"something": "else"}),
    ] {
        let (kind, content) = content(rest.clone());
        assert_eq!(kind, Kind::Unsupported, "{rest}");
        assert_eq!(content, json!({"raw": envelope(rest)}));
    }
}

#[test]
fn a_missing_type_is_told_by_the_content() {
    let expected = (Kind::Text, json!({"text": "Hi"}));
    assert_eq!(content(json!({"text": {"body": "Hi"}})), expected);
    assert_eq!(content(json!({"type": null, "text": "Hi"})), expected);
}

#[test]
fn text_survives_as_it_is() {
    let escaped = br#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[
        {"id":"a","from":"491","type":"text","text":{"body":"caf\u00e9 \ud83d\ude00"}},
        {"id":"b","from":"491","type":"text","text":{"body":"half \ud83d"}},
        {"id":"c","from":"491","type":"text","text":{"body":"nul \u0000"}},
        {"id":"d\u0000","from":"491","type":"text","text":{"body":"\u202e\u200f \u05e9"}}
    ]}}]}]}"#;
    let texts: Vec<_> = items(whatsapp::parse(escaped).unwrap())
        .into_iter()
        .map(message)
        .map(|message| {
            (
                message.provider_id,
                common::value(&message.content)["text"].clone(),
            )
        })
        .collect();
    let expected = [
        ("a", "café 😀"),
        ("b", "half \u{fffd}"),
        ("c", "nul \u{fffd}"),
        ("d\u{fffd}", "\u{202e}\u{200f} ש"),
    ];
    assert_eq!(
        texts,
        expected.map(|(id, text)| (id.to_owned(), text.into()))
    );

    let long = "ü".repeat(32 * 1024);
    assert_eq!(
        content(json!({"type": "text", "text": {"body": long}})).1,
        json!({"text": "ü".repeat(32 * 1024)})
    );
    let mut invalid = br#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[{"id":"a","from":"1","text":{"body":""#.to_vec();
    invalid.extend(b"\xff\xfe");
    invalid.extend(br#""}}]}}]}]}"#);
    assert_eq!(
        common::value(&message(only(whatsapp::parse(&invalid).unwrap())).content)["text"],
        "\u{fffd}\u{fffd}"
    );
}

#[test]
fn ids_and_times_come_in_any_type() {
    let message = message(only(parse(&update(
        "messages",
        json!({
            "metadata": {"phone_number_id": 9_007_199_254_740_993_u64},
            "messages": [{
                "id": 9_007_199_254_740_993_u64,
                "from": 4_915_112_345_678_u64,
                "timestamp": 1_700_000_000,
                "text": {"body": 5},
            }],
        }),
    ))));
    assert_eq!(message.provider_id, "9007199254740993");
    assert_eq!(message.contact.provider_id(), ADA);
    assert_eq!(message.timestamp, Some(1_700_000_000));
    assert_eq!(common::value(&message.content)["text"], "5");
    for (timestamp, expected) in [
        (json!("0"), Some(0)),
        (json!("253402300799"), Some(253_402_300_799)),
        (json!("253402300800"), None),
        (json!("-1"), None),
        (json!("now"), None),
        (json!(null), None),
        (json!({}), None),
    ] {
        let Item::Message(message) = one(json!({"text": {"body": "x"}, "timestamp": timestamp}))
        else {
            panic!("no message");
        };
        assert_eq!(message.timestamp, expected);
    }
}
