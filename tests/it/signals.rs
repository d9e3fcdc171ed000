//! What a contact is shown beside messages: that somebody types, and that its messages were read. What the provider gets, and
//! what it does not.

use crate::{
    sending::Sending,
    support::{Answer, Store, counting::Does, eventually, on_both_stores, program::text, whatsapp},
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    that_somebody_types_is_shown_on_each_channel,
    typing_is_told_once_in_a_moment,
    typing_that_cannot_be_shown_is_said,
    an_answer_marks_what_was_answered_as_read,
    what_came_after_the_answer_is_not_marked,
    an_inbox_says_when_it_marks,
    a_mark_that_fails_changes_nothing,
];

/// A server with one conversation on each channel, which begins with a greeting.
struct Channels {
    sending: Sending,
    whatsapp: String,
    instagram: String,
    telegram: String,
    /// Of a business account, through the bot.
    business: String,
}

const BOT: &str = "/bot110201543:AAH";

impl Channels {
    async fn start(store: Store) -> Self {
        let sending = Sending::start(store).await;
        let app = &sending.app;
        let whatsapp = sending.greeted().await;
        let body = json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": "1784",
            "channel": {"app_secret": whatsapp::APP_SECRET, "access_token": "IGAA"}});
        let instagram = app.inbox(body).await;
        let event = json!({"sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_736_928_000_000_i64,
            "message": {"mid": "mid.in1", "text": "Hello"}});
        let update = json!({"object": "instagram", "entry": [{"id": "1784", "time": 1_736_928_000_000_i64, "messaging": [event]}]});
        let update = update.to_string();
        let signature = whatsapp::sign(whatsapp::APP_SECRET, update.as_bytes());
        let call = app.post("/hooks/instagram").raw_json(update);
        let call = call.header("x-hub-signature-256", &signature);
        call.send().await.assert_status(200);
        let body =
            json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAH"}});
        let telegram = app.inbox(body).await;
        let message = |chat: i64| {
            json!({"message_id": 7, "date": 1_736_928_000, "text": "Hello", "chat": {"id": chat, "type": "private", "first_name": "Ayu"},
                "from": {"id": chat, "is_bot": false, "first_name": "Ayu"}})
        };
        let mut of_business = message(77);
        of_business["business_connection_id"] = "bc1".into();
        for update in [
            json!({"update_id": 1, "message": message(55)}),
            json!({"update_id": 2, "business_message": of_business}),
        ] {
            let hook = app.post(&format!("/hooks/telegram/{telegram}"));
            let secret = app.context.vault.inbox_token(&telegram);
            let hook = hook.header("x-telegram-bot-api-secret-token", &secret);
            hook.json(&update).send().await.assert_status(200);
        }
        let of = async |inbox: &str, nth: usize| {
            let path = format!("/conversations?inbox_id={inbox}");
            let listed = app.get(&path).key(&sending.key).send().await.data();
            text(&listed[nth]["id"])
        };
        Channels {
            whatsapp,
            instagram: of(instagram.as_str(), 0).await,
            business: of(telegram.as_str(), 0).await,
            telegram: of(telegram.as_str(), 1).await,
            sending,
        }
    }

    async fn typing(&self, conversation: &str) -> Answer {
        typing(&self.sending, conversation).await
    }

    /// Waits until the provider was told so much.
    async fn told(&self, count: usize) -> Vec<(String, Value)> {
        told(&self.sending, count).await
    }
}

async fn typing(sending: &Sending, conversation: &str) -> Answer {
    let path = format!("/conversations/{conversation}/typing");
    sending.app.post(&path).key(&sending.key).send().await
}

async fn told(sending: &Sending, count: usize) -> Vec<(String, Value)> {
    eventually("it is told", async || {
        sending.provider.told().len() >= count
    })
    .await;
    let told = sending.provider.told();
    assert_eq!(told.len(), count, "{told:?}");
    told
}

