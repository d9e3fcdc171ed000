//! `/livechat/{inbox_id}/sessions`: tokens go on and end, a visitor logs in and takes along what it wrote, and logs out.

use crate::{
    livechat::{ended, enter, hear, say, texts},
    support::{SECRET_KEY, Store, TestApp, eventually, live::Socket, on_both_stores},
};
use data_encoding::BASE64URL_NOPAD;
use inboxd::{domain::Scope, id::InboxId, ops::livechat, vault::Vault};
use serde_json::{Value, json};

on_both_stores![
    a_visitor_that_logs_in_takes_its_conversation_along,
    a_user_with_a_conversation_gets_the_anonymous_one_into_it,
    a_conversation_goes_to_one_user_and_only_once,
    of_two_users_who_log_in_at_once_one_gets_the_conversation,
    another_users_token_carries_nothing_over,
    what_was_logged_out_of_carries_nothing_over,
    a_log_out_ends_every_token_and_socket_of_the_session_on_every_node,
    a_log_out_ends_no_other_device,
    a_token_ends_90_days_after_its_last_use,
    a_token_without_a_date_goes_on_and_ends_like_the_others,
    ended_sessions_are_forgotten_with_their_tokens,
    open_pages_hear_on_when_their_conversation_was_joined,
];

const UNKNOWN: &str = "The visitor's token is missing or wrong";

/// The body of a session for a user of the website.
fn user(app: &TestApp, inbox: &InboxId, id: &str) -> Value {
    let secret = livechat::identity_secret(&app.context, inbox);
    // The header value of a Meta signature is the same HMAC behind a prefix.
    let hash = channels::signature::sign_meta(secret.as_bytes(), id.as_bytes());
    let hash = hash.strip_prefix("sha256=").expect("a prefix");
    json!({"user_id": id, "user_hash": hash})
}

/// Logs in with the token of before. Returns the answer's data.
async fn log_in(app: &TestApp, inbox: &InboxId, id: &str, token: &str) -> Value {
    let mut body = user(app, inbox, id);
    body["token"] = token.into();
    let call = app.post(&format!("/livechat/{inbox}/sessions"));
    let answer = call.json(&body).send().await;
    answer.assert_status(201);
    answer.data()
}

async fn log_out(app: &TestApp, inbox: &InboxId, token: &str) {
    let call = app.delete(&format!("/livechat/{inbox}/sessions"));
    call.key(token).send().await.assert_status(204);
}

async fn assert_opens_nothing(app: &TestApp, inbox: &InboxId, token: &str) {
    let call = app.get(&format!("/livechat/{inbox}/messages")).key(token);
    call.send().await.assert_error(401, "UNAUTHORIZED", UNKNOWN);
    say(app, inbox, token, "x", "still here?")
        .await
        .assert_status(401);
    let mut socket = Socket::open(app.address, inbox.as_str()).await;
    socket.send(&json!({"type": "hello", "token": token})).await;
    assert_eq!(socket.next().await["error"]["code"], "UNAUTHORIZED");
}

fn token(data: &Value) -> &str {
    data["token"].as_str().expect("a token")
}

async fn a_visitor_that_logs_in_takes_its_conversation_along(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, anonymous) = enter(&app, &inbox, json!({"name": "Ayu"})).await;
    say(&app, &inbox, &anonymous, "c1", "Is it in stock?")
        .await
        .assert_status(201);
    let mut socket = Socket::hello(app.address, inbox.as_str(), &anonymous, None).await;
    socket.next_of("message").await;

    let session = log_in(&app, &inbox, "customer-17", &anonymous).await;
    assert_eq!(session["visitor_id"], "user:customer-17");
    assert_eq!(session["carried_over"], true);
    let heard = hear(&app, &inbox, token(&session), "").await;
    assert_eq!(texts(&heard), ["Is it in stock?"]);
    assert_eq!(heard[0]["client_id"], "c1");
    // Whoever has the anonymous token must not read what the user writes.
    assert_eq!(
        socket.next_of("error").await["error"]["code"],
        "UNAUTHORIZED"
    );
    assert!(ended(&mut socket).await);
    assert_opens_nothing(&app, &inbox, &anonymous).await;

    // The answer was lost: the same again.
    let again = log_in(&app, &inbox, "customer-17", &anonymous).await;
    assert_eq!(again["carried_over"], true);
    assert_eq!(hear(&app, &inbox, token(&again), "").await, heard);
    assert_eq!(app.count("contacts").await, 1);
    assert_eq!(app.count("conversations").await, 1);
    app.verify().await;
}

