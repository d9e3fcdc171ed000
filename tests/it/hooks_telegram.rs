//! `POST /hooks/telegram/{inbox_id}`: one bot, one URL, one secret token.

use crate::support::{Answer, Store, TestApp, on_both_stores};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    a_first_update_with_the_secret_proves_the_inbox,
    the_token_must_be_that_inboxs,
    an_unknown_inbox_is_a_404,
    the_same_update_again_changes_nothing,
    message_ids_repeat_between_chats,
    what_is_no_message_is_acknowledged,
    what_cannot_be_understood_is_acknowledged_and_set_aside,
    a_group_is_one_conversation,
    a_contact_that_blocks_the_bot_is_marked,
    an_inbox_keeps_its_bot,
];

struct Bot {
    app: TestApp,
    inbox: InboxId,
    token: String,
}

impl Bot {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let inbox = bot(&app, "110201543:AAH").await;
        let token = secret(&app, &inbox).await;
        Bot { app, inbox, token }
    }

    async fn deliver(&self, update: &Value) -> Answer {
        self.deliver_with(&self.token, update).await
    }

    async fn deliver_with(&self, token: &str, update: &Value) -> Answer {
        self.app
            .post(&format!("/hooks/telegram/{}", self.inbox))
            .header("x-telegram-bot-api-secret-token", token)
            .json(update)
            .send()
            .await
    }

    async fn shown(&self) -> Value {
        self.app.shown(&self.inbox).await
    }

    async fn conversations(&self) -> Vec<Value> {
        let key = self.app.key(&[Scope::Read]).await;
        let answer = self.app.get("/conversations").key(&key).send().await;
        answer.data().as_array().expect("a list").clone()
    }
}

async fn bot(app: &TestApp, token: &str) -> InboxId {
    let body = json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": token}});
    app.inbox(body).await
}

async fn secret(app: &TestApp, inbox: &InboxId) -> String {
    let key = app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{inbox}/setup");
    let setup = app.get(&path).key(&key).send().await.data();
    setup["secret_token"].as_str().expect("a token").to_owned()
}

fn message(chat: i64, id: i64, text: &str) -> Value {
    json!({"update_id": id, "message": {"message_id": id, "date": 1_736_928_000,
        "chat": {"id": chat, "type": "private", "first_name": "Ana"},
        "from": {"id": chat, "is_bot": false, "first_name": "Ana", "username": "ana"}, "text": text}})
}

async fn a_first_update_with_the_secret_proves_the_inbox(store: Store) {
    let bot = Bot::start(store).await;
    assert_eq!(bot.shown().await["status"], "pending");
    let answer = bot.deliver(&message(77, 1, "hola")).await;
    answer.assert_status(200);
    assert!(answer.body.is_empty(), "{answer:?}");
    let shown = bot.shown().await;
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["messages_count"], 1);
}

async fn the_token_must_be_that_inboxs(store: Store) {
    let bot = Bot::start(store).await;
    let other = super::hooks_telegram::bot(&bot.app, "220201543:AAH").await;
    let others = secret(&bot.app, &other).await;
    let upper = bot.token.to_uppercase();
    for token in ["", "x", others.as_str(), upper.as_str()] {
        bot.deliver_with(token, &message(77, 1, "hola"))
            .await
            .assert_error(401, "UNAUTHORIZED", "The signature is missing or wrong");
    }
    let shown = bot.shown().await;
    assert_eq!(
        (&shown["status"], &shown["messages_count"]),
        (&json!("pending"), &json!(0))
    );
}

/// Each bot numbers the messages of a chat by itself: a second bot's would be taken for the first one's.
async fn an_inbox_keeps_its_bot(store: Store) {
    let bot = Bot::start(store).await;
    for id in [1, 3, 5] {
        bot.deliver(&message(55, id, "to the first bot"))
            .await
            .assert_status(200);
    }
    let key = bot.app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{}", bot.inbox);
    let to = async |token: &str| {
        let body = json!({"name": "New", "channel": {"bot_token": token}});
        bot.app.patch(&path).key(&key).json(&body).send().await
    };
    to("700002:AAH").await.assert_conflict(
        "address_fixed",
        "This inbox belongs to bot 110201543, and channel.bot_token is of bot 700002: create another inbox for that bot",
    );
    assert_eq!(bot.shown().await["name"], "Bot", "nothing was changed");
    to("110201543:AAHnewer").await.assert_status(200);

    // In an inbox of its own the other bot loses nothing, and mixes with nobody.
    let inbox = super::hooks_telegram::bot(&bot.app, "700002:AAH").await;
    let token = secret(&bot.app, &inbox).await;
    let bot = Bot {
        inbox,
        token,
        ..bot
    };
    for id in 1..=6 {
        bot.deliver(&message(55, id, "to the second bot"))
            .await
            .assert_status(200);
    }
    assert_eq!(bot.shown().await["messages_count"], 6);
    assert_eq!(bot.app.count("messages").await, 9);
}

