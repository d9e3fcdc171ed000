//! `/livechat/{inbox_id}/…`: a visitor comes in, says and hears, over a WebSocket or plain HTTP.

use crate::support::{Answer, Store, TestApp, live::Socket, on_both_stores};
use futures_util::SinkExt;
use inboxd::{
    domain::{Channel, Scope},
    id::InboxId,
    ops::{
        inboxes,
        ingest::{Arrival, Ingest, Source},
        livechat,
    },
};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message as Frame};

on_both_stores![
    a_visitor_says_something_and_it_is_counted,
    the_same_client_id_again_is_the_same_message,
    a_visitor_hears_its_own_conversation_only,
    a_token_works_in_its_own_inbox_only,
    allowed_origins_are_checked_on_every_call,
    a_website_vouches_for_its_visitor,
    every_wrong_field_is_reported,
    a_flood_is_held_back,
    a_socket_that_floods_is_told_how_long_to_wait,
    a_socket_acknowledges_after_the_commit_and_shows_it_everywhere,
    a_socket_hears_the_business,
    a_reconnect_goes_on_where_it_was,
    wrong_frames_get_an_error_and_cost_nothing,
    a_socket_must_say_hello_with_its_own_token,
    sockets_of_one_address_are_bounded,
    a_silent_socket_outlives_the_limits_of_requests,
    a_stop_ends_the_sockets,
    a_socket_ends_with_its_inbox,
    a_socket_ends_when_its_page_is_no_longer_allowed,
    nothing_is_stored_of_a_visitor_that_says_nothing,
];

pub(crate) async fn enter(app: &TestApp, inbox: &InboxId, body: Value) -> (String, String) {
    let answer = app
        .post(&format!("/livechat/{inbox}/sessions"))
        .json(&body)
        .send()
        .await;
    answer.assert_status(201);
    let data = answer.data();
    let text = |name: &str| data[name].as_str().expect("a text").to_owned();
    (text("visitor_id"), text("token"))
}

pub(crate) async fn say(
    app: &TestApp,
    inbox: &InboxId,
    token: &str,
    client_id: &str,
    text: &str,
) -> Answer {
    app.post(&format!("/livechat/{inbox}/messages"))
        .key(token)
        .json(&json!({"client_id": client_id, "text": text}))
        .send()
        .await
}

pub(crate) async fn hear(app: &TestApp, inbox: &InboxId, token: &str, query: &str) -> Vec<Value> {
    let path = format!("/livechat/{inbox}/messages{query}");
    let data = app.get(&path).key(token).send().await.data();
    data.as_array().expect("a list").clone()
}

/// What messages say.
pub(crate) fn texts(heard: &[Value]) -> Vec<&str> {
    let texts = heard.iter().map(|one| one["content"]["text"].as_str());
    texts.map(|text| text.expect("a text")).collect()
}

/// Whether a socket ends, whatever it still says before.
pub(crate) async fn ended(socket: &mut Socket) -> bool {
    socket.next_of_end().await
}

/// What the business says to a visitor, as a channel would hand it over.
async fn reply(app: &TestApp, inbox: &InboxId, visitor: &str, id: &str, text: &str) {
    let (ingest, _) = Ingest::start(app.context.clone(), 1);
    let message = channels::Message {
        provider_id: id.to_owned(),
        direction: channels::Direction::Outbound,
        contact: channels::Contact {
            identities: vec![channels::Identity::within(
                Some(inbox.as_str().into()),
                channels::IdentityKind::Visitor,
                visitor,
            )],
            ..channels::Contact::default()
        },
        sender: channels::Sender::default(),
        kind: channels::Kind::Text,
        content: Map::from_iter([("text".to_owned(), json!(text))]).into(),
        reply_to: None,
        quoted: None,
        timestamp: None,
        historic: false,
        placeholder: false,
        status: None,
    };
    let arrival = Arrival {
        source: Arc::new(Source::default()),
        account: app.account.clone(),
        inbox: inbox.clone(),
        channel: Channel::Livechat,
        proved: true,
        items: vec![channels::Item::Message(Box::new(message))],
    };
    ingest.deliver(vec![arrival]).await.expect("stored");
}

async fn a_visitor_says_something_and_it_is_counted(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({"name": " Ayu "})).await;
    let said = say(&app, &inbox, &token, "c1", "Hello \u{202e} \u{1f64f}\0").await;
    said.assert_status(201);
    let said = said.data();
    assert_eq!(said["client_id"], "c1");
    assert_eq!(said["content"]["text"], "Hello \u{202e} \u{1f64f}\u{fffd}");
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);

    let key = app.key(&[Scope::Read]).await;
    let path = format!("/messages?inbox_id={inbox}");
    let seen = app.get(&path).key(&key).send().await.data();
    assert_eq!(seen[0]["id"], said["id"]);
    assert_eq!(seen[0]["sender"], json!({"name": "Ayu"}));
}

