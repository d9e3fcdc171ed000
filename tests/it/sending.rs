//! `POST /messages`: what is accepted, is sent once, in order; and what is shown of it.

use crate::support::{
    Answer, Store, TestApp,
    counting::{Counting, Does},
    eventually, on_both_stores,
    program::text,
    whatsapp,
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};
use std::time::Duration;

on_both_stores![
    an_answer_on_telegram_is_sent_and_shown,
    an_answer_on_whatsapp_is_sent_and_its_statuses_find_it,
    an_answer_on_the_website_is_sent_at_once,
    a_first_message_to_a_number_opens_a_conversation,
    every_wrong_field_is_reported,
    only_a_key_with_the_scope_sends,
    what_cannot_be_sent_there_now_is_a_conflict,
    messages_of_a_conversation_leave_in_order,
    what_is_refused_says_why_and_holds_nothing_back,
    what_was_not_sent_is_tried_again,
    what_may_have_been_sent_is_unknown_and_not_repeated,
    a_status_that_comes_before_the_answer_finds_its_message,
    an_echo_of_what_was_sent_is_no_second_message,
    a_dead_token_stops_the_inbox_until_there_is_a_new_one,
    what_waited_long_for_a_token_is_sent_when_a_person_says_so,
    what_waits_can_be_canceled,
    a_client_can_wait_for_the_provider,
    a_request_with_an_idempotency_key_can_be_repeated,
];

/// A server with a WhatsApp inbox and a provider.
pub(crate) struct Sending {
    pub(crate) app: TestApp,
    pub(crate) provider: Counting,
    pub(crate) inbox: InboxId,
    key: String,
}

const LONG: Duration = Duration::from_secs(60);

impl Sending {
    async fn start(store: Store) -> Self {
        Self::patient(store, LONG).await
    }

    /// The provider has so long to answer.
    async fn patient(store: Store, patience: Duration) -> Self {
        let provider = Counting::start().await;
        let app = TestApp::asking(store, provider.settings(patience)).await;
        let mut body = crate::support::whatsapp_body("1001");
        body["channel"]["access_token"] = "EAAG".into();
        let inbox = app.inbox(body).await;
        let key = app.key(&[Scope::Read, Scope::Send]).await;
        Sending {
            app,
            provider,
            inbox,
            key,
        }
    }

    /// The conversation that begins with a customer's greeting.
    async fn greeted(&self) -> String {
        let hello = whatsapp::hello("wamid.in1");
        self.app.deliver(&hello).await.assert_status(200);
        self.first("/conversations").await
    }

    async fn first(&self, path: &str) -> String {
        let listed = self.app.get(path).key(&self.key).send().await.data();
        text(&listed[0]["id"])
    }

    async fn post(&self, body: &Value) -> Answer {
        self.app
            .post("/messages")
            .key(&self.key)
            .json(body)
            .send()
            .await
    }

    async fn say(&self, conversation: &str, words: &str) -> Value {
        let body =
            json!({"conversation_id": conversation, "type": "text", "content": {"text": words}});
        let answer = self.post(&body).await;
        answer.assert_status(201);
        answer.data()
    }

    async fn get(&self, message: &Value) -> Value {
        let path = format!("/messages/{}", text(&message["id"]));
        self.app.get(&path).key(&self.key).send().await.data()
    }

    /// Waits until a message has this status. Returns the message.
    async fn reaches(&self, message: &Value, status: &str) -> Value {
        let mut now = Value::Null;
        eventually(&format!("{status}: {}", message["id"]), async || {
            now = self.get(message).await;
            now["status"] == status
        })
        .await;
        now
    }

    async fn act(&self, message: &Value, action: &str) -> Answer {
        let path = format!("/messages/{}/{action}", text(&message["id"]));
        self.app.post(&path).key(&self.key).send().await
    }
}

