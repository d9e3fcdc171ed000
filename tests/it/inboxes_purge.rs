//! `DELETE /inboxes/{id}?purge=true`: nothing of the inbox is shown from then on, and what it held is removed in pieces,
//! beside everything else that the server does.

use crate::support::{
    Shell, Store, TestApp, eventually, on_both_stores,
    whatsapp::{hello, text, update, value},
    whatsapp_body,
};
use db::{Database, Missing, Sql};
use inboxd::{
    clock::stopwatch,
    domain::Scope,
    id::{AccountId, InboxId},
    ops::{self, Context, inboxes},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

on_both_stores![
    a_deleted_inbox_and_what_it_holds_are_shown_nowhere,
    the_address_is_free_at_once,
    a_large_inbox_goes_while_others_are_answered,
    a_command_removes_all_of_it_before_it_ends,
    a_kill_in_the_middle_goes_on_at_the_next_start,
];

/// Everything that an inbox holds.
const HELD: [&str; 6] = [
    "messages",
    "message_changes",
    "quarantine",
    "conversations",
    "contacts",
    "identities",
];

/// Deletes an inbox as a server does that is killed right afterwards: what it held is still there.
async fn delete_and_be_killed(app: &TestApp, inbox: &InboxId) {
    let context = Context {
        inbox_deleted: Arc::default(),
        ..app.context.clone()
    };
    let deleted = inboxes::delete(&context, &app.account, inbox, true, None).await;
    deleted.expect("deleted");
}

/// What a contact shows that is known by the number `p` and its own.
const KNOWN_BY: &str = r#"'[{"channel":"whatsapp","kind":"phone","value":"p' || t || '"}]'"#;

/// Fills an inbox with contacts, each of whom wrote two messages, the first of which was read.
async fn fill(db: &Database, account: &AccountId, inbox: &str, contacts: usize) {
    let rows = |count: usize, select: &str| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}),
                r AS (SELECT i, CAST(i AS TEXT) AS t, CAST(i % {contacts} + 1 AS TEXT) AS c FROM n)
            SELECT {select} FROM r"
        )
    };
    let statements = [
        format!(
            "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, created_at, identities) {}",
            rows(
                contacts,
                &format!("'{account}', 'contact_' || t, 'whatsapp', 'p' || t, 0, 0, {KNOWN_BY}")
            )
        ),
        format!(
            "INSERT INTO identities (account_id, channel, kind, value, scope, contact_id) {}",
            rows(
                contacts,
                &format!("'{account}', 'whatsapp', 'phone', 'p' || t, '', 'contact_' || t")
            )
        ),
        format!(
            "INSERT INTO conversations
                (account_id, id, inbox_id, contact_id, status, messages_count, created_at, updated_at) {}",
            rows(
                contacts,
                &format!(
                    "'{account}', 'conv_' || t, '{inbox}', 'contact_' || t, 'open', 2, 0, 0"
                )
            )
        ),
        format!(
            "INSERT INTO messages (account_id, id, inbox_id, conversation_id, provider_id, direction, type, content,
                sender, historic, timestamp, received_at) {}",
            rows(
                2 * contacts,
                &format!(
                    "'{account}', 'msg_' || t, '{inbox}', 'conv_' || c, 'w' || t, 'inbound', 'text', '{{}}', '{{}}', 0, i, i"
                )
            )
        ),
        format!(
            "INSERT INTO message_changes (account_id, inbox_id, provider_id, kind, key, id, timestamp, received_at) {}",
            rows(
                contacts,
                &format!("'{account}', '{inbox}', 'w' || t, 'status', 'read', 'evt_' || t, i, i")
            )
        ),
        format!(
            "UPDATE inboxes SET messages_count = {} WHERE id = '{inbox}'",
            2 * contacts
        ),
    ];
    let mut session = db.write().await.expect("a session");
    session.lift_time_limits().await.expect("a session");
    for statement in statements {
        let done = session
            .execute(&Sql::same(String::leak(statement)), &[])
            .await;
        done.expect("rows");
    }
    session.commit().await.expect("committed");
}

