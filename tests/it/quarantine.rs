//! Quarantine and `verify`: what could not be understood is kept, and what is promised of the data can be checked.

use crate::support::{
    Running, Shell, Store, TestApp, on_both_stores,
    whatsapp::{APP_SECRET, text, update},
};
use db::{Database, Missing, Sql};
use inboxd::ops::{quarantine, verify};
use serde_json::json;

on_both_stores![
    a_bad_item_goes_aside_and_its_neighbours_are_stored,
    the_same_again_is_kept_once,
    a_replay_stores_what_is_understood_now_and_once,
    a_discarded_entry_is_gone,
    what_the_store_refuses_goes_aside_alone_and_costs_few_transactions,
    a_update_of_which_all_is_refused_costs_few_transactions,
    a_sound_store_breaks_no_promise,
    a_wrong_count_is_found_and_repaired,
];

/// A message that nobody can be said to have written.
fn nobody(id: &str) -> serde_json::Value {
    json!({"id": id, "timestamp": "1736928000", "type": "text", "text": {"body": "?"}})
}

async fn a_bad_item_goes_aside_and_its_neighbours_are_stored(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let (one, two) = (
        text("628111", "wamid.1", "a"),
        text("628222", "wamid.3", "b"),
    );
    let payload = update("1001", &[one, nobody("wamid.2"), two]);
    app.deliver(&payload).await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);

    let kept = quarantine::list(&app.context, &app.account, None, 10).await;
    let kept = kept.expect("a list");
    assert_eq!(kept.len(), 1);
    let body = quarantine::get(&app.context, &app.account, &kept[0].id).await;
    let (_, body) = body.expect("it is there");
    assert_eq!(body, payload.to_string().into_bytes());
    assert_eq!(kept[0].bytes, body.len() as i64);
    assert!(kept[0].headers.contains("x-hub-signature-256"));
}

async fn the_same_again_is_kept_once(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    // Signed, for a known number, and no JSON.
    let body = br#"{"entry": [{"phone_number_id": "1001" oops"#;
    for _ in 0..3 {
        app.deliver_bytes(body, APP_SECRET).await.assert_status(200);
    }
    assert_eq!(app.count("quarantine").await, 1);
}

async fn a_replay_stores_what_is_understood_now_and_once(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let broken = update(
        "1001",
        &[
            text("628111", "wamid.1", "a"),
            nobody("wamid.2"),
            text("628222", "wamid.3", "b"),
        ],
    );
    app.deliver(&broken).await.assert_status(200);
    let entry = quarantine::list(&app.context, &app.account, None, 1).await;
    let entry = entry.expect("a list").remove(0);

    let outcome = quarantine::replay(&app.context, &app.account, &entry.id).await;
    let outcome = outcome.expect("replayed");
    assert_eq!(
        (outcome.stored, outcome.known, outcome.quarantined),
        (0, 2, 1)
    );
    assert_eq!(
        app.count("quarantine").await,
        1,
        "what is still unreadable stays"
    );

    // As a version would read it that understands more.
    let readable = update(
        "1001",
        &[
            text("628111", "wamid.1", "a"),
            text("628333", "wamid.2", "?"),
        ],
    );
    let mut session = app.context.db.write().await.expect("a session");
    let body = readable.to_string();
    let sql = Sql::same("UPDATE quarantine SET body = $1");
    session
        .execute(&sql, &[body.as_bytes().into()])
        .await
        .expect("changed");
    session.commit().await.expect("committed");
    let outcome = quarantine::replay(&app.context, &app.account, &entry.id).await;
    let outcome = outcome.expect("replayed");
    assert_eq!(
        (outcome.stored, outcome.known, outcome.quarantined),
        (1, 1, 0)
    );
    assert_eq!(app.count("quarantine").await, 0);
    assert_eq!(app.shown(&inbox).await["messages_count"], 3);
    let again = quarantine::replay(&app.context, &app.account, &entry.id).await;
    assert!(again.is_err(), "it is gone");
}

async fn a_discarded_entry_is_gone(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let payload = update(
        "1001",
        &[
            text("628111", "wamid.1", "a"),
            nobody("wamid.2"),
            text("628222", "wamid.3", "b"),
        ],
    );
    app.deliver(&payload).await.assert_status(200);
    let entry = quarantine::list(&app.context, &app.account, None, 1).await;
    let id = entry.expect("a list").remove(0).id;
    let stranger = app.another_account().await;
    assert!(
        quarantine::discard(&app.context, &stranger, &id)
            .await
            .is_err()
    );
    quarantine::discard(&app.context, &app.account, &id)
        .await
        .expect("discarded");
    assert_eq!(app.count("quarantine").await, 0);
}

/// A server on a store that refuses messages with some ids, as one does whose index has no room for them.
async fn choosy(store: Store) -> (Shell, Running) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    for number in ["1001", "1002"] {
        shell.whatsapp(number);
    }
    let refuse = Sql {
        sqlite:
            "CREATE TRIGGER choosy BEFORE INSERT ON messages WHEN NEW.provider_id LIKE 'poison%'
            BEGIN SELECT RAISE(ABORT, 'no room'); END",
        postgres: "ALTER TABLE messages ADD CONSTRAINT choosy CHECK (provider_id NOT LIKE 'poison%')",
    };
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let db = db.expect("the store opens");
    let mut session = db.write().await.expect("a session");
    session.batch(&refuse).await.expect("refused from now on");
    session.commit().await.expect("committed");
    db.close().await;
    let server = shell.serve();
    (shell, server)
}

