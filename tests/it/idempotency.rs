//! `Idempotency-Key` on every call that changes something: the same request changes nothing again and gets the first answer.

use crate::{
    sending::Sending,
    support::{
        Answer, Call, READER, Store, TestApp,
        bodies::telegram,
        counting::Does,
        eventually, on_both_stores,
        program::text,
        provider::{Provider, Reply, ok},
    },
};
use futures_util::future::join_all;
use inboxd::{
    domain::Scope,
    id::KeyId,
    ops::{
        idempotency::Request,
        keys::{self, NewKey},
    },
    router,
};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

on_both_stores![
    every_call_that_changes_something_takes_a_key,
    a_created_inbox_is_created_once,
    a_change_and_a_deletion_happen_once,
    what_a_person_does_about_a_message_happens_once,
    fifty_equal_requests_at_once_are_one,
    another_request_with_the_same_key_is_refused,
    a_provider_is_asked_once,
    what_came_to_nothing_may_be_tried_again,
    what_was_begun_and_never_ended_is_not_begun_again,
];

const KEY: &str = "idempotency-key";

/// That the second answer is the first, and says so.
#[track_caller]
fn assert_replayed(first: &Answer, second: &Answer) {
    assert!(!first.headers.contains_key("idempotent-replayed"));
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(
        first.headers.get("location"),
        second.headers.get("location")
    );
}

/// Calls twice under one key.
async fn twice(call: impl Fn() -> Call) -> Answer {
    let (first, second) = (call().send().await, call().send().await);
    first.assert_success();
    assert_replayed(&first, &second);
    first
}

async fn every_call_that_changes_something_takes_a_key(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&Scope::ALL).await;
    let document = serde_json::to_value(router::document()).expect("a document");
    let mut changing = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let named = operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["name"] == "Idempotency-Key"));
            let takes = operation["security"].is_null() && method != "get";
            assert_eq!(named, takes, "{method} {path}");
            if !takes {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("a method");
            let call = app.call(method, &path.replace("{id}", "some_1")).key(&key);
            let call = call.header(KEY, &"x".repeat(256)).json(&json!({}));
            let rule = "must have 1 to 255 visible ASCII characters";
            let answer = call.send().await;
            answer.assert_wrong_fields(&[("Idempotency-Key", rule)]);
            changing += 1;
        }
    }
    assert!(changing >= 9, "only {changing}");
}

async fn a_created_inbox_is_created_once(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Write]).await;
    // The app secret is not in the answer, and what is kept is sealed.
    let create = || {
        app.post("/inboxes")
            .key(&key)
            .header(KEY, "1")
            .json(&telegram())
    };
    let made = twice(create).await;
    made.assert_status(201);
    let location = format!("/inboxes/{}", text(&made.data()["id"]));
    assert_eq!(made.header("location"), location);
    assert_eq!(app.count("inboxes").await, 1);
    // A body that means the same is the same; an answer is as it was.
    let path = format!("/inboxes/{}", text(&made.data()["id"]));
    let renamed = app.patch(&path).key(&key).json(&json!({"name": "Renamed"}));
    renamed.send().await.assert_status(200);
    let again = app.post("/inboxes").key(&key).header(KEY, "1");
    let spaced = serde_json::to_string_pretty(&telegram()).expect("JSON");
    assert_replayed(&made, &again.raw_json(spaced).send().await);
}

async fn a_change_and_a_deletion_happen_once(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    let path = format!("/inboxes/{}", app.whatsapp("1001").await);
    let change = || {
        let call = app.patch(&path).key(&key).header(KEY, "change");
        call.json(&json!({"name": "Second"}))
    };
    twice(change).await;
    let third = app.patch(&path).key(&key).json(&json!({"name": "Third"}));
    third.send().await.assert_status(200);
    assert_eq!(change().send().await.data()["name"], "Second");
    let shown = app.get(&path).key(&key).send().await.data();
    assert_eq!(shown["name"], "Third", "what is repeated changes nothing");

    let delete = || app.delete(&path).key(&key).header(KEY, "delete");
    twice(delete).await.assert_status(204);
    app.delete(&path).key(&key).send().await.assert_status(404);
}