async fn a_user_with_a_conversation_gets_the_anonymous_one_into_it(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, phone) = enter(&app, &inbox, user(&app, &inbox, "customer-17")).await;
    say(&app, &inbox, &phone, "p1", "from the phone")
        .await
        .assert_status(201);
    let mut last = phone;
    // Twice within one second.
    for n in 1..=2 {
        let (_, anonymous) = enter(&app, &inbox, json!({})).await;
        say(
            &app,
            &inbox,
            &anonymous,
            "c1",
            &format!("before log-in {n}"),
        )
        .await
        .assert_status(201);
        let session = log_in(&app, &inbox, "customer-17", &anonymous).await;
        assert_eq!(session["carried_over"], true);
        last = token(&session).to_owned();
    }
    let heard = hear(&app, &inbox, &last, "").await;
    assert_eq!(
        texts(&heard),
        ["from the phone", "before log-in 1", "before log-in 2"]
    );
    assert_eq!(app.count("contacts").await, 1);
    assert_eq!(app.count("conversations").await, 1);
    app.verify().await;
}

async fn a_conversation_goes_to_one_user_and_only_once(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, anonymous) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &anonymous, "c1", "Hello")
        .await
        .assert_status(201);
    log_in(&app, &inbox, "customer-17", &anonymous).await;
    let other = log_in(&app, &inbox, "customer-18", &anonymous).await;
    assert_eq!(other["carried_over"], false);
    assert_eq!(
        hear(&app, &inbox, token(&other), "").await,
        [Value::Null; 0]
    );
}

async fn of_two_users_who_log_in_at_once_one_gets_the_conversation(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let inbox = app.livechat("Website").await;
    for round in 0..5 {
        let (_, anonymous) = enter(&app, &inbox, json!({})).await;
        say(&app, &inbox, &anonymous, "c1", "Hello")
            .await
            .assert_status(201);
        let users = ["a", "b"].map(|name| format!("{name}-{round}"));
        let sessions = tokio::join!(
            log_in(&app, &inbox, &users[0], &anonymous),
            log_in(&other, &inbox, &users[1], &anonymous),
        );
        let mut winners = 0;
        for session in [sessions.0, sessions.1] {
            let heard = hear(&app, &inbox, token(&session), "").await;
            assert_eq!(heard.len() == 1, session["carried_over"] == true);
            winners += heard.len();
        }
        assert_eq!(winners, 1);
    }
    assert_eq!(app.count("contacts").await, 5);
    app.verify().await;
    other.stop().await;
}

async fn another_users_token_carries_nothing_over(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, first) = enter(&app, &inbox, user(&app, &inbox, "customer-17")).await;
    say(&app, &inbox, &first, "c1", "Hello")
        .await
        .assert_status(201);
    for former in [first.as_str(), "nonsense", ""] {
        let session = log_in(&app, &inbox, "customer-18", former).await;
        assert_ne!(session["carried_over"], true);
        assert_eq!(
            hear(&app, &inbox, token(&session), "").await,
            [Value::Null; 0]
        );
    }
    assert_eq!(hear(&app, &inbox, &first, "").await.len(), 1);
    let elsewhere = app.livechat("Other website").await;
    let (_, anonymous) = enter(&app, &elsewhere, json!({})).await;
    say(&app, &elsewhere, &anonymous, "c1", "Hello")
        .await
        .assert_status(201);
    log_in(&app, &inbox, "customer-18", &anonymous).await;
    assert_eq!(hear(&app, &elsewhere, &anonymous, "").await.len(), 1);
}

async fn what_was_logged_out_of_carries_nothing_over(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (me, anonymous) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &anonymous, "c1", "Hello")
        .await
        .assert_status(201);
    log_out(&app, &inbox, &anonymous).await;
    let session = log_in(&app, &inbox, "customer-17", &anonymous).await;
    assert_eq!(session["carried_over"], false);
    assert_eq!(
        hear(&app, &inbox, token(&session), "").await,
        [Value::Null; 0]
    );
    // Nor does it go on.
    let (visitor, _) = enter(&app, &inbox, json!({"token": anonymous})).await;
    assert_ne!(visitor, me);
}

async fn a_log_out_ends_every_token_and_socket_of_the_session_on_every_node(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let inbox = app.livechat("Website").await;
    for body in [json!({}), user(&app, &inbox, "customer-17")] {
        let (visitor, first) = enter(&app, &inbox, body).await;
        say(&app, &inbox, &first, "c1", "Hello")
            .await
            .assert_status(201);
        app.context.clock.advance(1);
        let (same, renewed) = enter(&app, &inbox, json!({"token": first})).await;
        assert_eq!(same, visitor);
        assert_ne!(first, renewed);
        let mut here = Socket::hello(app.address, inbox.as_str(), &first, None).await;
        let mut there = Socket::hello(other.address, inbox.as_str(), &renewed, None).await;
        log_out(&app, &inbox, &first).await;
        for socket in [&mut here, &mut there] {
            assert_eq!(
                socket.next_of("error").await["error"]["code"],
                "UNAUTHORIZED"
            );
            assert!(ended(socket).await);
        }
        for node in [&app, &other] {
            assert_opens_nothing(node, &inbox, &first).await;
            assert_opens_nothing(node, &inbox, &renewed).await;
        }
        // Doing it again is harmless.
        log_out(&other, &inbox, &renewed).await;
    }
    let call = app.delete(&format!("/livechat/{inbox}/sessions"));
    let wrong = call.key("nonsense").send().await;
    wrong.assert_error(401, "UNAUTHORIZED", UNKNOWN);
    other.stop().await;
}

