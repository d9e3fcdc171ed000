//! WhatsApp, row by row of what is a message, and the traps.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use channels::{DeliveryStatus, Direction, Edit, Item, Kind, Reaction, Revoke, Status, whatsapp};
use common::{ignored, items, message, message_ids, only, unreadable};
use serde_json::{Value, json};

const ADA: &str = "4915112345678";
const BUSINESS: &str = "49301234567";

fn parse(body: &Value) -> channels::Delivery {
    whatsapp::parse(body.to_string().as_bytes()).unwrap()
}

fn delivery(field: &str, value: Value) -> Value {
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
    only(parse(&delivery(
        "messages",
        from_ada(json!([envelope(rest)])),
    )))
}

fn content(rest: Value) -> (Kind, Value) {
    let message = message(one(rest));
    (message.kind, message.content.into())
}

#[test]
fn a_text_is_read_in_full() {
    let delivery = parse(&delivery(
        "messages",
        from_ada(json!([envelope(json!({
            "type": "text",
            "text": {"body": "Hallo"},
            "context": {"from": BUSINESS, "id": "wamid.0"},
        }))])),
    ));
    assert_eq!(delivery.parts.len(), 1);
    assert_eq!(delivery.parts[0].address.as_deref(), Some("106"));
    let message = message(only(delivery));
    assert_eq!(message.provider_id, "wamid.1");
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.contact.provider_id, ADA);
    assert_eq!(message.contact.alias, None);
    assert_eq!(message.contact.name.as_deref(), Some("Ada"));
    assert_eq!(message.contact.phone.as_deref(), Some("+4915112345678"));
    assert_eq!(message.sender.name.as_deref(), Some("Ada"));
    assert_eq!(message.kind, Kind::Text);
    assert_eq!(Value::from(message.content), json!({"text": "Hallo"}));
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
fn identity_is_the_most_durable_id() {
    let with = |message: Value, contacts: Value| {
        let value = json!({"metadata": metadata(), "contacts": contacts, "messages": [message]});
        message_or_item(value)
    };
    let text = |from: Value| {
        let mut message = json!({"id": "wamid.1", "type": "text", "text": {"body": "Hi"}});
        message
            .as_object_mut()
            .unwrap()
            .extend(from.as_object().unwrap().clone());
        message
    };
    let profile = json!({"name": "Ada", "username": "@ada"});

    // Both ids: the business-scoped one is the key, the number another name for it.
    for (from, contact) in [
        (
            json!({"from": ADA, "from_user_id": "DE.1"}),
            json!({"wa_id": ADA, "profile": profile}),
        ),
        (
            json!({"from": ADA}),
            json!({"wa_id": ADA, "user_id": "DE.1", "profile": profile}),
        ),
        (
            json!({"from_user_id": "DE.1"}),
            json!({"wa_id": ADA, "user_id": "DE.1", "profile": profile}),
        ),
        (
            json!({}),
            json!({"wa_id": ADA, "user_id": "DE.1", "profile": profile}),
        ),
    ] {
        let contact = with(text(from), json!([contact])).contact;
        assert_eq!(contact.provider_id, "DE.1");
        assert_eq!(contact.alias.as_deref(), Some(ADA));
        assert_eq!(contact.phone.as_deref(), Some("+4915112345678"));
        assert_eq!(contact.name.as_deref(), Some("Ada"));
        assert_eq!(contact.username.as_deref(), Some("ada"));
    }

    // No number to be seen.
    let contact = with(
        text(json!({"from": "", "from_user_id": "DE.1"})),
        json!([{"wa_id": "", "user_id": "DE.1", "profile": profile}]),
    )
    .contact;
    assert_eq!(contact.provider_id, "DE.1");
    assert_eq!((contact.alias, contact.phone), (None, None));

    // The number is spelled in two ways; there is only one person.
    let contact = with(
        text(json!({"from": "5511987654321"})),
        json!([{"wa_id": "551187654321", "profile": profile}]),
    );
    assert_eq!(contact.contact.provider_id, "5511987654321");
    assert_eq!(contact.contact.name.as_deref(), Some("Ada"));

    // No contacts at all.
    assert_eq!(
        with(text(json!({"from": ADA})), json!(null))
            .contact
            .provider_id,
        ADA
    );
}

