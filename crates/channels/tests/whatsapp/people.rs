//! Who wrote to whom.

use super::*;

#[test]
fn identity_is_the_most_durable_id() {
    let with = |message: Value, contacts: Value| {
        let value = json!({"metadata": metadata(), "contacts": contacts, "messages": [message]});
        message_of(value)
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
        assert_eq!(contact.provider_id(), "DE.1");
        assert_eq!(
            known_by(&contact),
            [("user_id", "DE.1", "waba-1"), ("phone", ADA, "")]
        );
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
    assert_eq!(contact.provider_id(), "DE.1");
    assert_eq!(known_by(&contact), [("user_id", "DE.1", "waba-1")]);
    assert_eq!(contact.phone, None);

    // The number is spelled in two ways; there is only one person.
    let contact = with(
        text(json!({"from": "5511987654321"})),
        json!([{"wa_id": "551187654321", "profile": profile}]),
    );
    assert_eq!(
        known_by(&contact.contact),
        [
            ("phone", "5511987654321", ""),
            ("phone", "551187654321", "")
        ]
    );
    assert_eq!(contact.contact.phone.as_deref(), Some("+5511987654321"));
    assert_eq!(contact.contact.name.as_deref(), Some("Ada"));

    // The same id in both places is one id.
    let from = json!({"from": ADA, "from_user_id": ADA});
    let contact = with(text(from), json!(null)).contact;
    assert_eq!(known_by(&contact), [("user_id", ADA, "waba-1")]);

    // An id for several business accounts is nobody's in particular.
    let from = json!({"from": ADA, "from_user_id": "DE.1", "from_parent_user_id": "DE.ENT.1"});
    let contact = with(text(from), json!(null)).contact;
    assert_eq!(
        known_by(&contact),
        [
            ("user_id", "DE.1", "waba-1"),
            ("parent_user_id", "DE.ENT.1", ""),
            ("phone", ADA, "")
        ]
    );

    // No contacts at all.
    assert_eq!(
        with(text(json!({"from": ADA})), json!(null))
            .contact
            .provider_id(),
        ADA
    );
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
    let names: Vec<_> = items(parse(&update("messages", value)))
        .into_iter()
        .map(|item| message(item).contact.name)
        .collect();
    assert_eq!(names, [Some("Two".into()), None, Some("One".into())]);

    // The only profile is not everybody's.
    let value = json!({
        "contacts": [{"wa_id": "491", "user_id": "DE.1"}],
        "messages": [
            {"id": "a", "from": "491", "type": "text", "text": {"body": "1"}},
            {"id": "b", "from": "492", "type": "text", "text": {"body": "2"}},
        ],
    });
    let ids: Vec<_> = items(parse(&update("messages", value)))
        .into_iter()
        .map(|item| message(item).contact.provider_id().to_owned())
        .collect();
    assert_eq!(ids, ["DE.1", "492"]);
}

#[test]
fn a_group_is_one_conversation_and_its_members_are_named() {
    let group = message(one(
        json!({"group_id": "G1", "type": "text", "text": {"body": "Hi all"}}),
    ));
    assert_eq!(group.contact.provider_id(), "G1");
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
        unreadable(only(parse(&update("messages", value))));
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
            let message = message(only(parse(&update(field, value))));
            assert_eq!(message.direction, Direction::Outbound);
            assert_eq!(message.contact.provider_id(), ADA);
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
    let mut echoes = items(parse(&update("smb_message_echoes", value))).into_iter();
    assert_eq!(
        message(echoes.next().unwrap()).contact.provider_id(),
        "DE.1"
    );
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
    let mut items = items(parse(&update("history", value)));
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
        if message.provider_id == "in.3" {
            // A thread is the customer's, however his number is spelled in it.
            assert_eq!(
                known_by(&message.contact),
                [
                    ("phone", "5511987654321", ""),
                    ("phone", "551187654321", "")
                ]
            );
        }
        if outbound {
            assert!([ADA, "551187654321"].contains(&message.contact.provider_id()));
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
    let directions: Vec<_> = items(parse(&update("history", value)))
        .into_iter()
        .map(message)
        .map(|message| {
            (
                message.direction,
                message.historic,
                message.contact.provider_id().to_owned(),
            )
        })
        .collect();
    assert_eq!(
        directions,
        [
            (Direction::Inbound, true, ADA.into()),
            (Direction::Outbound, true, ADA.into()),
        ]
    );
}

#[test]
fn a_message_may_be_announced_without_its_content() {
    for (kind, announced) in [
        ("media_placeholder", true),
        ("unsupported", true),
        ("hologram", false),
        ("text", false),
    ] {
        let message = message_of(from_ada(json!([envelope(
            json!({"type": kind, "text": {"body": "Hi"}})
        )])));
        assert_eq!(message.placeholder, announced, "{kind}");
    }
}

#[test]
fn history_says_how_far_a_message_had_come() {
    let status = |from: &str, status: Value| {
        let context = json!({"status": status});
        let sent = json!({"id": "a", "from": from, "to": "3", "type": "text", "text": {"body": "Hi"},
            "history_context": context});
        let threads = json!([{"id": ADA, "messages": [sent]}]);
        let value = json!({"metadata": metadata(), "history": [{"threads": threads}]});
        message(only(parse(&update("history", value)))).status
    };
    for (theirs, ours) in [
        (json!("PENDING"), Some(DeliveryStatus::Queued)),
        (json!("SENT"), Some(DeliveryStatus::Sent)),
        (json!("delivered"), Some(DeliveryStatus::Delivered)),
        (json!("READ"), Some(DeliveryStatus::Read)),
        (json!("PLAYED"), Some(DeliveryStatus::Read)),
        (json!("ERROR"), Some(DeliveryStatus::Failed)),
        (json!("NEW"), None),
        (json!(7), None),
    ] {
        assert_eq!(status(BUSINESS, theirs.clone()), ours, "{theirs}");
        assert_eq!(status(ADA, theirs), None);
    }
}

#[test]
fn a_changed_number_or_user_id_is_said_of_one_person() {
    let renamed = |from: Value, system: Value| {
        let mut message =
            json!({"id": "wamid.1", "timestamp": "1700000000", "type": "system", "system": system});
        let from = from.as_object().unwrap().clone();
        message.as_object_mut().unwrap().extend(from);
        let value = json!({"metadata": metadata(), "messages": [message]});
        match only(parse(&update("messages", value))) {
            Item::Renamed(renamed) => *renamed,
            other => panic!("not renamed: {other:?}"),
        }
    };
    let new = "4915187654321";
    for (kind, key) in [
        ("user_changed_number", "wa_id"),
        ("customer_changed_number", "new_wa_id"),
    ] {
        let said = renamed(
            json!({"from": ADA}),
            json!({"type": kind, key: new, "body": "changed"}),
        );
        assert_eq!(known_by(&said.contact), [("phone", new, "")]);
        assert_eq!(identities(&said.former), [("phone", ADA, "")]);
        assert_eq!(said.contact.phone.as_deref(), Some("+4915187654321"));
        assert_eq!(said.timestamp, Some(Moment::seconds(1_700_000_000)));
    }
    // With the number the user id changes.
    let said = renamed(
        json!({"from": ADA, "from_user_id": "DE.1"}),
        json!({"type": "user_changed_number", "wa_id": new, "user_id": "DE.2", "previous_user_id": "DE.1",
            "parent_user_id": "DE.ENT.2", "previous_parent_user_id": "DE.ENT.1"}),
    );
    assert_eq!(
        known_by(&said.contact),
        [
            ("user_id", "DE.2", "waba-1"),
            ("parent_user_id", "DE.ENT.2", ""),
            ("phone", new, "")
        ]
    );
    assert_eq!(
        identities(&said.former),
        [
            ("user_id", "DE.1", "waba-1"),
            ("parent_user_id", "DE.ENT.1", ""),
            ("phone", ADA, "")
        ]
    );
    // Without a number that may be shown; and where the message itself is from the new id.
    for from in [json!({}), json!({"from_user_id": "DE.2"})] {
        let system =
            json!({"type": "user_changed_user_id", "user_id": "DE.2", "previous_user_id": "DE.1"});
        let said = renamed(from, system);
        assert_eq!(known_by(&said.contact), [("user_id", "DE.2", "waba-1")]);
        assert_eq!(identities(&said.former), [("user_id", "DE.1", "waba-1")]);
    }
    // The former id stands only in the message, and the number stays.
    let said = renamed(
        json!({"from": ADA, "from_user_id": "DE.1"}),
        json!({"type": "user_changed_user_id", "user_id": "DE.2"}),
    );
    assert_eq!(
        known_by(&said.contact),
        [("user_id", "DE.2", "waba-1"), ("phone", ADA, "")]
    );
    assert_eq!(identities(&said.former), [("user_id", "DE.1", "waba-1")]);
    // What says of nobody what he was is nothing to apply.
    for system in [
        json!({"type": "user_changed_number"}),
        json!({"type": "user_changed_number", "wa_id": ADA}),
        json!({"type": "user_identity_changed", "wa_id": new}),
    ] {
        let message = envelope(json!({"type": "system", "system": system}));
        assert_eq!(
            ignored(only(parse(&update("messages", from_ada(json!([message])))))),
            "system"
        );
    }
}