fn status(id: &str, name: &str, our_id: Option<&str>) -> Value {
    let mut status =
        json!({"id": id, "status": name, "timestamp": "1736928005", "recipient_id": "628111"});
    if let Some(our_id) = our_id {
        status["biz_opaque_callback_data"] = our_id.into();
    }
    whatsapp::value("1001", "statuses", json!([status]))
}

async fn an_answer_on_telegram_is_sent_and_shown(store: Store) {
    let provider = Counting::start().await;
    let app = TestApp::asking(store, provider.settings(LONG)).await;
    let body =
        json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAH"}});
    let inbox = app.inbox(body).await;
    let key = app.key(&[Scope::Read, Scope::Send, Scope::Write]).await;
    let setup = app
        .get(&format!("/inboxes/{inbox}/setup"))
        .key(&key)
        .send()
        .await
        .data();
    let update = json!({"update_id": 1, "message": {"message_id": 7, "date": 1_736_928_000, "text": "Hello",
        "chat": {"id": 55, "type": "private", "first_name": "Ayu"}, "from": {"id": 55, "is_bot": false, "first_name": "Ayu"}}});
    let hook = app.post(&format!("/hooks/telegram/{inbox}"));
    let hook = hook.header(
        "x-telegram-bot-api-secret-token",
        &text(&setup["secret_token"]),
    );
    hook.json(&update).send().await.assert_status(200);
    let listed = app
        .get(&format!("/messages?inbox_id={inbox}"))
        .key(&key)
        .send()
        .await
        .data();
    let body = json!({
        "conversation_id": listed[0]["conversation_id"],
        "type": "text",
        "content": {"text": "Yes 👍"},
        "reply_to": listed[0]["id"],
        "metadata": {"order": "17"},
    });
    let answer = app.post("/messages").key(&key).json(&body).send().await;
    answer.assert_status(201);
    let accepted = answer.data();
    assert_eq!(
        answer.header("location"),
        format!("/messages/{}", text(&accepted["id"]))
    );
    assert_eq!(accepted["direction"], "outbound");
    assert_eq!(accepted["metadata"], json!({"order": "17"}));
    assert_eq!(accepted["sent_by"]["name"], "a key");
    let path = format!("/messages/{}", text(&accepted["id"]));
    let mut shown = Value::Null;
    eventually("it is sent", async || {
        shown = app.get(&path).key(&key).send().await.data();
        shown["status"] == "sent"
    })
    .await;
    assert_eq!(shown["provider_id"], "55:1");
    assert_eq!(shown["status_times"]["queued"], "2025-01-15T08:00:00Z");
    assert_eq!(shown["quoted"]["provider_id"], "55:7");
    let took = provider.took();
    assert_eq!(took.len(), 1);
    assert_eq!(took[0].path, "/bot110201543:AAH/sendMessage");
    assert_eq!(took[0].body["chat_id"], 55);
    assert_eq!(took[0].body["reply_parameters"]["message_id"], 7);
    assert_eq!(took[0].text(), "Yes 👍");
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);
    app.verify().await;
}

async fn an_answer_on_whatsapp_is_sent_and_its_statuses_find_it(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let message = sending.say(&conversation, "Yes").await;
    let sent = sending.reaches(&message, "sent").await;
    assert_eq!(sent["provider_id"], "wamid.out1");
    let took = &sending.provider.took()[0];
    assert_eq!(took.body["to"], "+628111");
    let ours = text(&took.body["biz_opaque_callback_data"]);
    assert_eq!(ours, format!("{}:1", text(&message["id"])));
    for name in ["read", "delivered"] {
        let update = status("wamid.out1", name, Some(&ours));
        sending.app.deliver(&update).await.assert_status(200);
    }
    let read = sending.get(&message).await;
    assert_eq!(read["status"], "read");
    assert_eq!(read["status_times"]["delivered"], "2025-01-15T08:00:05Z");
    // What the customer answers, and reacts to, is this message.
    let mut reply = whatsapp::text("628111", "wamid.in2", "Thanks");
    reply["context"] = json!({"id": "wamid.out1"});
    let reaction = json!({"from": "628111", "id": "wamid.in3", "timestamp": "1736928006", "type": "reaction",
        "reaction": {"message_id": "wamid.out1", "emoji": "👍"}});
    let update = whatsapp::update("1001", &[reply, reaction]);
    sending.app.deliver(&update).await.assert_status(200);
    let path = format!("/messages?conversation_id={conversation}");
    let listed = sending.app.get(&path).key(&sending.key).send().await.data();
    let texts: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["content"]["text"])
        .collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    let thanks = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["content"]["text"] == "Thanks");
    let thanks = thanks.expect("the reply");
    assert_eq!(thanks["reply_to"], message["id"]);
    assert_eq!(thanks["quoted"]["provider_id"], "wamid.out1");
    assert_eq!(sending.get(&message).await["reactions"][0]["emoji"], "👍");
    sending.app.verify().await;
}