async fn that_somebody_types_is_shown_on_each_channel(store: Store) {
    let on = Channels::start(store).await;
    for conversation in [&on.whatsapp, &on.instagram, &on.telegram, &on.business] {
        on.typing(conversation).await.assert_status(204);
    }
    let told = on.told(4).await;
    let whatsapp = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in1",
        "typing_indicator": {"type": "text"}});
    assert!(told[0].0.ends_with("/1001/messages"), "{told:?}");
    assert_eq!(told[0].1, whatsapp);
    assert!(told[1].0.ends_with("/1784/messages"), "{told:?}");
    let instagram = json!({"recipient": {"id": "900"}, "sender_action": "typing_on"});
    assert_eq!(told[1].1, instagram);
    let action = format!("{BOT}/sendChatAction");
    let telegram = json!({"chat_id": 55, "action": "typing"});
    assert_eq!(told[2], (action.clone(), telegram));
    let business = json!({"business_connection_id": "bc1", "chat_id": 77, "action": "typing"});
    assert_eq!(told[3], (action, business));
    assert_eq!(on.sending.provider.asked(), 0, "no message was sent");
}

async fn typing_is_told_once_in_a_moment(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let answers = (0..20).map(|_| typing(&sending, &conversation));
    for answer in futures_util::future::join_all(answers).await {
        answer.assert_status(204);
    }
    told(&sending, 1).await;
}

async fn typing_that_cannot_be_shown_is_said(store: Store) {
    let on = Channels::start(store).await;
    let app = &on.sending.app;
    on.typing("conv_x").await.assert_status(404);
    let refused = json!({"error": {"code": 131_009, "message": "Parameter value is not valid"}});
    on.sending.provider.says(400, refused);
    let answer = on.typing(&on.whatsapp).await;
    answer.assert_status(409);
    assert_eq!(answer.json()["error"]["reason"], "provider_refused");
    on.sending.provider.says(502, json!({}));
    on.typing(&on.instagram).await.assert_status(503);
    // Nobody has answered this one yet.
    let body = json!({"inbox_id": on.sending.inbox.as_str(), "to": "+628999999999", "type": "text", "content": {"text": "Hi"}});
    let first = on.sending.post(&body).await.data();
    let answer = on.typing(&text(&first["conversation_id"])).await;
    answer.assert_conflict("not_now", "The contact has not written here yet");
    let chat = app.livechat("Website").await;
    let session = app.post(&format!("/livechat/{chat}/sessions"));
    let token = text(&session.json(&json!({})).send().await.data()["token"]);
    let call = app.post(&format!("/livechat/{chat}/messages")).key(&token);
    let said = json!({"client_id": "1", "text": "Hello"});
    call.json(&said).send().await.assert_status(201);
    let path = format!("/conversations?inbox_id={chat}");
    let answer = on.typing(&on.sending.first(&path).await).await;
    answer.assert_conflict("not_now", "A live chat cannot show yet that somebody types");
    let reader = app.key(&[Scope::Read, Scope::Write]).await;
    let path = format!("/conversations/{}/typing", on.telegram);
    app.post(&path).key(&reader).send().await.assert_status(403);
    assert_eq!(on.sending.provider.told().len(), 2);
}

async fn an_answer_marks_what_was_answered_as_read(store: Store) {
    let on = Channels::start(store).await;
    for conversation in [&on.whatsapp, &on.instagram, &on.telegram, &on.business] {
        let before = on.sending.provider.told().len();
        for words in ["One", "Two"] {
            let message = on.sending.say(conversation, words).await;
            on.sending.reaches(&message, "sent").await;
            // Each chat of Telegram's takes one a second.
            on.sending.app.context.clock.advance(2);
        }
        if *conversation != on.telegram {
            on.told(before + 1).await;
        }
    }
    let told = on.told(3).await;
    let whatsapp =
        json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in1"});
    assert_eq!(told[0].1, whatsapp);
    let instagram = json!({"recipient": {"id": "900"}, "sender_action": "mark_seen"});
    assert_eq!(told[1].1, instagram);
    let business = json!({"business_connection_id": "bc1", "chat_id": 77, "message_id": 7});
    assert_eq!(told[2], (format!("{BOT}/readBusinessMessage"), business));
    assert_eq!(on.sending.provider.took().len(), 8);
    on.sending.app.verify().await;
}

