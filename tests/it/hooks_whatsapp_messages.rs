//! `POST /hooks/whatsapp`: what becomes of an update that is let in. What a single message looks like is tested
//! with the parser.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{APP_SECRET, counted, hello, text, update, updates, value},
};
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores![
    a_signed_update_is_stored_counted_and_proves_the_inbox,
    every_message_of_every_entry_is_taken,
    a_redelivery_changes_nothing,
    the_same_message_twice_in_one_update_counts_once,
    the_same_message_id_in_two_inboxes_is_two_messages,
    redeliveries_at_once_store_one_message,
    first_messages_at_once_make_one_contact_and_one_conversation,
    statuses_reactions_edits_and_revokes_are_no_messages,
    a_revoked_message_stays_counted,
    what_the_business_sent_elsewhere_counts_too,
    an_unknown_kind_is_kept_as_unsupported,
    what_cannot_be_understood_is_kept_in_quarantine_beside_the_rest,
    a_body_that_is_no_json_is_kept_in_quarantine_once,
    nul_and_lone_surrogates_in_a_message_are_survived,
    a_update_with_nothing_in_it_is_accepted,
    two_nodes_store_the_same_updates_once,
];

async fn a_signed_update_is_stored_counted_and_proves_the_inbox(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    assert_eq!(app.shown(&inbox).await["status"], "pending");
    let answer = app.deliver(&hello("w1")).await;
    answer.assert_status(200);
    assert!(answer.body.is_empty());
    let shown = app.shown(&inbox).await;
    assert_eq!(
        (&shown["status"], &shown["messages_count"]),
        (&json!("active"), &json!(1))
    );
    for table in ["messages", "contacts", "conversations"] {
        assert_eq!(app.count(table).await, 1, "{table}");
    }
    let row = "messages WHERE provider_id = 'w1' AND direction = 'inbound' AND type = 'text'
        AND content = '{\"text\":\"Hello\"}' AND timestamp = 1736928000";
    assert_eq!(app.count(row).await, 1);
}

async fn every_message_of_every_entry_is_taken(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    app.whatsapp("1002").await;
    let texts = |from: &str, ids: std::ops::Range<i32>| -> Vec<Value> {
        ids.map(|id| text(from, &format!("w{id}"), "Hi")).collect()
    };
    let mut payload = updates(&[
        ("1001", &texts("628111", 0..3)),
        ("1002", &texts("628111", 3..5)),
        ("1001", &texts("628222", 5..9)),
    ]);
    // A second change in the first entry, too.
    let change = update("1002", &texts("628333", 9..10))["entry"][0]["changes"][0].clone();
    payload["entry"][0]["changes"]
        .as_array_mut()
        .expect("changes")
        .push(change);
    app.deliver(&payload).await.assert_status(200);
    assert_eq!(counted(&app).await, [7, 3]);
    assert_eq!(app.count("messages").await, 10);
    assert_eq!(app.count("conversations").await, 4);
    assert_eq!(app.count("contacts").await, 3);
}

async fn a_redelivery_changes_nothing(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let payload = update(
        "1001",
        &[text("628111", "w1", "Hello"), text("628111", "w2", "World")],
    );
    app.deliver(&payload).await.assert_status(200);
    let before = app.listing().await;
    for later in [0, 60, 90 * 86_400] {
        app.context.clock.advance(later);
        app.deliver(&payload).await.assert_status(200);
        // Partly new is fine as well.
        app.deliver(&hello("w2")).await.assert_status(200);
    }
    assert_eq!(app.listing().await, before);
    assert_eq!(
        app.count("messages WHERE received_at = 1736928000").await,
        2
    );
}

async fn the_same_message_twice_in_one_update_counts_once(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let one = text("628111", "w1", "Hello");
    let payload = updates(&[("1001", &[one.clone(), one.clone()]), ("1001", &[one])]);
    app.deliver(&payload).await.assert_status(200);
    assert_eq!(counted(&app).await, [1]);
}

async fn the_same_message_id_in_two_inboxes_is_two_messages(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    app.whatsapp("1002").await;
    let one = [text("628111", "w1", "Hello")];
    app.deliver(&updates(&[("1001", &one), ("1002", &one)]))
        .await
        .assert_status(200);
    assert_eq!(counted(&app).await, [1, 1]);
}

async fn redeliveries_at_once_store_one_message(store: Store) {
    let app = Arc::new(TestApp::start(store).await);
    app.whatsapp("1001").await;
    let all: Vec<_> = (0..20)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.deliver(&hello("w1")).await.assert_status(200) })
        })
        .collect();
    for one in all {
        one.await.expect("no panic");
    }
    assert_eq!(counted(&app).await, [1]);
    assert_eq!(app.count("messages").await, 1);
}

async fn first_messages_at_once_make_one_contact_and_one_conversation(store: Store) {
    let app = Arc::new(TestApp::start(store).await);
    app.whatsapp("1001").await;
    let all: Vec<_> = (0..20)
        .map(|id| {
            let app = app.clone();
            tokio::spawn(async move {
                app.deliver(&hello(&format!("w{id}")))
                    .await
                    .assert_status(200)
            })
        })
        .collect();
    for one in all {
        one.await.expect("no panic");
    }
    assert_eq!(counted(&app).await, [20]);
    assert_eq!(app.count("contacts").await, 1);
    assert_eq!(
        app.count("conversations WHERE messages_count = 20").await,
        1
    );
}