async fn an_answer_on_the_website_is_sent_at_once(store: Store) {
    let sending = Sending::start(store).await;
    let app = &sending.app;
    let chat = app.livechat("Website").await;
    let session = app
        .post(&format!("/livechat/{chat}/sessions"))
        .json(&json!({}))
        .send()
        .await
        .data();
    let token = text(&session["token"]);
    let messages = format!("/livechat/{chat}/messages");
    let body = json!({"client_id": "1", "text": "Hello"});
    app.post(&messages)
        .key(&token)
        .json(&body)
        .send()
        .await
        .assert_status(201);
    let conversation = sending
        .first(&format!("/conversations?inbox_id={chat}"))
        .await;
    let said = sending.say(&conversation, "How can I help?").await;
    assert_eq!(said["status"], "sent");
    let heard = app.get(&messages).key(&token).send().await.data();
    assert_eq!(heard[1]["content"]["text"], "How can I help?");
    assert_eq!(sending.provider.asked(), 0);
    app.verify().await;
}

async fn a_first_message_to_a_number_opens_a_conversation(store: Store) {
    let sending = Sending::start(store).await;
    let body = json!({"inbox_id": sending.inbox, "to": "+628999", "type": "text", "content": {"text": "Hello"}});
    let body = |to: &str| {
        let mut body = body.clone();
        body["to"] = to.into();
        body
    };
    let first = sending.post(&body("+6289990001")).await.data();
    let second = sending.post(&body("+6289990001")).await.data();
    assert_eq!(first["conversation_id"], second["conversation_id"]);
    let other = sending.post(&body("ID.13491208655302741918")).await.data();
    assert_ne!(first["conversation_id"], other["conversation_id"]);
    sending.reaches(&second, "sent").await;
    sending.reaches(&other, "sent").await;
    let took = sending.provider.took();
    let of = |id: &Value| {
        took.iter().find(|took| {
            took.body["biz_opaque_callback_data"]
                .as_str()
                .unwrap()
                .starts_with(id.as_str().unwrap())
        })
    };
    assert_eq!(of(&first["id"]).expect("sent").body["to"], "+6289990001");
    assert_eq!(
        of(&other["id"]).expect("sent").body["recipient"],
        "ID.13491208655302741918"
    );
    // Who is written to first, is the same who answers.
    let answer = whatsapp::update("1001", &[whatsapp::text("6289990001", "wamid.in9", "Hi")]);
    sending.app.deliver(&answer).await.assert_status(200);
    let path = format!("/conversations/{}", text(&first["conversation_id"]));
    let shown = sending.app.get(&path).key(&sending.key).send().await.data();
    assert_eq!(shown["messages_count"], 3);
    sending.app.verify().await;
}

