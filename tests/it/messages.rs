//! `GET /messages` and `GET /messages/{id}`: what is shown, in which order, and what later happened to it.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{text, update, value},
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    a_message_shows_its_documented_keys,
    a_page_is_oldest_first_and_before_walks_back,
    a_walk_meets_each_message_once_while_more_arrive,
    older_messages_handed_over_later_take_their_place_in_time,
    an_edit_keeps_the_earlier_text,
    an_edit_that_comes_before_its_message_waits_for_it,
    a_withdrawn_message_stays_and_stays_counted,
    a_reaction_is_on_its_message_and_the_later_one_holds,
    a_status_only_moves_forward,
    a_reply_names_the_message_that_it_answers,
    each_wrong_parameter_is_an_error,
    another_accounts_messages_are_not_found,
];

async fn one_inbox(store: Store) -> (TestApp, InboxId, String) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    (app, inbox, key)
}

async fn messages(app: &TestApp, key: &str, query: &str) -> Value {
    let answer = app.get(&format!("/messages?{query}")).key(key).send().await;
    answer.assert_status(200);
    answer.json()
}

async fn only(app: &TestApp, key: &str, inbox: &InboxId) -> Value {
    let page = messages(app, key, &format!("inbox_id={inbox}")).await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "{page}");
    page["data"][0].clone()
}

fn texts(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().expect("a list");
    let text = |message: &Value| {
        message["content"]["text"]
            .as_str()
            .unwrap_or("?")
            .to_owned()
    };
    data.iter().map(text).collect()
}

/// A message of the business, written on the phone.
fn echo(id: &str, body: &str) -> Value {
    let mut echo = text("62812345678", id, body);
    echo["to"] = "628111".into();
    let mut update = value("1001", "message_echoes", json!([echo]));
    update["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
    update
}

fn status(id: &str, status: &str, at: i64) -> Value {
    let one =
        json!({"id": id, "status": status, "timestamp": at.to_string(), "recipient_id": "628111"});
    value("1001", "statuses", json!([one]))
}

async fn a_message_shows_its_documented_keys(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);

    let message = only(&app, &key, &inbox).await;
    let id = message["id"].as_str().expect("an id");
    let conversation = &message["conversation_id"];
    let expected = json!({
        "id": id,
        "inbox_id": inbox,
        "conversation_id": conversation,
        "provider_id": "wamid.1",
        "direction": "inbound",
        "type": "text",
        "content": {"text": "hi"},
        "sender": {"name": "Customer 628111", "phone": "+628111"},
        "timestamp": "2025-01-15T08:00:00Z",
        "received_at": "2025-01-15T08:00:00Z",
    });
    assert_eq!(message, expected);
    let alone = app.get(&format!("/messages/{id}")).key(&key).send().await;
    assert_eq!(alone.data(), expected);
}

async fn a_page_is_oldest_first_and_before_walks_back(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    for n in 1..=5 {
        let mut one = text("628111", &format!("wamid.{n}"), &n.to_string());
        one["timestamp"] = (1_736_928_000 + n).to_string().into();
        app.deliver(&update("1001", &[one]))
            .await
            .assert_status(200);
    }
    let newest = messages(&app, &key, &format!("inbox_id={inbox}&limit=2")).await;
    assert_eq!(texts(&newest), ["4", "5"]);
    assert_eq!(newest["pagination"]["has_more"], true);

    let cursor = newest["pagination"]["next_cursor"]
        .as_str()
        .expect("a cursor");
    let query = format!("inbox_id={inbox}&limit=2&before={cursor}");
    let older = messages(&app, &key, &query).await;
    assert_eq!(texts(&older), ["2", "3"]);

    let cursor = older["pagination"]["next_cursor"]
        .as_str()
        .expect("a cursor");
    // As in every other list.
    let query = format!("inbox_id={inbox}&limit=2&cursor={cursor}");
    let oldest = messages(&app, &key, &query).await;
    assert_eq!(texts(&oldest), ["1"]);
    assert_eq!(oldest["pagination"], json!({"limit": 2, "has_more": false}));
}