async fn statuses_reactions_edits_and_revokes_are_no_messages(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    app.deliver(&hello("w1")).await.assert_status(200);
    let at = "1736928001";
    let statuses = json!([{"id": "w1", "status": "delivered", "timestamp": at, "recipient_id": "628111"},
        {"id": "w1", "status": "read", "timestamp": at, "recipient_id": "628111"}]);
    app.deliver(&value("1001", "statuses", statuses))
        .await
        .assert_status(200);
    let messages = json!([
        {"from": "628111", "id": "w2", "timestamp": at, "type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}},
        {"from": "628111", "id": "w3", "timestamp": at, "type": "edit", "edit": {"original_message_id": "w1",
            "message": {"type": "text", "text": {"body": "Hello!"}}}},
        {"from": "628111", "id": "w4", "timestamp": at, "type": "revoke", "revoke": {"original_message_id": "w1"}},
    ]);
    let messages = value("1001", "messages", messages);
    for _ in 0..2 {
        app.deliver(&messages).await.assert_status(200);
    }
    assert_eq!(counted(&app).await, [1]);
    assert_eq!(app.count("messages").await, 1);
    assert_eq!(app.count("message_changes").await, 5);
    assert_eq!(app.count("quarantine").await, 0);
}

async fn a_revoked_message_stays_counted(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let revoke = json!([{"from": "628111", "id": "w2", "timestamp": "1736928001", "type": "revoke",
        "revoke": {"original_message_id": "w1"}}]);
    // The revoke may even come first.
    app.deliver(&value("1001", "messages", revoke))
        .await
        .assert_status(200);
    assert_eq!(counted(&app).await, [0]);
    app.deliver(&hello("w1")).await.assert_status(200);
    assert_eq!(counted(&app).await, [1]);
}

async fn what_the_business_sent_elsewhere_counts_too(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let echo = json!([{"from": "62812345678", "to": "628111", "id": "w9", "timestamp": "1736928000",
        "type": "text", "text": {"body": "From the phone"}}]);
    let mut payload = value("1001", "message_echoes", echo);
    payload["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
    app.deliver(&payload).await.assert_status(200);
    assert_eq!(counted(&app).await, [1]);
    assert_eq!(app.count("messages WHERE direction = 'outbound'").await, 1);
    // It is the same thread as what the customer writes.
    app.deliver(&hello("w1")).await.assert_status(200);
    assert_eq!(app.count("conversations").await, 1);
}

async fn an_unknown_kind_is_kept_as_unsupported(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let hologram = json!([{"from": "628111", "id": "w1", "timestamp": "1736928000", "type": "hologram",
        "hologram": {"beam": 7}}]);
    app.deliver(&value("1001", "messages", hologram))
        .await
        .assert_status(200);
    assert_eq!(counted(&app).await, [1]);
    let row = "messages WHERE type = 'unsupported' AND content LIKE '%hologram%beam%'";
    assert_eq!(app.count(row).await, 1);
}

async fn what_cannot_be_understood_is_kept_in_quarantine_beside_the_rest(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let messages = json!([7, text("628111", "w1", "Fine"), {"type": "text"}]);
    let payload = value("1001", "messages", messages);
    for _ in 0..2 {
        app.deliver(&payload).await.assert_status(200);
        assert_eq!(counted(&app).await, [1]);
        // The whole update, once: an item alone may not make sense later.
        assert_eq!(app.count("quarantine").await, 1);
    }
}

async fn a_body_that_is_no_json_is_kept_in_quarantine_once(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let body = hello("w1").to_string();
    let broken = &body.as_bytes()[..body.len() - 4];
    for _ in 0..2 {
        app.deliver_bytes(broken, APP_SECRET)
            .await
            .assert_status(200);
    }
    assert_eq!(app.count("quarantine").await, 1);
    assert_eq!(counted(&app).await, [0]);
}

async fn nul_and_lone_surrogates_in_a_message_are_survived(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let payload = update(
        "1001",
        &[text("628111", "w1", "TEXT"), text("628111", "w2", "Fine")],
    )
    .to_string();
    for (round, bad) in [r"a\u0000b", r"a\ud800b", r"\udfff"].iter().enumerate() {
        let body = payload
            .replace("TEXT", bad)
            .replace("\"w", &format!("\"w{round}"));
        app.deliver_bytes(body.as_bytes(), APP_SECRET)
            .await
            .assert_status(200);
    }
    assert_eq!(counted(&app).await, [6]);
    assert_eq!(app.count("messages WHERE content LIKE '%Fine%'").await, 3);
}

async fn a_update_with_nothing_in_it_is_accepted(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    app.deliver(&update("1001", &[])).await.assert_status(200);
    assert_eq!(counted(&app).await, [0]);
}

async fn two_nodes_store_the_same_updates_once(store: Store) {
    let app = Arc::new(TestApp::start(store).await);
    let node = Arc::new(app.another_node().await);
    app.whatsapp("1001").await;
    let mut all = Vec::new();
    for id in 0..15 {
        for node in [app.clone(), node.clone()] {
            let from = format!("6281{}", id % 3);
            let payload = update(
                "1001",
                &[
                    text(&from, &format!("w{id}"), "Hi"),
                    text(&from, &format!("v{id}"), "Hi"),
                ],
            );
            all.push(tokio::spawn(async move {
                node.deliver(&payload).await.assert_status(200)
            }));
        }
    }
    for one in all {
        one.await.expect("no panic");
    }
    assert_eq!(counted(&app).await, [30]);
    assert_eq!(app.count("messages").await, 30);
    assert_eq!(app.count("conversations").await, 3);
    assert_eq!(node.listing().await, app.listing().await);
}