async fn an_unknown_inbox_is_a_404(store: Store) {
    let bot = Bot::start(store).await;
    for id in ["inbox_none", "%00", "%ff"] {
        bot.app
            .post(&format!("/hooks/telegram/{id}"))
            .header("x-telegram-bot-api-secret-token", &bot.token)
            .json(&message(77, 1, "hola"))
            .send()
            .await
            .assert_status(404);
    }
}

async fn the_same_update_again_changes_nothing(store: Store) {
    let bot = Bot::start(store).await;
    for _ in 0..3 {
        bot.deliver(&message(77, 1, "hola"))
            .await
            .assert_status(200);
    }
    assert_eq!(bot.shown().await["messages_count"], 1);
}

async fn message_ids_repeat_between_chats(store: Store) {
    let bot = Bot::start(store).await;
    for chat in [77, 78, 9_007_199_254_740_993] {
        bot.deliver(&message(chat, 1, "hola"))
            .await
            .assert_status(200);
    }
    assert_eq!(bot.shown().await["messages_count"], 3);
    assert_eq!(bot.conversations().await.len(), 3);
}

async fn what_is_no_message_is_acknowledged(store: Store) {
    let bot = Bot::start(store).await;
    let chat = json!({"id": -1001, "type": "channel", "title": "News"});
    for update in [
        json!({"update_id": 1, "channel_post": {"message_id": 1, "date": 1, "chat": chat, "text": "news"}}),
        json!({"update_id": 2, "callback_query": {"id": "1", "from": {"id": 77, "is_bot": false, "first_name": "A"}, "data": "x"}}),
        json!({"update_id": 3, "a_kind_of_tomorrow": {"anything": true}}),
        json!({"update_id": 4}),
    ] {
        bot.deliver(&update).await.assert_status(200);
    }
    assert_eq!(bot.shown().await["messages_count"], 0);
}

async fn what_cannot_be_understood_is_acknowledged_and_set_aside(store: Store) {
    let bot = Bot::start(store).await;
    for body in [
        "",
        "[]",
        "no json",
        "{\"update_id\":1,\"message\":{\"text\":\"nobody\"}}",
    ] {
        bot.app
            .post(&format!("/hooks/telegram/{}", bot.inbox))
            .header("x-telegram-bot-api-secret-token", &bot.token)
            .raw_json(body)
            .send()
            .await
            .assert_status(200);
    }
    assert_eq!(bot.shown().await["messages_count"], 0);
    assert_eq!(bot.app.count("quarantine").await, 4);
    let leaks = bot
        .app
        .count("quarantine WHERE headers LIKE '%secret-token%'")
        .await;
    assert_eq!(leaks, 0, "the secret token is not kept");
}

async fn a_group_is_one_conversation(store: Store) {
    let bot = Bot::start(store).await;
    for (id, person) in [(1, "Ana"), (2, "Budi")] {
        let update = json!({"update_id": id, "message": {"message_id": id, "date": 1_736_928_000 + id,
            "chat": {"id": -1_001_234_567_890_i64, "type": "supergroup", "title": "Club"},
            "from": {"id": id, "is_bot": false, "first_name": person}, "text": "hi"}});
        bot.deliver(&update).await.assert_status(200);
    }
    let conversations = bot.conversations().await;
    assert_eq!(conversations.len(), 1, "{conversations:?}");
    assert_eq!(conversations[0]["contact"]["is_group"], true);
    assert_eq!(conversations[0]["contact"]["name"], "Club");
    assert_eq!(conversations[0]["last_message"]["sender"]["name"], "Budi");
}

async fn a_contact_that_blocks_the_bot_is_marked(store: Store) {
    let bot = Bot::start(store).await;
    bot.deliver(&message(77, 1, "hola"))
        .await
        .assert_status(200);
    let membership = |id: i64, status: &str| {
        json!({"update_id": id, "my_chat_member": {"date": 1_736_928_001,
            "chat": {"id": 77, "type": "private", "first_name": "Ana"},
            "from": {"id": 77, "is_bot": false, "first_name": "Ana"},
            "old_chat_member": {"status": "member", "user": {"id": 1, "is_bot": true, "first_name": "Bot"}},
            "new_chat_member": {"status": status, "user": {"id": 1, "is_bot": true, "first_name": "Bot"}}}})
    };
    bot.deliver(&membership(2, "kicked"))
        .await
        .assert_status(200);
    let contact = &bot.conversations().await[0]["contact"];
    assert_eq!(contact["blocked_at"], "2025-01-15T08:00:01Z");
    bot.deliver(&membership(3, "member"))
        .await
        .assert_status(200);
    let contact = &bot.conversations().await[0]["contact"];
    assert_eq!(contact.get("blocked_at"), None);
}