async fn a_walk_meets_each_message_once_while_more_arrive(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    // All of one second, so that only the id tells them apart.
    let first: Vec<_> = (0..30)
        .map(|n| text("628111", &format!("wamid.a{n}"), &format!("a{n}")))
        .collect();
    app.deliver(&update("1001", &first))
        .await
        .assert_status(200);

    let mut met = Vec::new();
    let mut query = format!("inbox_id={inbox}&limit=7");
    for round in 0.. {
        let page = messages(&app, &key, &query).await;
        met.extend(texts(&page));
        let late = text("628222", &format!("wamid.b{round}"), "late");
        app.deliver(&update("1001", &[late]))
            .await
            .assert_status(200);
        let Some(cursor) = page["pagination"]["next_cursor"].as_str() else {
            break;
        };
        query = format!("inbox_id={inbox}&limit=7&before={cursor}");
    }
    met.sort();
    let mut expected: Vec<_> = (0..30).map(|n| format!("a{n}")).collect();
    expected.sort();
    assert_eq!(met, expected);
}

async fn older_messages_handed_over_later_take_their_place_in_time(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.new", "new")]))
        .await
        .assert_status(200);
    let mut old = text("628111", "wamid.old", "old");
    old["timestamp"] = "1600000000".into();
    let history = json!([{"threads": [{"id": "628111", "messages": [old]}]}]);
    let mut handed_over = value("1001", "history", history);
    handed_over["entry"][0]["changes"][0]["field"] = "history".into();
    app.deliver(&handed_over).await.assert_status(200);

    let page = messages(&app, &key, &format!("inbox_id={inbox}")).await;
    assert_eq!(texts(&page), ["old", "new"]);
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);
}

fn edit(of: &str, body: &str) -> Value {
    json!({"from": "628111", "id": format!("wamid.edit.{body}"), "timestamp": "1736928100", "type": "edit",
        "edit": {"original_message_id": of, "message": {"type": "text", "text": {"body": body}}}})
}

async fn an_edit_keeps_the_earlier_text(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "first")]))
        .await
        .assert_status(200);
    for _ in 0..2 {
        app.deliver(&update("1001", &[edit("wamid.1", "second")]))
            .await
            .assert_status(200);
    }
    let message = only(&app, &key, &inbox).await;
    assert_eq!(message["content"], json!({"text": "second"}));
    assert_eq!(
        message["edits"],
        json!([{"type": "text", "content": {"text": "first"}, "edited_at": "2025-01-15T08:01:40Z"}])
    );
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
}

async fn an_edit_that_comes_before_its_message_waits_for_it(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[edit("wamid.1", "second")]))
        .await
        .assert_status(200);
    assert_eq!(app.shown(&inbox).await["messages_count"], 0);
    app.deliver(&update("1001", &[text("628111", "wamid.1", "first")]))
        .await
        .assert_status(200);

    let message = only(&app, &key, &inbox).await;
    assert_eq!(message["content"], json!({"text": "second"}));
    assert_eq!(message["edits"][0]["content"], json!({"text": "first"}));
}

async fn a_withdrawn_message_stays_and_stays_counted(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "oops")]))
        .await
        .assert_status(200);
    let revoke = json!({"from": "628111", "id": "wamid.r", "timestamp": "1736928100", "type": "revoke",
        "revoke": {"original_message_id": "wamid.1"}});
    app.deliver(&update("1001", &[revoke]))
        .await
        .assert_status(200);

    let message = only(&app, &key, &inbox).await;
    assert_eq!(message["content"], json!({"text": "oops"}));
    assert_eq!(message["deleted_at"], "2025-01-15T08:01:40Z");
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
}