async fn the_same_client_id_again_is_the_same_message(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let first = say(&app, &inbox, &token, "c1", "Hello").await;
    first.assert_status(201);
    let again = say(&app, &inbox, &token, "c1", "Hello").await;
    again.assert_status(200);
    assert_eq!(again.data(), first.data());
    // Another visitor's c1 is another message.
    let (_, other) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &other, "c1", "Hi")
        .await
        .assert_status(201);
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);
}

async fn a_visitor_hears_its_own_conversation_only(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (me, mine) = enter(&app, &inbox, json!({})).await;
    let (_, other) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &other, "x", "not yours")
        .await
        .assert_status(201);
    assert_eq!(hear(&app, &inbox, &mine, "").await, Vec::<Value>::new());
    for n in 1..=3 {
        say(&app, &inbox, &mine, &format!("c{n}"), &n.to_string())
            .await
            .assert_status(201);
    }
    reply(&app, &inbox, &me, "r1", "How can I help?").await;
    let heard = hear(&app, &inbox, &mine, "").await;
    let texts: Vec<_> = heard
        .iter()
        .map(|one| one["content"]["text"].clone())
        .collect();
    assert_eq!(texts, ["1", "2", "3", "How can I help?"]);
    assert_eq!(heard[3]["direction"], "outbound");
    assert_eq!(heard[3].get("client_id"), None);
    let after = heard[1]["id"].as_str().expect("an id");
    let rest = hear(&app, &inbox, &mine, &format!("?after={after}&limit=1")).await;
    assert_eq!(rest, [heard[2].clone()]);
}

async fn a_token_works_in_its_own_inbox_only(store: Store) {
    let app = TestApp::start(store).await;
    let (inbox, elsewhere) = (app.livechat("A").await, app.livechat("B").await);
    let whatsapp = app.whatsapp("1001").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let message = "The visitor's token is missing or wrong";
    let forged = format!("{}x", token);
    for (at, token) in [
        (&elsewhere, token.as_str()),
        (&inbox, forged.as_str()),
        (&inbox, "x"),
        (&inbox, ""),
    ] {
        say(&app, at, token, "c1", "Hello")
            .await
            .assert_error(401, "UNAUTHORIZED", message);
    }
    say(&app, &whatsapp, &token, "c1", "Hello")
        .await
        .assert_status(404);
    let nobody = InboxId::from_text("inbox_none");
    say(&app, &nobody, &token, "c1", "Hello")
        .await
        .assert_status(404);
    assert_eq!(app.count("messages").await, 0);
}

async fn allowed_origins_are_checked_on_every_call(store: Store) {
    let app = TestApp::start(store).await;
    let body = json!({"name": "W", "type": "livechat", "channel": {"allowed_origins": ["https://shop.example.com"]}});
    let inbox = app.inbox(body).await;
    let enter = |origin: &str| {
        let call = app
            .post(&format!("/livechat/{inbox}/sessions"))
            .json(&json!({}));
        call.header("origin", origin)
    };
    let good = enter("https://shop.example.com").send().await;
    good.assert_status(201);
    let token = good.data()["token"].as_str().expect("a token").to_owned();
    for origin in [
        "https://evil.example.com",
        "http://shop.example.com",
        "null",
    ] {
        let message = "This page may not use this chat";
        enter(origin)
            .send()
            .await
            .assert_error(403, "FORBIDDEN", message);
        let call = app.get(&format!("/livechat/{inbox}/messages")).key(&token);
        call.header("origin", origin)
            .send()
            .await
            .assert_status(403);
    }
    say(&app, &inbox, &token, "c1", "no origin at all")
        .await
        .assert_status(403);
}

async fn a_website_vouches_for_its_visitor(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let secret = livechat::identity_secret(&app.context, &inbox);
    // The header value of a Meta signature is the same HMAC behind a prefix.
    let hash = channels::signature::sign_meta(secret.as_bytes(), b"customer-17");
    let hash = hash.strip_prefix("sha256=").expect("a prefix");
    let body = json!({"name": "Ayu", "user_id": "customer-17", "user_hash": hash});
    let (visitor, token) = enter(&app, &inbox, body.clone()).await;
    assert_eq!(visitor, "user:customer-17");
    say(&app, &inbox, &token, "c1", "from the office")
        .await
        .assert_status(201);
    // The same person on another device goes on in the same conversation.
    let (_, phone) = enter(&app, &inbox, body).await;
    assert_eq!(hear(&app, &inbox, &phone, "").await.len(), 1);

    let call = || app.post(&format!("/livechat/{inbox}/sessions"));
    let forged = json!({"user_id": "customer-18", "user_hash": hash});
    let wrong = [("user_hash", "is not the right hash for this user_id")];
    call()
        .json(&forged)
        .send()
        .await
        .assert_wrong_fields(&wrong);
    let alone = json!({"user_id": "customer-18"});
    let wrong = [("user_hash", "is required with user_id")];
    call().json(&alone).send().await.assert_wrong_fields(&wrong);
}