fn message_or_item(value: Value) -> channels::Message {
    message(only(parse(&delivery("messages", value))))
}

#[test]
fn profiles_are_matched_by_id_and_never_by_place() {
    let value = json!({
        "metadata": metadata(),
        "contacts": [
            {"wa_id": "491", "profile": {"name": "One"}},
            {"user_id": "DE.2", "profile": {"name": "Two"}},
        ],
        "messages": [
            {"id": "a", "from_user_id": "DE.2", "type": "text", "text": {"body": "2"}},
            {"id": "b", "from": "493", "type": "text", "text": {"body": "3"}},
            {"id": "c", "from": "491", "type": "text", "text": {"body": "1"}},
        ],
    });
    let names: Vec<_> = items(parse(&delivery("messages", value)))
        .into_iter()
        .map(|item| message(item).contact.name)
        .collect();
    assert_eq!(
        names,
        [Some("Two".to_owned()), None, Some("One".to_owned())]
    );

    // The only profile is not everybody's.
    let value = json!({
        "contacts": [{"wa_id": "491", "user_id": "DE.1"}],
        "messages": [
            {"id": "a", "from": "491", "type": "text", "text": {"body": "1"}},
            {"id": "b", "from": "492", "type": "text", "text": {"body": "2"}},
        ],
    });
    let ids: Vec<_> = items(parse(&delivery("messages", value)))
        .into_iter()
        .map(|item| message(item).contact.provider_id)
        .collect();
    assert_eq!(ids, ["DE.1", "492"]);
}

#[test]
fn a_group_is_one_conversation_and_its_members_are_named() {
    let group = message(one(
        json!({"group_id": "G1", "type": "text", "text": {"body": "Hi all"}}),
    ));
    assert_eq!(group.contact.provider_id, "G1");
    assert!(group.contact.group);
    assert_eq!(group.contact.phone, None);
    assert_eq!(group.sender.name.as_deref(), Some("Ada"));
    assert_eq!(group.sender.phone.as_deref(), Some("+4915112345678"));
}

#[test]
fn without_a_sender_or_an_id_it_goes_to_quarantine() {
    for message in [
        json!({"id": "wamid.1", "type": "text", "text": {"body": "Hi"}}),
        json!({"id": "wamid.1", "from": "", "type": "text", "text": {"body": "Hi"}}),
        json!({"id": "wamid.1", "from": {"a": 1}, "type": "text", "text": {"body": "Hi"}}),
        json!({"id": "wamid.1", "group_id": "G1", "type": "text", "text": {"body": "Hi"}}),
        json!({"from": ADA, "type": "text", "text": {"body": "Hi"}}),
        json!({"id": [], "from": ADA, "type": "text", "text": {"body": "Hi"}}),
        json!({"id": "x".repeat(513), "from": ADA, "type": "text", "text": {"body": "Hi"}}),
        json!("a message"),
        json!(null),
    ] {
        let value = json!({"metadata": metadata(), "messages": [message]});
        let raw = unreadable(only(parse(&delivery("messages", value))));
        assert_eq!(raw, message.to_string());
    }
}

