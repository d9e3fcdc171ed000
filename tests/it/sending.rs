//! `POST /messages`: what is accepted, is sent once on each channel; and what is shown of it. What comes of attempts is in
//! `sending_outcomes`, and what people do meanwhile in `sending_requests`.

use crate::support::{
    Answer, Store, TestApp, counting::Counting, eventually, on_both_stores, program::text,
    whatsapp, whatsapp_body,
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};
use std::time::Duration;

on_both_stores![
    an_answer_on_telegram_is_sent_and_shown,
    an_answer_on_whatsapp_is_sent_and_its_statuses_find_it,
    an_answer_on_instagram_is_sent_and_its_echo_known,
    an_answer_on_the_website_is_sent_at_once,
    a_first_message_to_a_number_opens_a_conversation,
    every_wrong_field_is_reported,
    only_a_key_with_the_scope_sends,
    what_cannot_be_sent_there_now_is_a_conflict,
];

/// A server with a WhatsApp inbox and a provider.
pub(crate) struct Sending {
    pub(crate) app: TestApp,
    pub(crate) provider: Counting,
    pub(crate) inbox: InboxId,
    pub(crate) key: String,
}

const LONG: Duration = Duration::from_secs(60);

impl Sending {
    pub(crate) async fn start(store: Store) -> Self {
        Self::patient(store, LONG).await
    }

    /// The provider has so long to answer.
    pub(crate) async fn patient(store: Store, patience: Duration) -> Self {
        let provider = Counting::start().await;
        let app = TestApp::asking(store, provider.settings(patience)).await;
        let mut body = whatsapp_body("1001");
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
    pub(crate) async fn greeted(&self) -> String {
        let hello = whatsapp::hello("wamid.in1");
        self.app.deliver(&hello).await.assert_status(200);
        self.first("/conversations").await
    }

    pub(crate) async fn first(&self, path: &str) -> String {
        let listed = self.app.get(path).key(&self.key).send().await.data();
        text(&listed[0]["id"])
    }

    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.app
            .post("/messages")
            .key(&self.key)
            .json(body)
            .send()
            .await
    }

    pub(crate) async fn say(&self, conversation: &str, words: &str) -> Value {
        let body =
            json!({"conversation_id": conversation, "type": "text", "content": {"text": words}});
        let answer = self.post(&body).await;
        answer.assert_status(201);
        answer.data()
    }

    pub(crate) async fn get(&self, message: &Value) -> Value {
        let path = format!("/messages/{}", text(&message["id"]));
        self.app.get(&path).key(&self.key).send().await.data()
    }

    /// Waits until a message has this status. Returns the message.
    pub(crate) async fn reaches(&self, message: &Value, status: &str) -> Value {
        let mut now = Value::Null;
        eventually(&format!("{status}: {}", message["id"]), async || {
            now = self.get(message).await;
            now["status"] == status
        })
        .await;
        // The status is read after the message, and may be newer.
        self.get(message).await
    }

    /// Waits until something was tried, and nothing is under way: then the clock may go on.
    pub(crate) async fn comes_to_rest(&self) {
        eventually("nothing is under way", async || {
            // In this order: an attempt may begin in between.
            self.app.count("outbox WHERE attempts > 0").await > 0
                && self.app.count("outbox WHERE state = 'attempting'").await == 0
        })
        .await;
    }

    pub(crate) async fn act(&self, message: &Value, action: &str) -> Answer {
        let path = format!("/messages/{}/{action}", text(&message["id"]));
        self.app.post(&path).key(&self.key).send().await
    }
}

pub(crate) fn status(id: &str, name: &str, our_id: Option<&str>) -> Value {
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
    let key = app.key(&[Scope::Read, Scope::Send]).await;
    let update = json!({"update_id": 1, "message": {"message_id": 7, "date": 1_736_928_000, "text": "Hello",
        "chat": {"id": 55, "type": "private", "first_name": "Ayu"}, "from": {"id": 55, "is_bot": false, "first_name": "Ayu"}}});
    let hook = app.post(&format!("/hooks/telegram/{inbox}"));
    let secret = app.context.vault.inbox_token(&inbox);
    let hook = hook.header("x-telegram-bot-api-secret-token", &secret);
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

async fn an_answer_on_instagram_is_sent_and_its_echo_known(store: Store) {
    let sending = Sending::start(store).await;
    let app = &sending.app;
    let body = json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": "1784",
        "channel": {"app_secret": whatsapp::APP_SECRET, "access_token": "IGAA"}});
    let inbox = app.inbox(body).await;
    let deliver = async |event: Value| {
        let update = json!({"object": "instagram", "entry": [{"id": "1784", "time": 1_736_928_000_000_i64, "messaging": [event]}]});
        let body = update.to_string();
        let call = app.post("/hooks/instagram");
        let call = call.header(
            "x-hub-signature-256",
            &whatsapp::sign(whatsapp::APP_SECRET, body.as_bytes()),
        );
        call.raw_json(body).send().await.assert_status(200);
    };
    deliver(json!({"sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_736_928_000_000_i64,
        "message": {"mid": "mid.in1", "text": "Hello"}}))
    .await;
    let conversation = sending
        .first(&format!("/conversations?inbox_id={inbox}"))
        .await;
    let place = json!({"conversation_id": conversation, "type": "location", "content": {"latitude": 1, "longitude": 2}});
    sending
        .post(&place)
        .await
        .assert_wrong_fields(&[("type", "Instagram takes no location")]);
    let message = sending.say(&conversation, "Yes").await;
    let sent = sending.reaches(&message, "sent").await;
    assert_eq!(sent["provider_id"], "mid.out1");
    assert_eq!(sending.provider.took()[0].body["recipient"]["id"], "900");
    deliver(json!({"sender": {"id": "1784"}, "recipient": {"id": "900"}, "timestamp": 1_736_928_001_000_i64,
        "message": {"mid": "mid.out1", "text": "Yes", "is_echo": true}}))
    .await;
    deliver(json!({"sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_736_928_002_000_i64,
        "read": {"mid": "mid.out1"}}))
    .await;
    assert_eq!(sending.get(&message).await["status"], "read");
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);
    app.verify().await;
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
        ("inbox_id", "is required with to"),
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
    let mut body = body;
    body["conversation_id"] = sending.first("/conversations").await.into();
    let inbox = sending.first("/inboxes?limit=1&offset=1").await;
    sending.post(&body).await.assert_conflict(
        "credential_missing",
        &format!("Inbox {inbox} has no access_token to send with. Set the credential with PATCH, as a field of channel"),
    );
}