/// Transactions that were committed so far.
async fn commits(server: &Running) -> u64 {
    let metrics = server.get("/metrics").send().await;
    let line = r#"inboxd_store_calls_total{call="commit",outcome="ok"} "#;
    let count = metrics
        .text()
        .lines()
        .find_map(|found| found.strip_prefix(line));
    count.map_or(0, |count| count.parse().expect("a number"))
}

async fn what_the_store_refuses_goes_aside_alone_and_costs_few_transactions(store: Store) {
    let (shell, server) = choosy(store).await;
    let key = shell.key();
    let good = |number: usize| text("628111", &format!("wamid.{number}"), "a");
    let mut messages: Vec<_> = (0..500).map(good).collect();
    for place in [77, 300] {
        messages.insert(place, text("628222", &format!("poison.{place}"), "b"));
    }
    let payload = update("1001", &messages);
    let before = commits(&server).await;
    server.deliver(&payload).await.assert_status(200);
    let used = commits(&server).await - before;
    assert!(used < 40, "{used} transactions for two messages");
    let counts = async || {
        let listed = server.get("/inboxes").key(&key).send().await.data();
        [0, 1].map(|at: usize| listed[at]["messages_count"].as_i64().expect("a count"))
    };
    assert_eq!(counts().await, [500, 0]);
    let kept = shell.json(&["hooks", "list"]);
    assert_eq!(kept.as_array().expect("a list").len(), 1, "{kept}");

    server.deliver(&payload).await.assert_status(200);
    assert_eq!(counts().await, [500, 0], "a redelivery changes nothing");
    server.stop().await;
}

/// What is refused after the first few is no longer searched for, one by one: the update is kept whole anyway.
async fn a_update_of_which_all_is_refused_costs_few_transactions(store: Store) {
    let (shell, server) = choosy(store).await;
    let key = shell.key();
    let poison = |number: usize| text("628222", &format!("poison.{number}"), "b");
    let mut messages: Vec<_> = (0..2000).map(poison).collect();
    messages.insert(0, text("628111", "wamid.first", "a"));
    messages.push(text("628111", "wamid.last", "a"));
    let before = commits(&server).await;
    server
        .deliver(&update("1001", &messages))
        .await
        .assert_status(200);
    let used = commits(&server).await - before;
    assert!(used < 100, "{used} transactions");
    let hello = update("1002", &[text("628111", "wamid.1", "a")]);
    server.deliver(&hello).await.assert_status(200);
    let listed = server.get("/inboxes").key(&key).send().await.data();
    assert_eq!(listed[1]["messages_count"], 1);
    let kept = shell.json(&["hooks", "list"]);
    assert_eq!(kept.as_array().expect("a list").len(), 1, "{kept}");
    server.stop().await;
}

async fn a_sound_store_breaks_no_promise(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    app.livechat("Website").await;
    app.key(&[inboxd::domain::Scope::Read]).await;
    let payload = update(
        "1001",
        &[
            text("628111", "wamid.1", "a"),
            text("628222", "wamid.2", "b"),
        ],
    );
    app.deliver(&payload).await.assert_status(200);
    for check in verify::run(&app.context).await.expect("checked") {
        assert!(check.breaches.is_empty(), "{check:?}");
    }
}

async fn a_wrong_count_is_found_and_repaired(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let payload = update("1001", &[text("628111", "wamid.1", "a")]);
    app.deliver(&payload).await.assert_status(200);
    let mut session = app.context.db.write().await.expect("a session");
    for sql in [
        "UPDATE inboxes SET messages_count = 7",
        "UPDATE conversations SET messages_count = 9",
        "UPDATE conversations SET last_message_at = 9",
        "UPDATE conversations SET waiting_since = NULL, unread_count = 5, undelivered = 1",
        "INSERT INTO api_key_hashes (key_hash, account_id, key_id) SELECT value, 'acc_x', 'key_x' FROM instance",
    ] {
        session
            .execute(&Sql::same(sql), &[])
            .await
            .expect("changed");
    }
    session.commit().await.expect("committed");

    let breaches = async || {
        let checks = verify::run(&app.context).await.expect("checked");
        let broken = checks
            .into_iter()
            .filter(|check| !check.breaches.is_empty());
        broken.map(|check| check.promise).collect::<Vec<_>>()
    };
    assert_eq!(
        breaches().await,
        [
            "the message count of an inbox is right",
            "the message count of a conversation is right",
            "the last message of a conversation is right",
            "the API key of a key hash exists",
            "a conversation knows since when its contact waits",
            "the unread count of a conversation is right",
            "a conversation knows whether something was not delivered",
        ]
    );
    assert_eq!(verify::repair(&app.context).await.expect("repaired"), 4);
    assert_eq!(breaches().await, ["the API key of a key hash exists"]);
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
}
