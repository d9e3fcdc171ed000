//! `PATCH /inboxes/{id}`: only what is given changes, and what is wrong changes nothing.

use crate::support::{
    Answer, Store, TestApp, on_both_stores,
    whatsapp::{APP_SECRET, text, update},
    whatsapp_body,
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores![
    only_what_is_given_changes,
    an_empty_change_changes_nothing,
    active_returns_a_never_proved_inbox_to_pending,
    active_returns_a_proved_inbox_to_active,
    a_message_to_an_inactive_inbox_is_stored_and_does_not_switch_it_on,
    each_wrong_field_is_an_error_and_changes_nothing,
    all_wrong_fields_are_reported_at_once,
    what_a_create_sets_for_good_cannot_be_changed,
    a_new_app_secret_holds_from_the_next_update,
    an_optional_credential_is_taken_away_by_null,
    a_moved_number_is_found_under_its_new_id_only,
    a_moved_number_has_to_prove_itself_anew,
    a_taken_phone_number_id_is_a_conflict_and_changes_nothing,
    an_inbox_may_be_given_the_address_that_it_has,
    changes_at_once_do_not_undo_each_other,
    another_accounts_inbox_is_not_found,
];

async fn change(app: &TestApp, inbox: &InboxId, body: &Value) -> Answer {
    let key = app.key(&[Scope::Write]).await;
    app.patch(&format!("/inboxes/{inbox}"))
        .key(&key)
        .json(body)
        .send()
        .await
}

async fn hello(app: &TestApp, number: &str, id: &str) -> Answer {
    app.deliver(&update(number, &[text("628111", id, "Hello")]))
        .await
}

async fn only_what_is_given_changes(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let mut expected = app.shown(&inbox).await;
    expected["name"] = "Sales".into();
    let answer = change(&app, &inbox, &json!({"name": "  Sales "})).await;
    answer.assert_json(200, &json!({"success": true, "data": expected}));
    assert_eq!(app.shown(&inbox).await, expected);
    expected["status"] = "inactive".into();
    let answer = change(&app, &inbox, &json!({"status": "inactive"})).await;
    answer.assert_json(200, &json!({"success": true, "data": expected}));
    assert_eq!(app.listing().await, json!([expected]));
    // A rename leaves it switched off.
    change(&app, &inbox, &json!({"name": "Sales"})).await;
    assert_eq!(app.shown(&inbox).await, expected);
}

async fn an_empty_change_changes_nothing(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let before = app.shown(&inbox).await;
    for body in [json!({}), json!({"channel": {}})] {
        let answer = change(&app, &inbox, &body).await;
        answer.assert_json(200, &json!({"success": true, "data": before}));
    }
}

async fn active_returns_a_never_proved_inbox_to_pending(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    for (ask, status) in [
        ("active", "pending"),
        ("inactive", "inactive"),
        ("active", "pending"),
    ] {
        let answer = change(&app, &inbox, &json!({"status": ask})).await;
        assert_eq!(answer.data()["status"], status);
    }
}

async fn active_returns_a_proved_inbox_to_active(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    hello(&app, "1001", "w1").await.assert_status(200);
    for status in ["inactive", "inactive", "active", "active"] {
        let answer = change(&app, &inbox, &json!({"status": status})).await;
        assert_eq!(answer.data()["status"], status);
    }
}

async fn a_message_to_an_inactive_inbox_is_stored_and_does_not_switch_it_on(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    change(&app, &inbox, &json!({"status": "inactive"}))
        .await
        .assert_status(200);
    hello(&app, "1001", "w1").await.assert_status(200);
    let shown = app.shown(&inbox).await;
    assert_eq!(
        (&shown["status"], &shown["messages_count"]),
        (&json!("inactive"), &json!(1))
    );
    // It was the proof all the same.
    let answer = change(&app, &inbox, &json!({"status": "active"})).await;
    assert_eq!(answer.data()["status"], "active");
}

async fn each_wrong_field_is_an_error_and_changes_nothing(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let before = app.listing().await;
    let status = "must be active or inactive";
    let not_null = "must not be null";
    for (body, field, message) in [
        (json!({"name": ""}), "name", "must have 1 to 100 characters"),
        (
            json!({"name": "a\0b"}),
            "name",
            "must not contain control characters",
        ),
        (json!({"name": null}), "name", not_null),
        (json!({"name": 1}), "name", "must be a string"),
        (json!({"status": "pending"}), "status", status),
        (json!({"status": "Active"}), "status", status),
        (json!({"status": null}), "status", not_null),
        (json!({"status": true}), "status", "must be a string"),
        (json!({"channel": "x"}), "channel", "must be an object"),
        (json!({"channel": null}), "channel", not_null),
        (
            json!({"channel": {"app_secret": null}}),
            "channel.app_secret",
            not_null,
        ),
        (
            json!({"channel": {"phone_number_id": null}}),
            "channel.phone_number_id",
            not_null,
        ),
        (
            json!({"channel": {"bot_token": "1:a"}}),
            "channel.bot_token",
            "does not apply to type whatsapp",
        ),
        (json!({"nickname": "x"}), "nickname", "is not a known field"),
    ] {
        change(&app, &inbox, &body)
            .await
            .assert_wrong_fields(&[(field, message)]);
        // A good field beside a bad one does not go through either.
        let mut both = body.clone();
        if field != "name" {
            both["name"] = "New".into();
            change(&app, &inbox, &both).await.assert_status(400);
        }
    }
    assert_eq!(app.listing().await, before);
}

async fn all_wrong_fields_are_reported_at_once(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let body =
        json!({"name": "", "status": "off", "channel": {"allowed_origins": ["x"], "y": 1}, "z": 1});
    change(&app, &inbox, &body).await.assert_wrong_fields(&[
        ("name", "must have 1 to 100 characters"),
        ("status", "must be active or inactive"),
        (
            "channel.allowed_origins[0]",
            "must be an origin, as in https://www.example.com",
        ),
        ("channel.y", "is not a known field"),
        ("z", "is not a known field"),
    ]);
}

async fn what_a_create_sets_for_good_cannot_be_changed(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    for (name, value) in app.shown(&inbox).await.as_object().expect("an inbox") {
        if name != "name" && name != "status" {
            let answer = change(&app, &inbox, &json!({name: value})).await;
            answer.assert_wrong_fields(&[(name, "cannot be changed")]);
        }
    }
}

async fn a_new_app_secret_holds_from_the_next_update(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let body = json!({"channel": {"app_secret": "rotated"}});
    change(&app, &inbox, &body).await.assert_status(200);
    let payload = update("1001", &[text("628111", "w1", "Hi")]).to_string();
    app.deliver_bytes(payload.as_bytes(), APP_SECRET)
        .await
        .assert_status(401);
    app.deliver_bytes(payload.as_bytes(), "rotated")
        .await
        .assert_status(200);
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
}

async fn an_optional_credential_is_taken_away_by_null(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Write]).await;
    for (given, set) in [
        (json!("t"), true),
        (json!("other"), true),
        (Value::Null, false),
        (Value::Null, false),
    ] {
        let body = json!({"channel": {"access_token": given}});
        change(&app, &inbox, &body).await.assert_status(200);
        let setup = app
            .get(&format!("/inboxes/{inbox}/setup"))
            .key(&key)
            .send()
            .await;
        assert_eq!(setup.data()["credentials"]["access_token"], set);
    }
}