async fn a_log_out_ends_no_other_device(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, office) = enter(&app, &inbox, user(&app, &inbox, "customer-17")).await;
    let (_, phone) = enter(&app, &inbox, user(&app, &inbox, "customer-17")).await;
    say(&app, &inbox, &office, "c1", "Hello")
        .await
        .assert_status(201);
    let mut socket = Socket::hello(app.address, inbox.as_str(), &phone, None).await;
    log_out(&app, &inbox, &office).await;
    assert_opens_nothing(&app, &inbox, &office).await;
    socket.next_of("message").await;
    socket.send(&json!({"type": "ping"})).await;
    socket.next_of("pong").await;
    assert_eq!(hear(&app, &inbox, &phone, "").await.len(), 1);
}

const DAY: i64 = 24 * 3600;

async fn a_token_ends_90_days_after_its_last_use(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (me, first) = enter(&app, &inbox, json!({"name": "Ayu"})).await;
    app.context.clock.advance(60 * DAY);
    // It is used on a socket, which gives another one.
    let mut socket = Socket::open(app.address, inbox.as_str()).await;
    socket.send(&json!({"type": "hello", "token": first})).await;
    let welcome = socket.next().await;
    let second = token(&welcome).to_owned();
    app.context.clock.advance(60 * DAY);
    assert_opens_nothing(&app, &inbox, &first).await;
    // And over plain HTTP.
    let (same, third) = enter(&app, &inbox, json!({"token": second})).await;
    assert_eq!(same, me);
    app.context.clock.advance(60 * DAY);
    let said = say(&app, &inbox, &third, "c1", "Hello").await;
    said.assert_status(201);
    app.context.clock.advance(31 * DAY);
    assert_opens_nothing(&app, &inbox, &third).await;
    let key = app.key(&[Scope::Read]).await;
    let path = format!("/messages?inbox_id={inbox}");
    let stored = app.get(&path).key(&key).send().await.data();
    assert_eq!(stored[0]["sender"], json!({"name": "Ayu"}));
}

/// A token as version 0.1.0 made them.
fn undated(inbox: &InboxId, id: &str) -> String {
    let payload = BASE64URL_NOPAD.encode(json!({"id": id}).to_string().as_bytes());
    let vault = Vault::from_text(SECRET_KEY).expect("a key");
    let proof = vault.sign("livechat visitor", inbox, &payload);
    format!("{payload}.{proof}")
}

async fn a_token_without_a_date_goes_on_and_ends_like_the_others(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    for id in ["visitor_06cqm0d4vdtqf5b5r9e2k8a1p4", "user:customer-17"] {
        let old = undated(&inbox, id);
        say(&app, &inbox, &old, "c1", "Hello")
            .await
            .assert_status(201);
        let (same, renewed) = enter(&app, &inbox, json!({"token": old})).await;
        assert_eq!(same, id);
        // They are of one session.
        log_out(&app, &inbox, &renewed).await;
        assert_opens_nothing(&app, &inbox, &old).await;
        assert_opens_nothing(&app, &inbox, &renewed).await;
    }
    let unused = undated(&inbox, "user:customer-18");
    assert!(hear(&app, &inbox, &unused, "").await.is_empty());
    // The schema may be younger than this test's clock.
    app.context.clock.advance(10 * 365 * DAY);
    assert_opens_nothing(&app, &inbox, &unused).await;
}

async fn ended_sessions_are_forgotten_with_their_tokens(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let (_, first) = enter(&app, &inbox, json!({})).await;
    log_out(&app, &inbox, &first).await;
    app.context.clock.advance(90 * DAY);
    livechat::forget_sessions(&app.context).await.expect("done");
    assert_eq!(app.count("ended_visitor_sessions").await, 1);
    assert_opens_nothing(&app, &inbox, &first).await;
    app.context.clock.advance(2);
    // The server does it by itself.
    eventually("it is forgotten", async || {
        app.count("ended_visitor_sessions").await == 0
    })
    .await;
    assert_opens_nothing(&app, &inbox, &first).await;
}

async fn open_pages_hear_on_when_their_conversation_was_joined(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    // The anonymous conversation is the older one: it survives.
    let (_, anonymous) = enter(&app, &inbox, json!({})).await;
    say(&app, &inbox, &anonymous, "c1", "before log-in")
        .await
        .assert_status(201);
    let (_, phone) = enter(&app, &inbox, user(&app, &inbox, "customer-17")).await;
    say(&app, &inbox, &phone, "p1", "from the phone")
        .await
        .assert_status(201);
    let mut socket = Socket::hello(app.address, inbox.as_str(), &phone, None).await;
    socket.next_of("message").await;
    let session = log_in(&app, &inbox, "customer-17", &anonymous).await;
    say(&app, &inbox, token(&session), "c2", "after log-in")
        .await
        .assert_status(201);
    // What was written just before the log-in may come, too.
    while socket.next_of("message").await["message"]["content"]["text"] != "after log-in" {}
}