#[test]
fn echoes_are_what_the_business_wrote() {
    for field in ["smb_message_echoes", "message_echoes"] {
        for list in ["message_echoes", "messages"] {
            let echo = json!({
                "from": BUSINESS, "to": ADA, "id": "wamid.e", "timestamp": "1700000000",
                "type": "text", "text": {"body": "We are open"},
            });
            let value = json!({"metadata": metadata(), list: [echo]});
            let message = message(only(parse(&delivery(field, value))));
            assert_eq!(message.direction, Direction::Outbound);
            assert_eq!(message.contact.provider_id, ADA);
            assert_eq!(message.contact.phone.as_deref(), Some("+4915112345678"));
            assert_eq!(message.sender.phone.as_deref(), Some("+49301234567"));
            assert!(!message.historic);
        }
    }
    let value = json!({
        "metadata": metadata(),
        "message_echoes": [
            {"from": BUSINESS, "to_user_id": "DE.1", "id": "a", "type": "text", "text": {"body": "1"}},
            {"from": BUSINESS, "to": ADA, "id": "b", "type": "revoke", "revoke": {"original_message_id": "a"}},
            {"from": BUSINESS, "id": "c", "type": "text", "text": {"body": "To whom?"}},
            {"from": BUSINESS, "to": "G1", "recipient_type": "group", "id": "d", "type": "text", "text": {"body": "All"}},
        ],
    });
    let mut echoes = items(parse(&delivery("smb_message_echoes", value))).into_iter();
    assert_eq!(message(echoes.next().unwrap()).contact.provider_id, "DE.1");
    assert!(matches!(echoes.next(), Some(Item::Revoke(_))));
    assert!(matches!(echoes.next(), Some(Item::Unreadable { .. })));
    assert!(message(echoes.next().unwrap()).contact.group);
}

#[test]
fn history_has_its_own_time_and_direction() {
    let text = |id: &str, more: Value| {
        let mut message =
            json!({"id": id, "timestamp": "1600000000", "type": "text", "text": {"body": id}});
        message
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        message
    };
    let value = json!({
        "metadata": {"display_phone_number": "+49 30 1234567", "phone_number_id": "106"},
        "history": [
            {"metadata": {"phase": 0, "chunk_order": 1, "progress": 50}, "threads": [
                {"id": ADA, "messages": [
                    text("in.1", json!({"from": ADA})),
                    text("out.1", json!({"from": BUSINESS, "to": ADA})),
                    text("out.2", json!({"from": BUSINESS, "history_context": {"status": "READ", "from_me": true}})),
                    text("in.2", json!({"from": "0151 12345678"})),
                ]},
                {"id": "551187654321", "messages": [
                    text("in.3", json!({"from": "5511987654321"})),
                    text("out.3", json!({"from_me": true})),
                ]},
            ]},
            {"errors": [{"code": 2593109, "title": "declined"}]},
            {"threads": "none"},
            7,
        ],
    });
    let mut items = items(parse(&delivery("history", value)));
    let rest = items.split_off(6);
    for item in items {
        let message = message(item);
        let outbound = message.provider_id.starts_with("out");
        assert_eq!(
            message.direction == Direction::Outbound,
            outbound,
            "{}",
            message.provider_id
        );
        assert!(message.historic);
        assert_eq!(message.timestamp, Some(1_600_000_000));
        if outbound {
            assert!([ADA, "551187654321"].contains(&message.contact.provider_id.as_str()));
        }
    }
    assert_eq!(
        rest[0],
        Item::Ignored {
            kind: "history.errors".to_owned()
        }
    );
    assert!(matches!(rest[1], Item::Unreadable { .. }));
    assert!(matches!(rest[2], Item::Unreadable { .. }));
    assert_eq!(rest.len(), 3);
}

#[test]
fn media_of_history_comes_apart_from_its_thread() {
    let value = json!({
        "metadata": metadata(),
        "messages": [
            {"from": ADA, "id": "a", "type": "image", "image": {"id": "m1"}},
            {"from": BUSINESS, "to": ADA, "id": "b", "type": "image", "image": {"id": "m2"}},
        ],
    });
    let directions: Vec<_> = items(parse(&delivery("history", value)))
        .into_iter()
        .map(message)
        .map(|message| {
            (
                message.direction,
                message.historic,
                message.contact.provider_id,
            )
        })
        .collect();
    assert_eq!(
        directions,
        [
            (Direction::Inbound, true, ADA.to_owned()),
            (Direction::Outbound, true, ADA.to_owned()),
        ]
    );
}