async fn every_wrong_field_is_reported(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let call = app.post(&format!("/livechat/{inbox}/messages")).key(&token);
    let body = json!({"client_id": "a b", "text": "x".repeat(5000), "type": "message"});
    call.json(&body).send().await.assert_wrong_fields(&[
        ("client_id", "must have 1 to 64 visible ASCII characters"),
        ("text", "must have at most 4096 characters"),
        ("type", "is not a known field"),
    ]);
    let blank = [("text", "must not be empty or only white space")];
    for text in ["", " ", "\u{a0}\n"] {
        say(&app, &inbox, &token, "c1", text)
            .await
            .assert_wrong_fields(&blank);
    }
    let path = format!("/livechat/{inbox}/messages?after=nope");
    let wrong = [("after", "must be the id of a message")];
    let answer = app.get(&path).key(&token).send().await;
    answer.assert_wrong_fields(&wrong);
}

async fn a_flood_is_held_back(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut held_back = 0;
    for n in 0..60 {
        let answer = say(&app, &inbox, &token, &format!("c{n}"), "spam").await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "1");
            assert_eq!(answer.json()["error"]["code"], "RATE_LIMITED");
            held_back += 1;
        }
    }
    assert!(held_back > 0, "60 at once are too many");
    let (_, other) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &other, "c1", "Hello")
        .await
        .assert_status(201);
}

async fn a_socket_that_floods_is_told_how_long_to_wait(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut socket = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    for n in 0..60 {
        let text = json!({"type": "message", "client_id": format!("c{n}"), "text": "spam"});
        socket.send(&text).await;
    }
    let refused = socket.next_of("error").await;
    assert_eq!(refused["error"]["code"], "RATE_LIMITED");
    assert_eq!(refused["retry_after"], 1);
    assert!(refused["client_id"].is_string(), "{refused}");
}

async fn a_socket_acknowledges_after_the_commit_and_shows_it_everywhere(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut one = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    let mut two = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    one.send(&json!({"type": "message", "client_id": "c1", "text": "Hello"}))
        .await;
    let ack = one.next_of("ack").await;
    assert_eq!(ack["client_id"], "c1");
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
    let seen = two.next_of("message").await;
    assert_eq!(seen["message"], ack["message"]);

    // The answer was lost: the same again is acknowledged with the same message.
    one.send(&json!({"type": "message", "client_id": "c1", "text": "Hello"}))
        .await;
    assert_eq!(
        one.next_of("ack").await["message"]["id"],
        ack["message"]["id"]
    );
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
    one.send(&json!({"type": "ping"})).await;
    one.next_of("pong").await;
}

async fn a_socket_hears_the_business(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (me, token) = enter(&app, &inbox, json!({})).await;
    let mut socket = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    socket
        .send(&json!({"type": "message", "client_id": "c1", "text": "Hello"}))
        .await;
    socket.next_of("ack").await;
    // The test's own ingest publishes to the same stream of events.
    reply(&app, &inbox, &me, "r1", "How can I help?").await;
    loop {
        let shown = socket.next_of("message").await;
        if shown["message"]["direction"] == "outbound" {
            assert_eq!(shown["message"]["content"]["text"], "How can I help?");
            break;
        }
    }
}

async fn a_reconnect_goes_on_where_it_was(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (me, token) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &token, "c1", "one")
        .await
        .assert_status(201);
    let last = hear(&app, &inbox, &token, "").await[0]["id"].clone();
    for n in 0..120 {
        reply(&app, &inbox, &me, &format!("r{n}"), &format!("{n}")).await;
    }
    let mut socket = Socket::hello(app.address, inbox.as_str(), &token, last.as_str()).await;
    for n in 0..120 {
        let shown = socket.next_of("message").await;
        assert_eq!(shown["message"]["content"]["text"], n.to_string());
    }
}