async fn a_reaction_is_on_its_message_and_the_later_one_holds(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);
    let reaction = |emoji: &str, at: i64| {
        json!({"from": "628111", "id": format!("wamid.e{at}"), "timestamp": at.to_string(), "type": "reaction",
            "reaction": {"message_id": "wamid.1", "emoji": emoji}})
    };
    // The later one arrives first.
    for one in [reaction("👍", 1_736_928_020), reaction("😀", 1_736_928_010)] {
        app.deliver(&update("1001", &[one]))
            .await
            .assert_status(200);
    }
    let message = only(&app, &key, &inbox).await;
    assert_eq!(
        message["reactions"].as_array().map(Vec::len),
        Some(1),
        "{message}"
    );
    assert_eq!(message["reactions"][0]["emoji"], "👍");
    let withdrawn = reaction("", 1_736_928_030);
    app.deliver(&update("1001", &[withdrawn]))
        .await
        .assert_status(200);
    assert_eq!(only(&app, &key, &inbox).await.get("reactions"), None);
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
}

async fn a_status_only_moves_forward(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    // The report comes before the message that it is about.
    app.deliver(&status("wamid.out", "read", 1_736_928_050))
        .await
        .assert_status(200);
    app.deliver(&echo("wamid.out", "hello"))
        .await
        .assert_status(200);
    for (news, at) in [
        ("delivered", 1_736_928_060),
        ("sent", 1_736_928_070),
        ("failed", 1_736_928_080),
    ] {
        app.deliver(&status("wamid.out", news, at))
            .await
            .assert_status(200);
    }
    let message = only(&app, &key, &inbox).await;
    assert_eq!(message["direction"], "outbound");
    assert_eq!(message["status"], "read");

    app.deliver(&echo("wamid.lost", "anyone?"))
        .await
        .assert_status(200);
    app.deliver(&status("wamid.lost", "failed", 1_736_928_090))
        .await
        .assert_status(200);
    let page = messages(&app, &key, &format!("inbox_id={inbox}")).await;
    assert_eq!(page["data"][1]["status"], "failed");
}

async fn a_reply_names_the_message_that_it_answers(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&echo("wamid.out", "hello"))
        .await
        .assert_status(200);
    let mut reply = text("628111", "wamid.2", "hi");
    reply["context"] = json!({"id": "wamid.out", "from": "62812345678"});
    reply["timestamp"] = "1736928009".into();
    app.deliver(&update("1001", &[reply]))
        .await
        .assert_status(200);
    let page = messages(&app, &key, &format!("inbox_id={inbox}")).await;
    assert_eq!(page["data"][1]["reply_to"], page["data"][0]["id"]);
    assert_eq!(page["data"][0].get("reply_to"), None);
}

async fn each_wrong_parameter_is_an_error(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    let either = ("conversation_id", "give either conversation_id or inbox_id");
    let get = async |query: String| {
        app.get(&format!("/messages?{query}"))
            .key(&key)
            .send()
            .await
    };
    get(String::new()).await.assert_wrong_fields(&[either]);
    let both = format!("inbox_id={inbox}&conversation_id=conv_1");
    get(both).await.assert_wrong_fields(&[either]);
    let unknown = format!("inbox_id={inbox}&before=msg_unknown");
    get(unknown)
        .await
        .assert_wrong_fields(&[("before", "must be the id of a message of yours")]);
    let twice = format!("inbox_id={inbox}&before=msg_1&cursor=msg_1");
    get(twice)
        .await
        .assert_wrong_fields(&[("cursor", "give either before or cursor")]);
    let limit = ("limit", "must be a whole number from 1 to 100");
    let id = ("inbox_id", "is not an id");
    get("inbox_id=%00&limit=0".to_owned())
        .await
        .assert_wrong_fields(&[id, limit]);
}

async fn another_accounts_messages_are_not_found(store: Store) {
    let (app, inbox, key) = one_inbox(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);
    let message = only(&app, &key, &inbox).await;
    let other = app.another_account().await;
    let stranger = app.key_of(&other, &[Scope::Read]).await;
    let id = message["id"].as_str().expect("an id");
    let conversation = message["conversation_id"].as_str().expect("an id");
    for path in [
        format!("/messages/{id}"),
        format!("/messages?inbox_id={inbox}"),
        format!("/messages?conversation_id={conversation}"),
        format!("/conversations/{conversation}"),
        format!("/conversations?inbox_id={inbox}"),
    ] {
        app.get(&path)
            .key(&stranger)
            .send()
            .await
            .assert_status(404);
    }
}