#[test]
fn statuses_are_no_messages() {
    let status = |rest: Value| {
        let mut status = json!({"id": "wamid.9", "recipient_id": ADA, "timestamp": "1700000000"});
        status
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        only(parse(&delivery(
            "messages",
            json!({"metadata": metadata(), "statuses": [status]}),
        )))
    };
    for (name, expected) in [
        ("sent", DeliveryStatus::Sent),
        ("delivered", DeliveryStatus::Delivered),
        ("read", DeliveryStatus::Read),
        ("played", DeliveryStatus::Read),
        ("failed", DeliveryStatus::Failed),
    ] {
        assert_eq!(
            status(json!({"status": name})),
            Item::Status(Status {
                provider_id: "wamid.9".to_owned(),
                status: expected,
                timestamp: Some(1_700_000_000),
                error: None,
            })
        );
    }
    let failed =
        json!({"status": "failed", "errors": [{"code": 131047, "title": "Re-engagement message"}]});
    let Item::Status(failed) = status(failed) else {
        panic!("no status");
    };
    assert_eq!(
        failed.error.as_deref(),
        Some("131047 Re-engagement message")
    );
    assert_eq!(
        ignored(status(json!({"status": "deleted"}))),
        "status.deleted"
    );
    assert_eq!(
        ignored(status(json!({"status": "teleported"}))),
        "status.teleported"
    );
    assert_eq!(
        ignored(status(json!({"status": "failed", "type": "payment"}))),
        "status.payment"
    );
    assert!(matches!(
        status(json!({"status": "sent", "id": null})),
        Item::Unreadable { .. }
    ));
    assert!(matches!(status(json!({})), Item::Unreadable { .. }));
}

#[test]
fn reactions_edits_and_revokes_change_a_message() {
    let reaction = |reaction: Value| one(json!({"type": "reaction", "reaction": reaction}));
    let expected = |emoji: Option<&str>| {
        Item::Reaction(Reaction {
            provider_id: "wamid.0".to_owned(),
            by: ADA.to_owned(),
            emoji: emoji.map(str::to_owned),
            timestamp: Some(1_700_000_000),
        })
    };
    assert_eq!(
        reaction(json!({"message_id": "wamid.0", "emoji": "👍🏽"})),
        expected(Some("👍🏽"))
    );
    assert_eq!(
        reaction(json!({"message_id": "wamid.0", "emoji": ""})),
        expected(None)
    );
    assert_eq!(reaction(json!({"message_id": "wamid.0"})), expected(None));
    unreadable(reaction(json!({"emoji": "👍"})));
    unreadable(reaction(json!({"message_id": "wamid.0", "emoji": {}})));
    unreadable(one(json!({"type": "reaction"})));

    let edit = one(json!({"type": "edit", "edit": {
        "original_message_id": "wamid.0",
        "message": {"type": "image", "image": {"id": "m1", "caption": "New"}},
    }}));
    let content = json!({"media": {"id": "m1"}, "caption": "New"});
    assert_eq!(
        edit,
        Item::Edit(Edit {
            provider_id: "wamid.0".to_owned(),
            content: Some(content.as_object().unwrap().clone()),
            timestamp: Some(1_700_000_000),
        })
    );
    let blank = one(json!({"type": "edit", "edit": {"original_message_id": "wamid.0"}}));
    assert!(matches!(blank, Item::Edit(Edit { content: None, .. })));
    unreadable(one(json!({"type": "edit", "edit": {}})));

    assert_eq!(
        one(json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}})),
        Item::Revoke(Revoke {
            provider_id: "wamid.0".to_owned(),
            timestamp: Some(1_700_000_000),
        })
    );
    unreadable(one(json!({"type": "revoke"})));
}

