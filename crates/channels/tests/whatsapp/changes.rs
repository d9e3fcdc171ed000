//! What is no message: it changes one, or is ignored.

use super::*;

#[test]
fn statuses_are_no_messages() {
    let status = |rest: Value| {
        let mut status = json!({"id": "wamid.9", "recipient_id": ADA, "timestamp": "1700000000"});
        status
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        only(parse(&update(
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
            Item::from(Status {
                provider_id: "wamid.9".to_owned(),
                status: expected,
                timestamp: Some(Moment::seconds(1_700_000_000)),
                error: None,
                our_id: None,
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
        Item::from(Reaction {
            provider_id: "wamid.0".to_owned(),
            by: ADA.to_owned(),
            emoji: emoji.map(str::to_owned),
            id: Some("wamid.1".to_owned()),
            timestamp: Some(Moment::seconds(1_700_000_000)),
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
        Item::from(Edit {
            provider_id: "wamid.0".to_owned(),
            content: Some((Kind::Image, content.as_object().unwrap().clone().into())),
            timestamp: Some(Moment::seconds(1_700_000_000)),
        })
    );
    let hologram = json!({"type": "hologram", "hologram": {"beam": 7}});
    let unknown = one(json!({"type": "edit", "edit": {
        "original_message_id": "wamid.0", "message": hologram}}));
    let Item::Edit(unknown) = unknown else {
        panic!("no edit");
    };
    let (kind, content) = unknown.content.unwrap();
    assert_eq!(kind, Kind::Unsupported);
    assert_eq!(common::value(&content), json!({"raw": hologram}));
    let blank = one(json!({"type": "edit", "edit": {"original_message_id": "wamid.0"}}));
    assert!(matches!(blank, Item::Edit(edit) if edit.content.is_none()));
    unreadable(one(json!({"type": "edit", "edit": {}})));

    assert_eq!(
        one(json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}})),
        Item::from(Revoke {
            provider_id: "wamid.0".to_owned(),
            timestamp: Some(Moment::seconds(1_700_000_000)),
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
        ("security", json!("odd")),
        (
            "calls",
            json!({"metadata": metadata(), "calls": [{"id": "c1", "event": "connect"}]}),
        ),
        (
            "user_preferences",
            json!({"metadata": metadata(), "user_preferences": [{"value": "stop"}]}),
        ),
    ] {
        assert_eq!(ignored(only(parse(&update(field, value)))), field);
    }
    let errors = json!({"metadata": metadata(), "errors": [{"code": 130429}]});
    assert_eq!(ignored(only(parse(&update("messages", errors)))), "errors");
    let ringing = json!({"metadata": metadata(), "statuses": [{"id": "c1", "type": "call", "status": "RINGING"}]});
    assert_eq!(
        ignored(only(parse(&update("calls", ringing)))),
        "status.call"
    );
}

#[test]
fn what_is_about_a_business_account_is_kept_as_it_is() {
    let value = json!({"event": "APPROVED", "message_template_id": 1});
    for field in ["account_update", "message_template_status_update", "new"] {
        let change = json!({"field": field, "value": value});
        let entry =
            |id: &str| json!({"entry": [{"id": id, "time": 1_736_928_000, "changes": [change]}]});
        let update = parse(&entry("102"));
        assert_eq!(update.parts[0].address, None);
        let Item::Business(change) = only(update) else {
            panic!("{field} is not kept");
        };
        assert_eq!(&*change.business_account_id, "102");
        assert_eq!(change.field, field);
        assert_eq!(change.value.as_str(), value.to_string());
        assert_eq!(change.timestamp, Some(Moment::seconds(1_736_928_000)));
        assert_eq!(ignored(only(parse(&entry("0")))), field, "a test");
    }
    let long = json!({"event": "x".repeat(70_000)});
    assert_eq!(ignored(only(parse(&update("new", long)))), "new");
}

#[test]
fn a_field_never_seen_before_may_carry_messages() {
    let value = from_ada(json!([envelope(
        json!({"type": "text", "text": {"body": "Hi"}})
    )]));
    assert_eq!(
        message_ids(&items(parse(&update("messages_v2", value)))),
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
        unreadable(only(parse(&update("messages", value))));
    }
    assert_eq!(
        ignored(only(parse(&update("messages", json!({"messages": []}))))),
        "messages"
    );
}
