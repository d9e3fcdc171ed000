//! What comes of attempts to send: taken, refused, later, or nobody knows; in what order; and what statuses and echoes say.

use crate::{
    sending::{Sending, status},
    support::{
        Store, TestApp, counting::Does, eventually, on_both_stores, program::text, provider,
        whatsapp, whatsapp_body,
    },
};
use inboxd::domain::Scope;
use serde_json::{Value, json};
use std::time::Duration;

on_both_stores![
    messages_of_a_conversation_leave_in_order,
    what_is_refused_says_why_and_holds_nothing_back,
    what_was_not_sent_is_tried_again,
    without_a_connection_nothing_is_in_doubt,
    what_may_have_been_sent_is_unknown_and_not_repeated,
    what_got_there_after_all_is_not_sent_again,
    a_status_that_comes_before_the_answer_finds_its_message,
    an_echo_of_what_was_sent_is_no_second_message,
];

async fn messages_of_a_conversation_leave_in_order(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    // Each third is told to come again.
    sending.provider.does(|_, before| match before % 3 {
        1 => Does::Answer(
            400,
            json!({"error": {"code": 131_016, "message": "Service unavailable"}}),
        ),
        _ => Does::Take,
    });
    let words: Vec<_> = (0..8).map(|n| format!("{n}")).collect();
    let mut last = Value::Null;
    for word in &words {
        last = sending.say(&conversation, word).await;
    }
    eventually("all are sent", async || {
        // The clock of the test stands still, and waits end by it. So do leases.
        if sending.app.count("outbox WHERE state = 'attempting'").await == 0 {
            sending.app.context.clock.advance(1);
        }
        sending.get(&last).await["status"] == "sent"
    })
    .await;
    assert_eq!(sending.provider.texts(), words);
    sending.app.verify().await;
}

async fn what_is_refused_says_why_and_holds_nothing_back(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    sending.provider.does(|_, before| match before {
        0 => Does::Answer(
            400,
            json!({"error": {"code": 131_026, "message": "Message undeliverable"}}),
        ),
        _ => Does::Take,
    });
    let first = sending.say(&conversation, "One").await;
    let second = sending.say(&conversation, "Two").await;
    let failed = sending.reaches(&first, "failed").await;
    let error = json!({"code": "recipient_unreachable", "message": "Message undeliverable", "provider_code": "131026"});
    assert_eq!(failed["error"], error);
    sending.reaches(&second, "sent").await;
    sending.act(&second, "retry").await.assert_conflict(
        "not_now",
        "Only what failed or is unknown can be tried again",
    );
    let again = sending.act(&first, "retry").await;
    again.assert_status(200);
    assert_eq!(again.data()["error"], Value::Null);
    sending.reaches(&first, "sent").await;
    assert_eq!(sending.provider.texts(), ["Two", "One"]);
    // It failed again, as the provider says later.
    let mut update = status("wamid.out2", "failed", None);
    update["entry"][0]["changes"][0]["value"]["statuses"][0]["errors"] =
        json!([{"code": 131_047, "title": "Re-engagement message"}]);
    sending.app.deliver(&update).await.assert_status(200);
    let failed = sending.get(&first).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"]["code"], "outside_window");
    sending.app.verify().await;
}