async fn what_a_person_does_about_a_message_happens_once(store: Store) {
    let sending = Sending::start(store).await;
    sending.provider.does(|_, _| Does::TakeAndCut);
    let conversation = sending.greeted().await;
    let message = sending.say(&conversation, "Hello").await;
    sending.reaches(&message, "unknown").await;
    let act = |action: &str, key: &str| {
        let path = format!("/messages/{}/{action}", text(&message["id"]));
        sending.app.post(&path).key(&sending.key).header(KEY, key)
    };
    let settle = || act("settle", "settle").json(&json!({"status": "failed"}));
    assert_eq!(twice(settle).await.data()["status"], "failed");
    sending.provider.does(|_, _| Does::Take);
    let retried = twice(|| act("retry", "retry")).await;
    assert_eq!(retried.data()["status"], "queued");
    sending.reaches(&message, "sent").await;
    assert_eq!(sending.provider.took().len(), 2, "the first, and one more");
    assert_eq!(
        act("retry", "retry").send().await.body,
        retried.body,
        "as it was then"
    );

    let path = format!("/conversations/{conversation}");
    let resolve = || {
        let call = sending.app.patch(&path).key(&sending.key);
        call.header(KEY, "r").json(&json!({"status": "resolved"}))
    };
    assert_eq!(twice(resolve).await.data()["status"], "resolved");
    let open = sending.app.patch(&path).key(&sending.key);
    let open = open.json(&json!({"status": "open"}));
    assert_eq!(open.send().await.data()["status"], "open");
    assert_eq!(resolve().send().await.data()["status"], "resolved");
    let shown = sending.app.get(&path).key(&sending.key).send().await;
    assert_eq!(shown.data()["status"], "open");
    let body = json!({"message_id": message["id"]});
    let read = || {
        let call = sending.app.post(&format!("{path}/read"));
        call.key(&sending.key).header(KEY, "read").json(&body)
    };
    twice(read).await;

    let limited = json!({"error": {"code": 130_429, "message": "Slow down"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(429, limited.clone()));
    let waits = sending.say(&conversation, "One more").await;
    sending.comes_to_rest().await;
    let path = format!("/messages/{}/cancel", text(&waits["id"]));
    let cancel = || sending.app.post(&path).key(&sending.key).header(KEY, "c");
    assert_eq!(twice(cancel).await.data()["status"], "canceled");
    let queue = format!("/inboxes/{}/queue", sending.inbox);
    let release = || {
        let call = sending.app.post(&queue).key(&sending.key);
        call.header(KEY, "q").json(&json!({"send": "all"}))
    };
    assert_eq!(
        twice(release).await.data(),
        json!({"released": 0, "discarded": 0})
    );
}

async fn fifty_equal_requests_at_once_are_one(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let node = sending.app.another_node().await;
    let nodes = [&sending.app, &node];
    let writer = sending.app.key(&[Scope::Write]).await;
    let hello =
        json!({"conversation_id": conversation, "type": "text", "content": {"text": "Once"}});
    for (path, key, body) in [
        ("/messages", &sending.key, &hello),
        ("/inboxes", &writer, &telegram()),
    ] {
        let calls = (0..50).map(|n| {
            let call = nodes[n % 2].post(path).key(key);
            call.header(KEY, "all-at-once").json(body).send()
        });
        let answers = join_all(calls).await;
        let first = answers
            .iter()
            .find(|one| !one.headers.contains_key("idempotent-replayed"));
        let first = first.expect("one of them does it");
        first.assert_status(201);
        let mut replayed = 0;
        for answer in &answers {
            if !std::ptr::eq(answer, first) {
                assert_replayed(first, answer);
                replayed += 1;
            }
        }
        assert_eq!(replayed, 49);
    }
    eventually("it is sent", async || {
        sending.app.count("outbox").await == 0
    })
    .await;
    assert_eq!(sending.provider.texts(), ["Once"]);
    let outbound = sending.app.count("messages WHERE direction = 'outbound'");
    assert_eq!(outbound.await, 1);
    assert_eq!(sending.app.count("inboxes").await, 2);
    sending.app.verify().await;
}

async fn another_request_with_the_same_key_is_refused(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Write]).await;
    let one = format!("/inboxes/{}", app.whatsapp("1001").await);
    let two = format!("/inboxes/{}", app.whatsapp("1002").await);
    let call = |method: Method, path: &str| app.call(method, path).key(&key).header(KEY, "1");
    let name = json!({"name": "Another"});
    call(Method::PATCH, &one)
        .json(&name)
        .send()
        .await
        .assert_status(200);
    let others = [
        call(Method::PATCH, &one).json(&json!({"name": "Yet another"})),
        call(Method::PATCH, &two).json(&name),
        call(Method::PATCH, &format!("{one}?x=1")).json(&name),
        call(Method::DELETE, &one),
        call(Method::POST, "/inboxes").json(&telegram()),
        call(Method::POST, &format!("{one}/connect")),
    ];
    for other in others {
        let answer = other.send().await;
        let said = "This Idempotency-Key was used for another request within 24 hours";
        answer.assert_conflict("key_reused", said);
    }
    // An error is not kept: what was wrong may be right later.
    let wrong = app.post("/inboxes").key(&key).header(KEY, "2").json(&name);
    wrong.send().await.assert_status(400);
    let right = app
        .post("/inboxes")
        .key(&key)
        .header(KEY, "2")
        .json(&telegram());
    right.send().await.assert_status(201);
    let twice_named = app
        .post("/inboxes")
        .key(&key)
        .header(KEY, "3")
        .header(KEY, "4");
    twice_named
        .json(&telegram())
        .send()
        .await
        .assert_status(400);
}

