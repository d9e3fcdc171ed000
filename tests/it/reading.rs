//! What reading costs, for conversations and messages alike: few statements, no answer that the client has already, and
//! pages that have a bound, however long what people wrote is.

use crate::support::{
    Running, Shell, Store, TestApp, on_both_stores,
    program::text as text_of,
    whatsapp::{text, update, value},
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    a_page_is_at_most_three_statements_whatever_its_size,
    an_answer_that_a_client_has_is_a_304,
    a_long_text_is_listed_cut_and_is_there_whole,
    a_page_of_long_texts_ends_early_and_the_next_goes_on,
    a_message_with_very_much_in_its_edits_has_a_bound,
    many_changes_of_many_messages_are_all_shown,
];

/// More than a list shows, in characters that take four bytes each.
const LONG: usize = 20_000;
/// Bytes that an answer with a page has at most: 4 MB of rows, and what surrounds them.
const PAGE: usize = (4 << 20) + 1000;

fn reaction(to: &str, from: &str, emoji: &str) -> Value {
    json!({"from": from, "id": format!("wamid.r.{to}.{from}"), "timestamp": "1736928200", "type": "reaction",
        "reaction": {"message_id": to, "emoji": emoji}})
}

fn edit(of: &str, number: i64, body: &str) -> Value {
    json!({"from": "628111", "id": format!("wamid.edit.{number}"), "timestamp": (1_736_928_100 + number).to_string(),
        "type": "edit", "edit": {"original_message_id": of, "message": {"type": "text", "text": {"body": body}}}})
}

/// A message of the business with all that can happen to it.
async fn answered(server: &Running, customer: usize) {
    let mut echo = text("62812345678", &format!("wamid.out{customer}"), "hello");
    echo["to"] = format!("6281{customer:03}").into();
    let mut echoes = value("1001", "message_echoes", json!([echo]));
    echoes["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
    server.deliver(&echoes).await.assert_status(200);
    let statuses = ["sent", "delivered", "read"].map(|status| {
        json!({"id": format!("wamid.out{customer}"), "status": status, "timestamp": "1736928050", "recipient_id": "628111"})
    });
    let statuses = value("1001", "statuses", json!(statuses));
    server.deliver(&statuses).await.assert_status(200);
}

/// How many statements the store is asked for by this request. Now and then the server has something of its own to ask.
async fn statements(server: &Running, key: &str, path: &str) -> u64 {
    let asked = async || {
        let metrics = server.get("/metrics").send().await;
        let name = "inboxd_store_statements_total ";
        let line = metrics
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(name));
        line.expect("the metric").parse::<u64>().expect("a count")
    };
    let mut least = u64::MAX;
    for _ in 0..5 {
        let before = asked().await;
        server.get(path).key(key).send().await.assert_status(200);
        least = least.min(asked().await - before);
    }
    least
}

async fn a_page_is_at_most_three_statements_whatever_its_size(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("1001");
    let key = shell.key();
    let server = shell.serve();
    for customer in 0..60 {
        let from = format!("6281{customer:03}");
        let id = |n: usize| format!("wamid.{customer}.{n}");
        let mut answer = text(&from, &id(2), "two");
        answer["context"] = json!({"id": id(1), "from": "62812345678"});
        let said = [
            text(&from, &id(1), "one"),
            answer,
            reaction(&id(2), &from, "👍"),
            edit(&id(1), 1, "uno"),
        ];
        server
            .deliver(&update("1001", &said))
            .await
            .assert_status(200);
    }
    for customer in 0..5 {
        answered(&server, customer).await;
    }
    let page = server.get("/messages?limit=100&inbox_id=").key(&key);
    page.send().await.assert_status(400);
    let page = server
        .get(&format!("/messages?limit=100&inbox_id={inbox}"))
        .key(&key)
        .send()
        .await;
    let message = text_of(&page.data()[50]["id"]);
    let conversation = text_of(&page.data()[50]["conversation_id"]);
    for path in [
        "/conversations?limit=100".to_owned(),
        "/conversations?limit=1".to_owned(),
        "/conversations?limit=100&sort=latest".to_owned(),
        format!("/conversations?limit=100&inbox_id={inbox}&status=open"),
        format!("/conversations?limit=100&inbox_id={inbox}&status=resolved"),
        format!("/conversations?limit=100&inbox_id={inbox}&sort=latest"),
        format!("/conversations/{conversation}"),
        format!("/messages?limit=100&inbox_id={inbox}"),
        format!("/messages?limit=100&inbox_id={inbox}&before={message}"),
        format!("/messages?limit=100&conversation_id={conversation}"),
        format!("/messages?limit=100&conversation_id={conversation}&before={message}"),
        format!("/messages/{message}"),
    ] {
        let asked = statements(&server, &key, &path).await;
        assert!((1..=3).contains(&asked), "{asked} statements for {path}");
    }
}

