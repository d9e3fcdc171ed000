//! What clients and people do while messages are on their way: wait, repeat, cancel, give a new token.

use crate::{
    sending::Sending,
    support::{START, Store, counting::Does, eventually, on_both_stores, whatsapp},
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    a_dead_token_stops_the_inbox_until_there_is_a_new_one,
    what_waited_long_for_a_token_is_sent_when_a_person_says_so,
    what_waits_can_be_canceled,
    a_client_can_wait_for_the_provider,
    all_that_is_missing_is_named,
    a_request_with_an_idempotency_key_can_be_repeated,
];

async fn all_that_is_missing_is_named(store: Store) {
    let sending = Sending::start(store).await;
    let target = ("conversation_id", "is required, or else inbox_id and to");
    let kind = ("type", "must be one of text, location");
    let content = ("content", "is required");
    let answer = sending.post(&json!({})).await;
    answer.assert_wrong_fields(&[target, kind, content]);
    let answer = sending.post(&json!({"type": "text"})).await;
    answer.assert_wrong_fields(&[target, ("content.text", "is required")]);
}

async fn a_dead_token_stops_the_inbox_until_there_is_a_new_one(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let dead = json!({"error": {"code": 190, "message": "Session has expired"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(401, dead.clone()));
    let first = sending.say(&conversation, "One").await;
    let key = sending.app.key(&[Scope::Write]).await;
    let setup = async || {
        let path = format!("/inboxes/{}/setup", sending.inbox);
        sending.app.get(&path).key(&key).send().await.data()
    };
    eventually("sending is stopped", async || {
        setup().await["sending"]["error"]["code"] == "credential"
    })
    .await;
    let second = sending.say(&conversation, "Two").await;
    assert_eq!(sending.get(&first).await["status"], "queued");
    assert_eq!(sending.provider.asked(), 1);
    sending.provider.does(|_, _| Does::Take);
    let token = json!({"channel": {"access_token": "EAAH"}});
    let path = format!("/inboxes/{}", sending.inbox);
    sending
        .app
        .patch(&path)
        .key(&key)
        .json(&token)
        .send()
        .await
        .assert_status(200);
    sending.reaches(&second, "sent").await;
    assert_eq!(sending.provider.texts(), ["One", "Two"]);
    assert_eq!(setup().await["sending"], Value::Null);
    sending.app.verify().await;
}

async fn what_waited_long_for_a_token_is_sent_when_a_person_says_so(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let other = whatsapp::update("1001", &[whatsapp::text("628222", "wamid.in4", "Hi")]);
    sending.app.deliver(&other).await.assert_status(200);
    let other = sending.first("/conversations").await;
    let dead = json!({"error": {"code": 190, "message": "Session has expired"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(401, dead.clone()));
    let old = sending.say(&conversation, "Old").await;
    let older = sending.say(&other, "Discarded").await;
    sending.comes_to_rest().await;
    sending.app.context.clock.advance(660);
    let new = sending.say(&conversation, "New").await;
    sending.provider.does(|_, _| Does::Take);
    let key = sending.app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{}", sending.inbox);
    let change = json!({"channel": {"access_token": "EAAH"}, "pace": 20});
    sending
        .app
        .patch(&path)
        .key(&key)
        .json(&change)
        .send()
        .await
        .assert_status(200);
    let third = whatsapp::update("1001", &[whatsapp::text("628333", "wamid.in5", "Hi")]);
    sending.app.deliver(&third).await.assert_status(200);
    let third = sending.first("/conversations").await;
    let fresh = sending.say(&third, "Fresh").await;
    sending.reaches(&fresh, "sent").await;
    assert_eq!(sending.provider.texts(), ["Fresh"]);
    sending.app.verify().await;
    let queue = |body: Value| {
        sending
            .app
            .post(&format!("{path}/queue"))
            .key(&sending.key)
            .json(&body)
            .send()
    };
    let held = async |more: &str| {
        let list = format!("/messages?inbox_id={}&held=true{more}", sending.inbox);
        let listed = sending.app.get(&list).key(&sending.key).send().await.data();
        let listed = listed.as_array().expect("a list").iter();
        listed.map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    let both = [old["id"].clone(), older["id"].clone()];
    assert_eq!(held("").await, both);
    assert_eq!(held("&limit=1").await, both[1..]);
    let cursor = older["id"].as_str().expect("an id");
    let rest = format!("&limit=1&cursor={cursor}");
    assert_eq!(held(&rest).await, both[..1]);
    let of_conversation = format!("/messages?conversation_id={conversation}&held=true");
    let refused = sending.app.get(&of_conversation).key(&sending.key);
    let refused = refused.send().await;
    refused.assert_wrong_fields(&[("held", "give inbox_id with it")]);
    queue(json!({}))
        .await
        .assert_wrong_fields(&[("send", "give either send or discard")]);
    let discarded = queue(json!({"discard": [older["id"]]})).await;
    assert_eq!(discarded.data(), json!({"released": 0, "discarded": 1}));
    let released = queue(json!({"send": "all"})).await;
    assert_eq!(released.data(), json!({"released": 1, "discarded": 0}));
    assert_eq!(held("").await, [Value::Null; 0]);
    sending.reaches(&new, "sent").await;
    assert_eq!(sending.get(&older).await["status"], "canceled");
    assert_eq!(sending.get(&old).await["status"], "sent");
    assert_eq!(sending.provider.texts(), ["Fresh", "Old", "New"]);
    sending.app.verify().await;
}

async fn what_waits_can_be_canceled(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let again = json!({"error": {"code": 131_016, "message": "Service unavailable"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(400, again.clone()));
    let first = sending.say(&conversation, "One").await;
    let second = sending.say(&conversation, "Two").await;
    let third = sending.say(&conversation, "Three").await;
    eventually("it was tried", async || {
        sending
            .app
            .count("outbox WHERE state = 'queued' AND attempts = 1")
            .await
            == 1
    })
    .await;
    assert_eq!(
        sending.act(&second, "cancel").await.data()["status"],
        "canceled"
    );
    sending.provider.does(|_, _| Does::Take);
    assert_eq!(
        sending.act(&first, "cancel").await.data()["status"],
        "canceled"
    );
    sending.reaches(&third, "sent").await;
    assert_eq!(sending.provider.texts(), ["Three"]);
    sending
        .act(&third, "cancel")
        .await
        .assert_conflict("not_now", "Only what is queued can be canceled");
    let inbound = sending
        .first(&format!("/messages?conversation_id={conversation}"))
        .await;
    let inbound = json!({"id": inbound});
    sending
        .act(&inbound, "cancel")
        .await
        .assert_conflict("not_now", "It was not sent through this program");
    assert_eq!(sending.app.shown(&sending.inbox).await["messages_count"], 4);
    sending.app.verify().await;
}

async fn a_client_can_wait_for_the_provider(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let body = json!({"conversation_id": conversation, "type": "text", "content": {"text": "x"}});
    let call = sending
        .app
        .post("/messages")
        .key(&sending.key)
        .header("prefer", "wait=30");
    let answer = call.json(&body).send().await;
    answer.assert_status(201);
    assert_eq!(answer.data()["status"], "sent");
}

async fn a_request_with_an_idempotency_key_can_be_repeated(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let body = |words: &str| json!({"conversation_id": conversation, "type": "text", "content": {"text": words}});
    let call = |words: &str, key: &str| {
        let call = sending.app.post("/messages").key(&sending.key);
        call.header("idempotency-key", key).json(&body(words))
    };
    // Many at once, on one server: one of them sends.
    let answers =
        futures_util::future::join_all((0..6).map(|_| call("One", "order-17").send())).await;
    for answer in &answers {
        answer.assert_status(201);
        assert_eq!(answer.data(), answers[0].data());
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    let replayed = answers
        .iter()
        .filter(|one| one.headers.contains_key("idempotent-replayed"));
    assert_eq!(replayed.count(), 5);
    let first = answers[0].data();
    assert_eq!(first["status"], "queued");
    sending.reaches(&first, "sent").await;
    assert_eq!(
        call("One", "order-17").send().await.data(),
        first,
        "as it was then"
    );
    let reused = "This Idempotency-Key was used for another request within 24 hours";
    call("Two", "order-17")
        .send()
        .await
        .assert_conflict("key_reused", reused);
    let rule = "must have 1 to 255 visible ASCII characters";
    call("One", &"x".repeat(256))
        .send()
        .await
        .assert_wrong_fields(&[("Idempotency-Key", rule)]);
    // An error is not kept.
    sending.provider.does(|_, _| Does::Take);
    let other = sending.app.key(&[Scope::Send]).await;
    let others = sending
        .app
        .post("/messages")
        .key(&other)
        .header("idempotency-key", "order-17");
    assert_ne!(
        others.json(&body("One")).send().await.data()["id"],
        first["id"],
        "another key's"
    );
    eventually("all are sent", async || {
        sending.app.count("outbox").await == 0
    })
    .await;
    sending.app.context.clock.advance(24 * 3600 - 1);
    call("One", "order-17").send().await.assert_status(201);
    sending.app.context.clock.advance(2);
    let hello = whatsapp::update(
        "1001",
        &[{
            let mut hello = whatsapp::text("628111", "wamid.in8", "Hello again");
            hello["timestamp"] = (START + 24 * 3600).to_string().into();
            hello
        }],
    );
    sending.app.deliver(&hello).await.assert_status(200);
    assert_ne!(
        call("One", "order-17").send().await.data()["id"],
        first["id"],
        "a day later"
    );
    eventually("all are sent", async || {
        sending.app.count("outbox").await == 0
    })
    .await;
    assert_eq!(sending.provider.texts(), ["One", "One", "One"]);
    sending.app.verify().await;
}