/// A server with a bot's inbox, and the bot's provider.
struct Bot {
    app: TestApp,
    provider: Provider,
    path: String,
    key: String,
    key_id: KeyId,
}

impl Bot {
    async fn start(store: Store) -> Self {
        let provider = Provider::with_a_bot().await;
        let app = TestApp::asking(store, provider.settings()).await;
        let inbox = app.inbox(telegram_of_the_bot()).await;
        let new = NewKey {
            scopes: &[Scope::Write],
            ..READER
        };
        let (key, secret) = keys::create(&app.context, &app.account, &new)
            .await
            .expect("a key");
        Bot {
            path: format!("/inboxes/{inbox}/connect"),
            app,
            provider,
            key: secret.expose_secret().to_owned(),
            key_id: key.id,
        }
    }

    fn connect(&self) -> Call {
        let call = self.app.post(&self.path).key(&self.key);
        call.header(KEY, "connect")
    }
}

fn telegram_of_the_bot() -> Value {
    json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"}})
}

async fn a_provider_is_asked_once(store: Store) {
    let bot = Bot::start(store).await;
    let gate = Arc::new(Semaphore::new(0));
    let yes = Box::new(ok(json!(true)));
    bot.provider
        .replies("setWebhook", Reply::After(gate.clone(), yes));
    let opened = async {
        eventually("the first one asks", async || {
            bot.provider.asked().contains(&"setWebhook".to_owned())
        })
        .await;
        // An equal one waits meanwhile.
        let (answer, ()) = tokio::join!(bot.connect().send(), async {
            gate.add_permits(100);
        });
        answer
    };
    let (first, second) = tokio::join!(bot.connect().send(), opened);
    first.assert_status(200);
    assert_replayed(&first, &second);
    assert_replayed(&first, &bot.connect().send().await);
    let asked = bot.provider.asked();
    assert_eq!(asked.iter().filter(|one| *one == "setWebhook").count(), 1);
    // The setup has a token for the provider: what is kept is sealed.
    let kept = bot.app.count("idempotency_keys WHERE length(answer) > 0");
    assert_eq!(kept.await, 1);
}

async fn what_came_to_nothing_may_be_tried_again(store: Store) {
    let bot = Bot::start(store).await;
    bot.provider
        .replies("getMe", Reply::Text(502, "Bad gateway".into()));
    bot.connect().send().await.assert_status(503);
    assert_eq!(bot.app.count("idempotency_keys").await, 0);
    let me = json!({"id": 110_201_543, "is_bot": true, "first_name": "Toko Biru", "username": "toko_biru_bot"});
    bot.provider.replies("getMe", ok(me));
    bot.connect().send().await.assert_status(200);
}

async fn what_was_begun_and_never_ended_is_not_begun_again(store: Store) {
    let bot = Bot::start(store).await;
    let operation = format!("POST {}", bot.path);
    let (account, key_id) = (bot.app.account.clone(), bot.key_id.clone());
    let request = Request::new(account, key_id, "connect", &[&operation, ""]).expect("a request");
    // A server that was killed between these two steps leaves the first.
    request.claim(&bot.app.context).await.expect("it is kept");
    let said = "A request with this Idempotency-Key is being carried out: try again";
    bot.connect()
        .send()
        .await
        .assert_conflict("in_flight", said);
    bot.app.context.clock.advance(121);
    let answer = bot.connect().send().await;
    answer.assert_status(409);
    assert_eq!(answer.json()["error"]["reason"], "outcome_unknown");
    assert!(bot.provider.asked().is_empty());
    bot.app.context.clock.advance(24 * 3600);
    bot.connect().send().await.assert_status(200);
}