async fn an_answer_that_a_client_has_is_a_304(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);
    let page = app
        .get(&format!("/messages?inbox_id={inbox}"))
        .key(&key)
        .send()
        .await;
    let message = text_of(&page.data()[0]["id"]);
    let conversation = text_of(&page.data()[0]["conversation_id"]);
    let paths = [
        "/conversations".to_owned(),
        "/conversations?sort=latest".to_owned(),
        format!("/conversations/{conversation}"),
        format!("/messages?inbox_id={inbox}"),
        format!("/messages/{message}"),
    ];
    let mut known = Vec::new();
    for path in &paths {
        let first = app.get(path).key(&key).send().await;
        first.assert_status(200);
        assert_eq!(first.header("cache-control"), "private, no-cache");
        let etag = first.header("etag").to_owned();
        let again = app
            .get(path)
            .key(&key)
            .header("if-none-match", &etag)
            .send()
            .await;
        again.assert_status(304);
        assert!(again.body.is_empty(), "{path}");
        assert_eq!(again.header("etag"), etag);
        known.push(etag);
    }
    // Also what happens to a message later makes another answer of it.
    app.deliver(&update("1001", &[reaction("wamid.1", "628111", "👍")]))
        .await
        .assert_status(200);
    for (path, etag) in paths.iter().zip(&known) {
        let changed = app
            .get(path)
            .key(&key)
            .header("if-none-match", etag)
            .send()
            .await;
        changed.assert_status(200);
        assert_ne!(changed.header("etag"), etag, "{path}");
    }
}

async fn a_long_text_is_listed_cut_and_is_there_whole(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    let long = "long \"ünd\" 😀\n".repeat(10_000);
    let short = "x".repeat(65_000);
    let said = [
        text("628111", "wamid.short", &short),
        text("628222", "wamid.long", &long),
    ];
    app.deliver(&update("1001", &said)).await.assert_status(200);

    let page = app
        .get(&format!("/messages?inbox_id={inbox}"))
        .key(&key)
        .send()
        .await;
    assert!(page.body.len() < 200_000, "{}", page.body.len());
    let [whole, cut] = &page.data().as_array().expect("a list").clone()[..] else {
        panic!("two messages");
    };
    assert_eq!(whole["content"]["text"], short);
    assert_eq!(
        (whole.get("truncated"), whole.get("content_size")),
        (None, None)
    );
    let beginning = text_of(&cut["content"]["text"]);
    assert!(long.starts_with(&beginning) && beginning.chars().count() > 10_000);
    let size = json!({"text": long}).to_string().len();
    assert_eq!(
        (&cut["truncated"], &cut["content_size"]),
        (&json!(true), &json!(size))
    );

    let path = format!("/messages/{}", text_of(&cut["id"]));
    let alone = app.get(&path).key(&key).send().await.data();
    assert_eq!(alone["content"]["text"], long);
    assert_eq!(
        (alone.get("truncated"), alone.get("content_size")),
        (None, None)
    );

    let conversations = app.get("/conversations").key(&key).send().await.data();
    let last = conversations
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["last_message"]["id"] == cut["id"]);
    assert_eq!(last.map(|one| &one["last_message"]), Some(cut));
}