async fn what_came_after_the_answer_is_not_marked(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let limited = json!({"error": {"code": 130_429, "message": "Slow down"}});
    let busy = Does::Answer(429, limited);
    sending.provider.does(move |_, _| busy.clone());
    let waits = sending.say(&conversation, "Yes").await;
    sending.comes_to_rest().await;
    let more = whatsapp::update("1001", &[whatsapp::text("628111", "wamid.in2", "And?")]);
    sending.app.deliver(&more).await.assert_status(200);
    sending.provider.does(|_, _| Does::Take);
    sending.app.context.clock.advance(120);
    sending.reaches(&waits, "sent").await;
    let next = sending.say(&conversation, "This too").await;
    sending.reaches(&next, "sent").await;
    // The first answer told nothing: nobody may have seen what came in between.
    assert_eq!(told(&sending, 1).await[0].1["message_id"], "wamid.in2");
}

async fn an_inbox_says_when_it_marks(store: Store) {
    let on = Channels::start(store).await;
    let (sending, app) = (&on.sending, &on.sending.app);
    let writer = app.key(&[Scope::Read, Scope::Write]).await;
    let path = format!("/inboxes/{}", sending.inbox);
    let set = async |when: &str| {
        let call = app.patch(&path).key(&writer);
        call.json(&json!({"read_receipts": when})).send().await
    };
    let rule = "must be one of on_answer, on_read, never";
    set("sometimes")
        .await
        .assert_wrong_fields(&[("read_receipts", rule)]);
    let newest = async |conversation: &str| {
        let path = format!("/messages?conversation_id={conversation}&limit=1");
        sending.first(&path).await
    };
    let read = async |conversation: &str, message: &str| {
        let path = format!("/conversations/{conversation}/read");
        let call = app.post(&path).key(&sending.key);
        let body = json!({"message_id": message});
        call.json(&body).send().await.assert_status(200);
    };
    let says = async |id: &str| {
        let more = whatsapp::update("1001", &[whatsapp::text("628111", id, "And?")]);
        app.deliver(&more).await.assert_status(200);
    };
    let answer = async || {
        let message = sending.say(&on.whatsapp, "Yes").await;
        sending.reaches(&message, "sent").await;
    };
    let hello = newest(&on.whatsapp).await;
    says("wamid.in2").await;
    set("never").await.assert_status(200);
    answer().await;
    read(&on.whatsapp, &hello).await;
    // What is asked for later, in another inbox, is told: what is not to be told would have been told by then.
    read(&on.instagram, &newest(&on.instagram).await).await;
    assert_eq!(on.told(1).await[0].1["sender_action"], "mark_seen");

    set("on_read").await.assert_status(200);
    let setup = app.get(&format!("{path}/setup")).key(&writer);
    assert_eq!(setup.send().await.data()["read_receipts"], "on_read");
    answer().await;
    read(&on.whatsapp, &hello).await;
    let told = on.told(2).await;
    assert_eq!(
        told[1].1["message_id"], "wamid.in1",
        "up to there, and no further"
    );

    set("on_answer").await.assert_status(200);
    // Said again, it is told once.
    read(&on.whatsapp, &hello).await;
    says("wamid.in3").await;
    answer().await;
    assert_eq!(on.told(3).await[2].1["message_id"], "wamid.in3");
    let body = json!({"name": "Website", "type": "livechat", "read_receipts": "never"});
    let made = app.post("/inboxes").key(&writer).json(&body).send().await;
    let setup = format!("/inboxes/{}/setup", text(&made.data()["id"]));
    let setup = app.get(&setup).key(&writer).send().await.data();
    assert_eq!(setup["read_receipts"], "never");
}

async fn a_mark_that_fails_changes_nothing(store: Store) {
    let sending = Sending::start(store).await;
    let expired = json!({"error": {"code": 190, "message": "The token has expired"}});
    sending.provider.says(401, expired);
    let conversation = sending.greeted().await;
    for (number, words) in ["One", "Two"].into_iter().enumerate() {
        let message = sending.say(&conversation, words).await;
        sending.reaches(&message, "sent").await;
        told(&sending, number + 1).await;
    }
    let path = format!("/inboxes/{}/setup", sending.inbox);
    let writer = sending.app.key(&[Scope::Write]).await;
    let setup = sending.app.get(&path).key(&writer).send().await.data();
    assert_eq!(setup.get("sending"), None, "messages go on");
    assert_eq!(sending.provider.texts(), ["One", "Two"]);
}