async fn wrong_frames_get_an_error_and_cost_nothing(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut socket = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    for frame in [
        Frame::binary(b"binary".to_vec()),
        Frame::text("no json"),
        Frame::text("[1]"),
        Frame::text(r#"{"type":"message","client_id":"c1","text":"\ud83d"}"#),
        Frame::text(r#"{"type":"dance"}"#),
        Frame::text(r#"{"type":"message","client_id":"c9","text":7}"#),
        Frame::text(r#"{"type":"ping","client_id":"c9"}"#),
        Frame::text(r#"{"type":"message","client_id":"c9","text":"a","text":"b"}"#),
    ] {
        socket.raw(frame).await;
        let error = socket.next().await;
        assert_eq!(error["type"], "error", "{error}");
        assert_eq!(error["error"]["code"], "VALIDATION_ERROR");
    }
    socket
        .send(&json!({"type": "message", "client_id": "c1", "text": "still here"}))
        .await;
    socket.next_of("ack").await;
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);

    socket.raw(Frame::text("x".repeat(200_000))).await;
    assert!(
        socket.next_of_end().await,
        "an oversized frame ends the socket"
    );
    let mut other = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    for _ in 0..40 {
        if other.0.send(Frame::text("nonsense")).await.is_err() {
            break;
        }
    }
    assert!(other.next_of_end().await, "patience ends");
}

impl Socket {
    /// Whether it ends, whatever it still says before.
    async fn next_of_end(&mut self) -> bool {
        while !self.next().await.is_null() {}
        true
    }
}

async fn a_socket_must_say_hello_with_its_own_token(store: Store) {
    let app = TestApp::start(store).await;
    let (inbox, elsewhere) = (app.livechat("A").await, app.livechat("B").await);
    let (_, token) = enter(&app, &elsewhere, json!({})).await;
    for first in [
        json!({"type": "hello", "token": token}),
        json!({"type": "hello"}),
        json!({"type": "hello", "token": token, "after": "nope"}),
        json!({"type": "hello", "token": token, "name": "Ayu"}),
        json!({"type": "message", "client_id": "c1", "text": "Hello"}),
    ] {
        let mut socket = Socket::open(app.address, inbox.as_str()).await;
        socket.send(&first).await;
        assert_eq!(socket.next().await["type"], "error");
        assert!(socket.next_of_end().await);
    }
    app.get(&format!("/livechat/{inbox}/socket"))
        .send()
        .await
        .assert_status(400);
    assert_eq!(app.count("messages").await, 0);
}

async fn sockets_of_one_address_are_bounded(store: Store) {
    let app = TestApp::with(store, |limits| limits.sockets_per_address = 2).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let one = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    let _two = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    let url = format!("ws://{}/livechat/{inbox}/socket", app.address);
    assert!(connect_async(&url).await.is_err(), "a third is refused");
    drop(one);
    // The place is free once the server has noticed.
    let free = async {
        while connect_async(&url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), free)
        .await
        .expect("a place gets free");
}

async fn a_silent_socket_outlives_the_limits_of_requests(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.idle_timeout = Duration::from_millis(200);
        limits.head_timeout = Duration::from_millis(200);
    })
    .await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut socket = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    for round in 0..2 {
        // Longer than every limit of a request: if one applied, the socket would be over by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let text = json!({"type": "message", "client_id": format!("c{round}"), "text": "Hello"});
        socket.send(&text).await;
        socket.next_of("ack").await;
    }
}

async fn a_stop_ends_the_sockets(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut socket = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    let stopped = timeout(Duration::from_secs(20), app.stop());
    stopped.await.expect("sockets do not hold up a stop");
    assert!(socket.next_of_end().await);
}

async fn a_socket_ends_with_its_inbox(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut here = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    let mut elsewhere = Socket::hello(other.address, inbox.as_str(), &token, None).await;
    inboxes::delete(&app.context, &app.account, &inbox, false, None)
        .await
        .expect("deleted");
    for socket in [&mut here, &mut elsewhere] {
        assert_eq!(socket.next().await["error"]["code"], "NOT_FOUND");
        assert!(socket.next_of_end().await);
    }
    other.stop().await;
}

async fn a_socket_ends_when_its_page_is_no_longer_allowed(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({})).await;
    let mut here = Socket::hello(app.address, inbox.as_str(), &token, None).await;
    let mut elsewhere = Socket::hello(other.address, inbox.as_str(), &token, None).await;
    let body = json!({"channel": {"allowed_origins": ["https://shop.example.com"]}});
    let body = body.as_object().expect("an object").clone();
    inboxes::update(&app.context, &app.account, &inbox, body, None)
        .await
        .expect("changed");
    for socket in [&mut here, &mut elsewhere] {
        assert_eq!(socket.next().await["error"]["code"], "FORBIDDEN");
        assert!(socket.next_of_end().await);
    }
    other.stop().await;
}

async fn nothing_is_stored_of_a_visitor_that_says_nothing(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, token) = enter(&app, &inbox, json!({"name": "Ayu"})).await;
    Socket::hello(app.address, inbox.as_str(), &token, None).await;
    for table in ["contacts", "identities", "conversations", "messages"] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
}