async fn a_page_of_long_texts_ends_early_and_the_next_goes_on(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    let long = "😀".repeat(LONG);
    for ten in 0..10 {
        let said: Vec<_> = (ten * 10..ten * 10 + 10)
            .map(|n| text(&format!("6281{n:03}"), &format!("wamid.{n}"), &long))
            .collect();
        app.deliver(&update("1001", &said)).await.assert_status(200);
    }
    for list in [
        format!("/messages?inbox_id={inbox}&limit=100"),
        "/conversations?limit=100".to_owned(),
        "/conversations?limit=100&sort=latest".to_owned(),
    ] {
        let mut met = Vec::new();
        let mut path = list.clone();
        for page in 0.. {
            let answer = app.get(&path).key(&key).send().await;
            assert!(answer.body.len() < PAGE, "{} bytes", answer.body.len());
            let rows = answer.data();
            let rows = rows.as_array().expect("a list");
            assert!(
                page > 0 || (50..100).contains(&rows.len()),
                "{} rows",
                rows.len()
            );
            met.extend(rows.iter().map(|row| text_of(&row["id"])));
            let Some(cursor) = answer.json()["pagination"]["next_cursor"]
                .as_str()
                .map(str::to_owned)
            else {
                break;
            };
            path = format!("{list}&cursor={cursor}");
        }
        met.sort();
        met.dedup();
        assert_eq!(met.len(), 100, "{list}");
    }
}

async fn a_message_with_very_much_in_its_edits_has_a_bound(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    let mut edited = text("628111", "wamid.edited", "first");
    edited["timestamp"] = "1736928001".into();
    let said = [text("628111", "wamid.older", "older"), edited];
    app.deliver(&update("1001", &said)).await.assert_status(200);
    for ten in 0..10 {
        let edits: Vec<_> = (ten * 10..ten * 10 + 10)
            .map(|n| edit("wamid.edited", n, &format!("{n} {}", "😀".repeat(LONG))))
            .collect();
        app.deliver(&update("1001", &edits))
            .await
            .assert_status(200);
    }
    let list = format!("/messages?inbox_id={inbox}");
    let page = app.get(&list).key(&key).send().await;
    assert!(page.body.len() < PAGE + 70_000, "{} bytes", page.body.len());
    let message = &page.data()[0];
    assert_eq!(message["truncated"], true);
    assert!(
        text_of(&message["content"]["text"]).starts_with("99 😀"),
        "the latest"
    );
    let edits = message["edits"].as_array().expect("edits");
    assert!((40..99).contains(&edits.len()), "{} edits", edits.len());

    let cursor = text_of(&page.json()["pagination"]["next_cursor"]);
    let rest = app
        .get(&format!("{list}&cursor={cursor}"))
        .key(&key)
        .send()
        .await;
    assert_eq!(rest.data()[0]["content"]["text"], "older");
    assert_eq!(rest.json()["pagination"]["has_more"], false);

    let path = format!("/messages/{}", text_of(&message["id"]));
    let alone = app.get(&path).key(&key).send().await.data();
    assert_eq!(text_of(&alone["content"]["text"]).chars().count(), LONG + 3);
    assert_eq!(alone["edits"].as_array().map(Vec::len), Some(100));
    assert_eq!(alone.get("truncated"), None);
}

async fn many_changes_of_many_messages_are_all_shown(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    let ids: Vec<_> = (0..9).map(|n| format!("wamid.{n}")).collect();
    let said: Vec<_> = ids.iter().map(|id| text("628111", id, id)).collect();
    app.deliver(&update("1001", &said)).await.assert_status(200);
    for id in &ids {
        let reactions: Vec<_> = (0..300)
            .map(|n| reaction(id, &format!("6282{n:03}"), "👍"))
            .collect();
        app.deliver(&update("1001", &reactions))
            .await
            .assert_status(200);
    }
    // More than are read for one page: it ends before the message of which not all is known.
    let list = format!("/messages?inbox_id={inbox}");
    let mut met = 0;
    let mut path = list.clone();
    loop {
        let page = app.get(&path).key(&key).send().await;
        for message in page.data().as_array().expect("a list") {
            assert_eq!(message["reactions"].as_array().map(Vec::len), Some(300));
            assert_eq!(message.get("truncated"), None);
            met += 1;
        }
        let Some(cursor) = page.json()["pagination"]["next_cursor"]
            .as_str()
            .map(str::to_owned)
        else {
            break;
        };
        path = format!("{list}&cursor={cursor}");
    }
    assert_eq!(met, 9);
}