#[test]
fn what_nobody_wrote_is_ignored() {
    assert_eq!(
        ignored(one(
            json!({"type": "system", "system": {"type": "user_changed_number"}})
        )),
        "system"
    );
    assert_eq!(
        ignored(one(json!({"type": "request_welcome"}))),
        "request_welcome"
    );
    for (field, value) in [
        (
            "smb_app_state_sync",
            json!({"metadata": metadata(), "state_sync": [{"type": "contact"}]}),
        ),
        ("account_update", json!({"event": "VERIFIED_ACCOUNT"})),
        (
            "message_template_status_update",
            json!({"event": "APPROVED", "message_template_id": 1}),
        ),
        ("phone_number_quality_update", json!({"event": "FLAGGED"})),
        ("security", json!("odd")),
        (
            "calls",
            json!({"metadata": metadata(), "calls": [{"id": "c1", "event": "connect"}]}),
        ),
        (
            "user_preferences",
            json!({"metadata": metadata(), "user_preferences": [{"value": "stop"}]}),
        ),
        ("something_new", json!({})),
    ] {
        assert_eq!(ignored(only(parse(&delivery(field, value)))), field);
    }
    let errors = json!({"metadata": metadata(), "errors": [{"code": 130429}]});
    assert_eq!(
        ignored(only(parse(&delivery("messages", errors)))),
        "errors"
    );
    let ringing = json!({"metadata": metadata(), "statuses": [{"id": "c1", "type": "call", "status": "RINGING"}]});
    assert_eq!(
        ignored(only(parse(&delivery("calls", ringing)))),
        "status.call"
    );
}

#[test]
fn a_field_never_seen_before_may_carry_messages() {
    let value = from_ada(json!([envelope(
        json!({"type": "text", "text": {"body": "Hi"}})
    )]));
    assert_eq!(
        message_ids(&items(parse(&delivery("messages_v2", value)))),
        ["wamid.1"]
    );
}

#[test]
fn a_change_of_messages_without_any_is_not_dropped_silently() {
    for value in [
        json!({"metadata": metadata()}),
        json!({"messages": 5}),
        json!([]),
        json!(null),
    ] {
        unreadable(only(parse(&delivery("messages", value))));
    }
    assert_eq!(
        ignored(only(parse(&delivery("messages", json!({"messages": []}))))),
        "messages"
    );
}

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
    let delivery = parse(&json!({"entry": (0..10).map(|at| entry(at * 5)).collect::<Vec<_>>()}));
    assert_eq!(delivery.parts.len(), 50);
    let addresses: Vec<_> = delivery
        .parts
        .iter()
        .filter_map(|part| part.address.clone())
        .collect();
    assert_eq!(
        addresses,
        (0..50).map(|at| at.to_string()).collect::<Vec<_>>()
    );
    let items = items(delivery);
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
        assert_eq!(unreadable(items[1].clone()), bad);
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
        .map(|message| (message.provider_id, message.content["text"].clone()))
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
        message(only(whatsapp::parse(&invalid).unwrap())).content["text"],
        "\u{fffd}\u{fffd}"
    );
}

#[test]
fn ids_and_times_come_in_any_type() {
    let message = message(only(parse(&delivery(
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
    assert_eq!(message.contact.provider_id, ADA);
    assert_eq!(message.timestamp, Some(1_700_000_000));
    assert_eq!(message.content["text"], "5");
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

#[test]
fn what_is_no_delivery_is_malformed() {
    let whole = delivery("messages", from_ada(json!([]))).to_string();
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
        {"phone_number_id":"106"},{"phone_number_id":null},{"phone_number_id":""},{"phone_number_id""#;
    assert_eq!(whatsapp::addresses(body), ["106", "107"]);
    assert!(whatsapp::addresses(b"\xff\"phone_number_id\":").is_empty());
    let many: String = (0..1000)
        .map(|at| format!(r#""phone_number_id":"{at}""#))
        .collect();
    assert_eq!(whatsapp::addresses(many.as_bytes()).len(), 64);
}