async fn a_moved_number_is_found_under_its_new_id_only(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let body = json!({"channel": {"phone_number_id": "2002"}});
    change(&app, &inbox, &body).await.assert_status(200);
    hello(&app, "1001", "w1").await.assert_status(404);
    hello(&app, "2002", "w1").await.assert_status(200);
    // The old one is free for another inbox.
    let mut other = whatsapp_body("1001");
    other["phone_number"] = "+49301234567".into();
    app.inbox(other).await;
    hello(&app, "1001", "w1").await.assert_status(200);
}

async fn a_moved_number_has_to_prove_itself_anew(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    hello(&app, "1001", "w1").await.assert_status(200);
    let to = |number: &str| json!({"channel": {"phone_number_id": number}});
    let status = async |body: &Value| change(&app, &inbox, body).await.data()["status"].clone();
    assert_eq!(status(&to("1001")).await, "active", "it did not move");
    assert_eq!(status(&to("2002")).await, "pending");
    assert_eq!(app.shown(&inbox).await["status"], "pending");
    hello(&app, "2002", "w2").await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["status"], "active");
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);

    // One that is switched off stays off, and is not proved when it is switched on.
    let body = json!({"status": "inactive", "channel": {"phone_number_id": "3003"}});
    assert_eq!(status(&body).await, "inactive");
    assert_eq!(status(&json!({"status": "active"})).await, "pending");
}

async fn a_taken_phone_number_id_is_a_conflict_and_changes_nothing(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    app.whatsapp("1002").await;
    let before = app.listing().await;
    let body = json!({"name": "New", "status": "inactive", "channel": {"phone_number_id": "1002", "app_secret": "new"}});
    change(&app, &inbox, &body).await.assert_conflict(
        "address_taken",
        "This whatsapp address is already connected to an inbox of this server (channel.phone_number_id)",
    );
    assert_eq!(app.listing().await, before);
    hello(&app, "1001", "w1").await.assert_status(200);
}

async fn an_inbox_may_be_given_the_address_that_it_has(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let body = json!({"channel": whatsapp_body("1001")["channel"]});
    change(&app, &inbox, &body).await.assert_status(200);
    hello(&app, "1001", "w1").await.assert_status(200);
}

async fn changes_at_once_do_not_undo_each_other(store: Store) {
    let app = Arc::new(TestApp::start(store).await);
    let inbox = app.whatsapp("1001").await;
    let bodies = [
        json!({"name": "Sales"}),
        json!({"status": "inactive"}),
        json!({"channel": {"business_account_id": "b1"}}),
        json!({"channel": {"access_token": "t1"}}),
    ];
    let changes = bodies.map(|body| {
        let (app, inbox) = (app.clone(), inbox.clone());
        tokio::spawn(async move { change(&app, &inbox, &body).await.assert_status(200) })
    });
    for change in changes {
        change.await.expect("no panic");
    }
    let shown = app.shown(&inbox).await;
    assert_eq!(
        (&shown["name"], &shown["status"]),
        (&json!("Sales"), &json!("inactive"))
    );
    let key = app.key(&[Scope::Write]).await;
    let setup = app
        .get(&format!("/inboxes/{inbox}/setup"))
        .key(&key)
        .send()
        .await
        .data();
    assert_eq!(setup["business_account_id"], "b1");
    assert_eq!(setup["credentials"]["access_token"], true);
}

async fn another_accounts_inbox_is_not_found(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let other = app.another_account().await;
    let key = app.key_of(&other, &Scope::ALL).await;
    for path in [
        format!("/inboxes/{inbox}"),
        "/inboxes/inbox_nobodys".to_owned(),
    ] {
        // Found out before the fields are looked at: those are no business of a stranger.
        for body in [json!({"name": "Mine"}), json!({"name": ""})] {
            let answer = app.patch(&path).key(&key).json(&body).send().await;
            answer.assert_error(404, "NOT_FOUND", "Inbox not found");
        }
    }
    assert_eq!(app.shown(&inbox).await["name"], "Website");
}