async fn a_deleted_inbox_and_what_it_holds_are_shown_nowhere(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let kept = app.whatsapp("1002").await;
    for (number, ids) in [("1001", ["w1", "w2"]), ("1002", ["w3", "w4"])] {
        let said = ids.map(|id| text("628111", id, "Hello"));
        app.deliver(&update(number, &said)).await.assert_status(200);
    }
    let unreadable = value("1001", "messages", json!([7]));
    app.deliver(&unreadable).await.assert_status(200);
    let key = app.key(&Scope::ALL).await;
    let get = async |path: &str| app.get(path).key(&key).send().await;
    let of_inbox = |path: &str| format!("{path}?inbox_id={inbox}");
    let conversation = get(&of_inbox("/conversations")).await.data()[0]["id"].clone();
    let conversation = conversation.as_str().expect("an id");
    let message = get(&of_inbox("/messages")).await.data()[0]["id"].clone();
    let message = message.as_str().expect("an id");
    assert_eq!(app.count("quarantine").await, 1);

    delete_and_be_killed(&app, &inbox).await;
    assert_eq!(app.count("messages").await, 4, "nothing is removed yet");

    for query in [
        "",
        "?type=whatsapp",
        "?status=active",
        "?type=whatsapp&status=active",
    ] {
        let list = get(&format!("/inboxes{query}")).await;
        assert_eq!(list.json()["pagination"]["total"], 1, "{query}");
        assert_eq!(list.data().as_array().map(Vec::len), Some(1));
        assert_eq!(list.data()[0]["id"], kept.as_str());
    }
    for path in [
        format!("/inboxes/{inbox}"),
        format!("/inboxes/{inbox}/setup"),
        of_inbox("/messages"),
        of_inbox("/conversations"),
        format!("/messages/{message}"),
        format!("/conversations/{conversation}"),
        format!("/messages?conversation_id={conversation}"),
    ] {
        get(&path).await.assert_status(404);
    }
    let conversations = get("/conversations").await.data();
    assert_eq!(conversations.as_array().map(Vec::len), Some(1));
    let path = format!("/inboxes/{inbox}");
    let change = app.patch(&path).key(&key).json(&json!({"name": "New"}));
    change.send().await.assert_status(404);
    let again = app.delete(&format!("{path}?purge=true")).key(&key);
    again.send().await.assert_status(404);
    let connect = app.post(&format!("{path}/connect")).key(&key);
    connect.send().await.assert_status(404);
    app.deliver(&hello("w5")).await.assert_status(404);
    let aside = ops::quarantine::list(&app.context, &app.account, None, 10).await;
    assert!(aside.expect("the store answers").is_empty());
    app.verify().await;

    app.context.inbox_deleted.notify_one();
    eventually("all of it is removed", async || {
        app.count("inboxes").await == 1
    })
    .await;
    assert_eq!(app.count("messages").await, 2);
    assert_eq!(app.count("contacts").await, 1, "it wrote to the other, too");
    assert_eq!(app.shown(&kept).await["messages_count"], 2);
    app.verify().await;
}

async fn the_address_is_free_at_once(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    app.deliver(&hello("w1")).await.assert_status(200);
    delete_and_be_killed(&app, &inbox).await;
    let new = app.whatsapp("1001").await;
    app.deliver(&hello("w1")).await.assert_status(200);
    assert_eq!(app.shown(&new).await["messages_count"], 1);
    app.context.inbox_deleted.notify_one();
    eventually("the old one is removed", async || {
        app.count("inboxes").await == 1
    })
    .await;
    assert_eq!(app.shown(&new).await["messages_count"], 1);
    app.verify().await;
}

async fn a_large_inbox_goes_while_others_are_answered(store: Store) {
    const CONTACTS: usize = 20_000;
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let other = app.another_account().await;
    app.inbox_of(&other, whatsapp_body("1002")).await;
    fill(&app.context.db, &app.account, inbox.as_str(), CONTACTS).await;
    let key = app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{inbox}?purge=true");
    let began = stopwatch();
    app.delete(&path).key(&key).send().await.assert_status(204);
    let mut slowest = began.elapsed();
    let mut verified = false;
    for round in 0.. {
        let began = stopwatch();
        app.get("/healthz").send().await.assert_status(200);
        let message = text("628111", &format!("w{round}"), "Hello");
        app.deliver(&update("1002", &[message]))
            .await
            .assert_status(200);
        slowest = slowest.max(began.elapsed());
        let left = app.count("conversations").await;
        if !verified && left < CONTACTS as i64 {
            app.verify().await;
            verified = true;
        }
        if app.count("inboxes").await == 1 {
            break;
        }
    }
    assert!(verified, "it went in one piece");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(app.count("contacts").await, 1);
    assert_eq!(app.count("message_changes").await, 0);
    app.verify().await;
}

async fn a_command_removes_all_of_it_before_it_ends(store: Store) {
    let shell = Shell::ready(store).await;
    let account = AccountId::from_text(shell.account("Toko Biru"));
    let inbox = shell.whatsapp("1001");
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let db = db.expect("opened");
    fill(&db, &account, &inbox, 1500).await;
    shell.done(&["inbox", "delete", &inbox, "--purge"]);
    for table in HELD {
        assert_eq!(count(&db, table).await, 0, "{table}");
    }
    assert_eq!(count(&db, "inboxes").await, 0);
}

async fn a_kill_in_the_middle_goes_on_at_the_next_start(store: Store) {
    const CONTACTS: usize = 10_000;
    let shell = Shell::ready(store).await;
    let account = AccountId::from_text(shell.account("Toko Biru"));
    let key = shell.key();
    let inbox = shell.whatsapp("1001");
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let db = db.expect("opened");
    fill(&db, &account, &inbox, CONTACTS).await;
    let mut server = shell.serve();
    let path = format!("/inboxes/{inbox}?purge=true");
    let delete = server.call(reqwest::Method::DELETE, &path).key(&key);
    delete.send().await.assert_status(204);
    eventually("some of it is removed", async || {
        count(&db, "messages").await < 2 * CONTACTS as i64
    })
    .await;
    server.signal("KILL");
    server.ended().await;
    let left = count(&db, "contacts").await;
    assert!(left > 0, "it was too quick to be killed");
    shell.done(&["verify"]);

    let server = shell.serve();
    let listed = server.get("/inboxes").key(&key).send().await;
    assert_eq!(listed.data(), json!([]));
    eventually("the rest is removed", async || {
        count(&db, "inboxes").await == 0
    })
    .await;
    for table in HELD {
        assert_eq!(count(&db, table).await, 0, "{table}");
    }
    server.stop().await;
    shell.done(&["verify"]);
}

async fn count(db: &Database, table: &str) -> i64 {
    let sql = Sql::same(format!("SELECT count(*) FROM {table}").leak());
    let mut session = db.read().await.expect("the store answers");
    let count = session.query_opt(&sql, &[], |row| row.get::<i64>(0)).await;
    count.expect("a good statement").expect("a count")
}
