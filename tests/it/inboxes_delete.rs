//! `DELETE /inboxes/{id}`: an empty inbox goes, one that holds messages only when that is meant.

use crate::support::{
    Answer, Store, TestApp, eventually, on_both_stores,
    whatsapp::{text, update, value},
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::json;

on_both_stores![
    an_empty_inbox_is_gone_with_204,
    one_that_holds_messages_is_kept_and_the_ways_out_are_named,
    purge_deletes_the_messages_with_it,
    a_contact_that_wrote_to_another_inbox_too_stays,
    the_address_is_free_again,
    purge_is_true_or_false,
    another_accounts_inbox_is_not_found,
    a_update_during_a_purge_is_stored_whole_or_not_at_all,
];

/// Everything that belongs to an inbox.
const TABLES: [&str; 9] = [
    "inboxes",
    "inbox_secrets",
    "channel_addresses",
    "conversations",
    "contacts",
    "identities",
    "messages",
    "message_changes",
    "quarantine",
];

async fn delete(app: &TestApp, inbox: &InboxId, query: &str) -> Answer {
    let key = app.key(&[Scope::Write]).await;
    app.delete(&format!("/inboxes/{inbox}{query}"))
        .key(&key)
        .send()
        .await
}

/// What an inbox held is removed in the background.
async fn nothing_is_left(app: &TestApp) {
    for table in TABLES {
        eventually(&format!("{table} is empty"), async || {
            app.count(table).await == 0
        })
        .await;
    }
}

async fn with_messages(store: Store) -> (TestApp, InboxId) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let messages = [
        text("628111", "w1", "Hello"),
        text("628222", "w2", "Hi"),
        text("628111", "w3", "There?"),
    ];
    app.deliver(&update("1001", &messages))
        .await
        .assert_status(200);
    let reaction = json!([{"from": "628111", "id": "w4", "timestamp": "1736928001", "type": "reaction",
        "reaction": {"message_id": "w1", "emoji": "👍"}}]);
    app.deliver(&value("1001", "messages", reaction))
        .await
        .assert_status(200);
    app.deliver(&value("1001", "messages", json!([7])))
        .await
        .assert_status(200);
    assert_eq!(app.count("message_changes").await, 1);
    assert_eq!(app.count("quarantine").await, 1);
    (app, inbox)
}

async fn an_empty_inbox_is_gone_with_204(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let answer = delete(&app, &inbox, "").await;
    answer.assert_status(204);
    assert!(answer.body.is_empty());
    assert_eq!(app.listing().await, json!([]));
    nothing_is_left(&app).await;
    delete(&app, &inbox, "")
        .await
        .assert_error(404, "NOT_FOUND", "Inbox not found");
}

async fn one_that_holds_messages_is_kept_and_the_ways_out_are_named(store: Store) {
    let (app, inbox) = with_messages(store).await;
    let before = app.listing().await;
    for query in ["", "?purge=false", "?purge="] {
        delete(&app, &inbox, query).await.assert_conflict(
            "has_messages",
            "Messages in this inbox: 3. To keep them, switch it off with PATCH and {\"status\":\"inactive\"}; to delete them with it, add ?purge=true",
        );
    }
    assert_eq!(app.listing().await, before);
    assert_eq!(app.count("messages").await, 3);
}

async fn purge_deletes_the_messages_with_it(store: Store) {
    let (app, inbox) = with_messages(store).await;
    delete(&app, &inbox, "?purge=true").await.assert_status(204);
    nothing_is_left(&app).await;
}

async fn a_contact_that_wrote_to_another_inbox_too_stays(store: Store) {
    let (app, inbox) = with_messages(store).await;
    let other = app.whatsapp("1002").await;
    app.deliver(&update("1002", &[text("628111", "w1", "Also here")]))
        .await
        .assert_status(200);
    assert_eq!(app.count("contacts").await, 2);
    delete(&app, &inbox, "?purge=true").await.assert_status(204);
    eventually(
        "the contact of the purged inbox alone is gone",
        async || app.count("contacts").await == 1,
    )
    .await;
    assert_eq!(app.count("messages").await, 1);
    // And is known again.
    app.deliver(&update("1002", &[text("628111", "w2", "Still")]))
        .await
        .assert_status(200);
    assert_eq!(app.count("contacts").await, 1);
    assert_eq!(app.count("conversations").await, 1);
    assert_eq!(app.shown(&other).await["messages_count"], 2);
}

async fn the_address_is_free_again(store: Store) {
    let (app, inbox) = with_messages(store).await;
    delete(&app, &inbox, "?purge=true").await.assert_status(204);
    let gone = update("1001", &[text("628111", "w1", "Hello?")]);
    app.deliver(&gone).await.assert_status(404);
    let new = app.whatsapp("1001").await;
    app.deliver(&gone).await.assert_status(200);
    assert_eq!(app.shown(&new).await["messages_count"], 1);
}

async fn purge_is_true_or_false(store: Store) {
    let (app, inbox) = with_messages(store).await;
    for bad in ["yes", "1", "TRUE", "true%00"] {
        let answer = delete(&app, &inbox, &format!("?purge={bad}")).await;
        answer.assert_wrong_fields(&[("purge", "must be true or false")]);
    }
    let answer = delete(&app, &inbox, "?purge=true&purge=true").await;
    answer.assert_wrong_fields(&[("purge", "must be given once")]);
    assert_eq!(app.count("messages").await, 3);
}

async fn another_accounts_inbox_is_not_found(store: Store) {
    let (app, inbox) = with_messages(store).await;
    let other = app.another_account().await;
    let key = app.key_of(&other, &Scope::ALL).await;
    for path in [
        format!("/inboxes/{inbox}?purge=true"),
        "/inboxes/inbox_nobodys".to_owned(),
    ] {
        let answer = app.delete(&path).key(&key).send().await;
        answer.assert_error(404, "NOT_FOUND", "Inbox not found");
    }
    assert_eq!(app.shown(&inbox).await["messages_count"], 3);
}

async fn a_update_during_a_purge_is_stored_whole_or_not_at_all(store: Store) {
    let (app, inbox) = with_messages(store).await;
    let payloads: Vec<_> = (0..20)
        .map(|n| update("1001", &[text("628333", &format!("late{n}"), "Late")]))
        .collect();
    // PostgreSQL may have to refuse one of two that block each other: who gets a 503 tries again.
    let purge = async {
        loop {
            let answer = delete(&app, &inbox, "?purge=true").await;
            if answer.status != 503 {
                break answer;
            }
        }
    };
    let updates = async {
        let mut statuses = Vec::new();
        for payload in &payloads {
            statuses.push(app.deliver(payload).await.status.as_u16());
        }
        statuses
    };
    let (purge, statuses) = tokio::join!(purge, updates);
    purge.assert_status(204);
    // Accepted before it, unknown after it.
    for status in &statuses {
        assert!([200, 404, 503].contains(status), "{statuses:?}");
    }
    nothing_is_left(&app).await;
}