async fn every_wrong_field_is_reported(store: Store) {
    let sending = Sending::start(store).await;
    let body = json!({"type": "text", "content": {"text": " "}, "metadata": {"a": 1}, "to": "me", "colour": "red"});
    sending.post(&body).await.assert_wrong_fields(&[
        ("to", "must be an E.164 phone number, as in +628111111111, or a user id of WhatsApp's, as in ID.13491208655302741918"),
        ("content.text", "must not be empty"),
        ("metadata.a", "must be a string of at most 500 characters"),
        ("colour", "is not a known field"),
    ]);
    let conversation = sending.greeted().await;
    let long = json!({"conversation_id": conversation, "type": "text", "content": {"text": "x".repeat(4097)}});
    let rule = "WhatsApp takes at most 4096 characters, and this has 4097";
    sending
        .post(&long)
        .await
        .assert_wrong_fields(&[("content.text", rule)]);
    let far = json!({"conversation_id": conversation, "type": "location", "content": {"latitude": 91, "longitude": -181}});
    sending.post(&far).await.assert_wrong_fields(&[
        ("content.latitude", "must be from -90 to 90"),
        ("content.longitude", "must be from -180 to 180"),
    ]);
    let quoting = json!({"conversation_id": conversation, "type": "text", "content": {"text": "x"}, "reply_to": "msg_1"});
    let rule = "must be the id of a message of this conversation";
    sending
        .post(&quoting)
        .await
        .assert_wrong_fields(&[("reply_to", rule)]);
    let chat = sending.app.livechat("Website").await;
    let body =
        json!({"inbox_id": chat, "to": "+628111111", "type": "text", "content": {"text": "x"}});
    let rule = "type livechat can only answer: give the conversation_id";
    sending
        .post(&body)
        .await
        .assert_wrong_fields(&[("to", rule)]);
    assert_eq!(sending.app.shown(&sending.inbox).await["messages_count"], 1);
}

async fn only_a_key_with_the_scope_sends(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let body = json!({"conversation_id": conversation, "type": "text", "content": {"text": "x"}});
    let key = sending
        .app
        .key(&[Scope::Read, Scope::Write, Scope::Admin])
        .await;
    let refused = sending
        .app
        .post("/messages")
        .key(&key)
        .json(&body)
        .send()
        .await;
    refused.assert_error(403, "FORBIDDEN", "This API key lacks the scope 'send'");
}