async fn what_was_not_sent_is_tried_again(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let busy = json!({"error": {"code": 130_429, "message": "Rate limit hit"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(429, busy.clone()));
    let message = sending.say(&conversation, "One").await;
    sending.comes_to_rest().await;
    assert_eq!(sending.provider.asked(), 1);
    assert_eq!(sending.get(&message).await["status"], "queued");
    sending.app.context.clock.advance(25 * 3600);
    let failed = sending.reaches(&message, "failed").await;
    assert_eq!(failed["error"]["code"], "expired");
    assert_eq!(sending.provider.texts(), [""; 0]);
    sending.app.verify().await;
}

async fn without_a_connection_nothing_is_in_doubt(store: Store) {
    let app = TestApp::asking(store, provider::nowhere()).await;
    let mut body = whatsapp_body("1001");
    body["channel"]["access_token"] = "EAAG".into();
    app.inbox(body).await;
    app.deliver(&whatsapp::hello("wamid.1"))
        .await
        .assert_status(200);
    let key = app.key(&[Scope::Read, Scope::Send]).await;
    let listed = app.get("/conversations").key(&key).send().await.data();
    let body =
        json!({"conversation_id": listed[0]["id"], "type": "text", "content": {"text": "x"}});
    app.post("/messages")
        .key(&key)
        .json(&body)
        .send()
        .await
        .assert_status(201);
    for attempts in 1..4 {
        let from =
            format!("outbox WHERE state = 'queued' AND attempts = {attempts} AND last_error <> ''");
        eventually("it was tried", async || app.count(&from).await == 1).await;
        app.context.clock.advance(60);
    }
    app.verify().await;
}

async fn what_may_have_been_sent_is_unknown_and_not_repeated(store: Store) {
    let sending = Sending::patient(store, Duration::from_millis(300)).await;
    let conversation = sending.greeted().await;
    let ways = [
        Does::TakeAndCut,
        Does::TakeAndBreak,
        Does::Cut,
        Does::Nothing,
        Does::Answer(502, json!("Bad gateway")),
    ];
    let count = ways.len();
    sending
        .provider
        .does(move |_, before| ways.get(before).cloned().unwrap_or(Does::Take));
    let mut messages = Vec::new();
    for n in 0..count {
        messages.push(sending.say(&conversation, &format!("{n}")).await);
    }
    for message in &messages {
        sending.reaches(message, "unknown").await;
    }
    // Nothing is held back by them.
    let last = sending.say(&conversation, "last").await;
    sending.reaches(&last, "sent").await;
    assert_eq!(sending.provider.texts(), ["0", "1", "last"]);
    assert_eq!(sending.provider.asked(), count + 1);
    sending.app.verify().await;
    // A person knows.
    let path = format!("/messages/{}/settle", text(&messages[0]["id"]));
    let settle = |status: &str| {
        sending
            .app
            .post(&path)
            .key(&sending.key)
            .json(&json!({"status": status}))
    };
    settle("read")
        .send()
        .await
        .assert_wrong_fields(&[("status", "must be sent or failed")]);
    assert_eq!(settle("sent").send().await.data()["status"], "sent");
    settle("failed")
        .send()
        .await
        .assert_conflict("not_now", "Only what is unknown can be settled");
    // The provider knows better.
    let path = format!("/messages/{}/settle", text(&messages[1]["id"]));
    let failed = sending
        .app
        .post(&path)
        .key(&sending.key)
        .json(&json!({"status": "failed"}));
    assert_eq!(failed.send().await.data()["status"], "failed");
    let ours = format!("{}:1", text(&messages[1]["id"]));
    let update = status("wamid.out2", "sent", Some(&ours));
    sending.app.deliver(&update).await.assert_status(200);
    assert_eq!(sending.get(&messages[1]).await["status"], "sent");
    sending.act(&messages[2], "retry").await.assert_status(200);
    sending.reaches(&messages[2], "sent").await;
    assert_eq!(sending.provider.texts(), ["0", "1", "last", "2"]);
    sending.app.verify().await;
}

async fn what_got_there_after_all_is_not_sent_again(store: Store) {
    let sending = Sending::patient(store, Duration::from_millis(300)).await;
    let conversation = sending.greeted().await;
    let later = json!({"error": {"code": 131_016, "message": "Service unavailable"}});
    sending.provider.does(move |_, before| match before {
        0 => Does::TakeAndCut,
        _ => Does::Answer(400, later.clone()),
    });
    let first = sending.say(&conversation, "One").await;
    sending.reaches(&first, "unknown").await;
    sending.act(&first, "retry").await.assert_status(200);
    let second = sending.say(&conversation, "Two").await;
    // It is at rest before that, too: it was tried once.
    eventually("it is tried again", async || sending.provider.asked() == 2).await;
    sending.comes_to_rest().await;
    let ours = format!("{}:1", text(&first["id"]));
    let update = status("wamid.out1", "delivered", Some(&ours));
    sending.app.deliver(&update).await.assert_status(200);
    assert_eq!(sending.get(&first).await["status"], "delivered");
    sending.provider.does(|_, _| Does::Take);
    sending.app.context.clock.advance(60);
    sending.reaches(&second, "sent").await;
    assert_eq!(sending.provider.texts(), ["One", "Two"]);
    assert_eq!(sending.app.count("outbox").await, 0);
    sending.app.verify().await;
}

async fn a_status_that_comes_before_the_answer_finds_its_message(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    sending
        .provider
        .does(|_, _| Does::TakeLate(Duration::from_millis(700)));
    let message = sending.say(&conversation, "One").await;
    eventually("the provider has it", async || {
        sending.provider.took().len() == 1
    })
    .await;
    let ours = format!("{}:1", text(&message["id"]));
    let update = status("wamid.out1", "delivered", Some(&ours));
    sending.app.deliver(&update).await.assert_status(200);
    assert_eq!(sending.get(&message).await["status"], "delivered");
    // The same without our id, as of something that was sent before this version.
    let update = status("wamid.out1", "read", None);
    sending.app.deliver(&update).await.assert_status(200);
    eventually("the outbox is empty", async || {
        sending.app.count("outbox").await == 0
    })
    .await;
    let shown = sending.get(&message).await;
    assert_eq!(
        (&shown["status"], &shown["provider_id"]),
        (&json!("read"), &json!("wamid.out1"))
    );
    assert_eq!(sending.provider.asked(), 1);
    sending.app.verify().await;
}

async fn an_echo_of_what_was_sent_is_no_second_message(store: Store) {
    let sending = Sending::patient(store, Duration::from_millis(500)).await;
    let conversation = sending.greeted().await;
    let echo = async |id: &str, words: &str| {
        let mut update = whatsapp::value(
            "1001",
            "message_echoes",
            json!([
                {"from": "62812345678", "to": "628111", "id": id, "timestamp": "1736928003", "type": "text", "text": {"body": words}}
            ]),
        );
        update["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
        sending.app.deliver(&update).await.assert_status(200);
    };
    // After the answer.
    let first = sending.say(&conversation, "One").await;
    sending.reaches(&first, "sent").await;
    echo("wamid.out1", "One").await;
    // While there is none: the same words settle it, others are a message of their own.
    sending.provider.does(|_, _| Does::TakeAndCut);
    let second = sending.say(&conversation, "Two").await;
    sending.reaches(&second, "unknown").await;
    echo("wamid.out2", "Two").await;
    echo("wamid.phone", "From the phone").await;
    assert_eq!(sending.app.count("echoes").await, 2);
    assert_eq!(sending.app.shown(&sending.inbox).await["messages_count"], 3);
    sending.app.context.clock.advance(61);
    let settled = sending.reaches(&second, "sent").await;
    assert_eq!(settled["provider_id"], "wamid.out2");
    eventually("the other one is a message", async || {
        sending.app.shown(&sending.inbox).await["messages_count"] == 4
    })
    .await;
    echo("wamid.out2", "Two").await;
    echo("wamid.phone", "From the phone").await;
    assert_eq!(sending.app.shown(&sending.inbox).await["messages_count"], 4);
    sending.app.verify().await;
}