async fn what_cannot_be_sent_there_now_is_a_conflict(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let first = sending.say(&conversation, "One").await;
    let body = json!({"conversation_id": conversation, "type": "text", "content": {"text": "x"}});
    let mut late = body.clone();
    late["if_last_message"] = "msg_1".into();
    let last = format!(
        "The conversation's last message is {}: nothing was sent",
        text(&first["id"])
    );
    sending.post(&late).await.assert_conflict("moved", &last);
    late["if_last_message"] = first["id"].clone();
    sending.post(&late).await.assert_status(201);
    sending.app.context.clock.advance(24 * 3600);
    let shown = sending
        .app
        .get(&format!("/conversations/{conversation}"))
        .key(&sending.key);
    let window = json!({"open": false, "closes_at": "2025-01-16T08:00:00Z"});
    assert_eq!(shown.send().await.data()["window"], window);
    let closed = "The contact has not written within 24 hours: until it writes again, only a template can be sent";
    sending
        .post(&body)
        .await
        .assert_conflict("outside_window", closed);
    let key = sending.app.key(&[Scope::Write]).await;
    let off = sending
        .app
        .patch(&format!("/inboxes/{}", sending.inbox))
        .key(&key);
    off.json(&json!({"status": "inactive"}))
        .send()
        .await
        .assert_status(200);
    let off = "This inbox is switched off. Switch it on with PATCH and {\"status\":\"active\"}";
    sending
        .post(&body)
        .await
        .assert_conflict("inbox_inactive", off);
    sending.app.whatsapp("1002").await;
    let hello = whatsapp::update("1002", &[whatsapp::text("628111", "wamid.in7", "Hello")]);
    sending.app.deliver(&hello).await.assert_status(200);
    let other = sending.first("/conversations").await;
    let mut body = body;
    body["conversation_id"] = other.into();
    sending.post(&body).await.assert_conflict(
        "credential_missing",
        "This inbox has no access_token to send with. Set the credential with PATCH, as a field of channel",
    );
}

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
        // The clock of the test stands still, and waits end by it.
        sending.app.context.clock.advance(1);
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
    let key = sending.app.key(&[Scope::Write]).await;
    let busy = json!({"error": {"code": 130_429, "message": "Rate limit hit"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(429, busy.clone()));
    let message = sending.say(&conversation, "One").await;
    eventually("it was tried", async || sending.provider.asked() == 1).await;
    assert_eq!(sending.get(&message).await["status"], "queued");
    sending.app.context.clock.advance(25 * 3600);
    let failed = sending.reaches(&message, "failed").await;
    assert_eq!(failed["error"]["code"], "expired");
    assert_eq!(sending.provider.texts(), [""; 0]);
    drop(key);
    sending.app.verify().await;
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
    sending.act(&messages[2], "retry").await.assert_status(200);
    sending.reaches(&messages[2], "sent").await;
    assert_eq!(sending.provider.texts(), ["0", "1", "last", "2"]);
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
    let echo = |id: &str, words: &str| {
        let mut update = whatsapp::value(
            "1001",
            "message_echoes",
            json!([
                {"from": "62812345678", "to": "628111", "id": id, "timestamp": "1736928003", "type": "text", "text": {"body": words}}
            ]),
        );
        update["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
        update
    };
    // After the answer.
    let first = sending.say(&conversation, "One").await;
    sending.reaches(&first, "sent").await;
    sending
        .app
        .deliver(&echo("wamid.out1", "One"))
        .await
        .assert_status(200);
    // While there is none: the same words settle it, others are a message of their own.
    sending.provider.does(|_, _| Does::TakeAndCut);
    let second = sending.say(&conversation, "Two").await;
    sending.reaches(&second, "unknown").await;
    sending
        .app
        .deliver(&echo("wamid.out2", "Two"))
        .await
        .assert_status(200);
    sending
        .app
        .deliver(&echo("wamid.phone", "From the phone"))
        .await
        .assert_status(200);
    assert_eq!(sending.app.count("echoes").await, 2);
    assert_eq!(sending.app.shown(&sending.inbox).await["messages_count"], 3);
    sending.app.context.clock.advance(61);
    let settled = sending.reaches(&second, "sent").await;
    assert_eq!(settled["provider_id"], "wamid.out2");
    eventually("the other one is a message", async || {
        sending.app.shown(&sending.inbox).await["messages_count"] == 4
    })
    .await;
    sending
        .app
        .deliver(&echo("wamid.out2", "Two"))
        .await
        .assert_status(200);
    sending
        .app
        .deliver(&echo("wamid.phone", "From the phone"))
        .await
        .assert_status(200);
    assert_eq!(sending.app.shown(&sending.inbox).await["messages_count"], 4);
    sending.app.verify().await;
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
    eventually("sending is stopped", async || {
        sending
            .app
            .count("outbox WHERE attempts > 0 AND state = 'queued'")
            .await
            > 0
    })
    .await;
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
    queue(json!({}))
        .await
        .assert_wrong_fields(&[("send", "give either send or discard")]);
    let discarded = queue(json!({"discard": [older["id"]]})).await;
    assert_eq!(discarded.data(), json!({"released": 0, "discarded": 1}));
    let released = queue(json!({"send": "all"})).await;
    assert_eq!(released.data(), json!({"released": 1, "discarded": 0}));
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
    sending.app.context.clock.advance(24 * 3600 - 1);
    call("One", "order-17").send().await.assert_status(201);
    sending.app.context.clock.advance(2);
    let hello = whatsapp::update(
        "1001",
        &[{
            let mut hello = whatsapp::text("628111", "wamid.in8", "Hello again");
            hello["timestamp"] = (crate::support::START + 24 * 3600).to_string().into();
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
