//! What providers send, on the three channels that have one, in one line each.

use super::{
    Store, TestApp,
    whatsapp::{APP_SECRET, sign, update},
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

/// An inbox of each of these channels.
pub(crate) struct Inboxes {
    pub(crate) app: TestApp,
    key: String,
    pub(crate) whatsapp: InboxId,
    pub(crate) instagram: InboxId,
    pub(crate) telegram: InboxId,
}

impl Inboxes {
    pub(crate) async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let instagram = json!({"name": "DM", "type": "instagram", "instagram_account_id": "1784",
            "channel": {"app_secret": APP_SECRET}});
        let telegram =
            json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAH"}});
        Inboxes {
            whatsapp: app.whatsapp("1001").await,
            instagram: app.inbox(instagram).await,
            telegram: app.inbox(telegram).await,
            key: app.key(&[Scope::Read]).await,
            app,
        }
    }

    pub(crate) async fn whatsapp(&self, message: &Value) {
        let payload = update("1001", std::slice::from_ref(message));
        self.app.deliver(&payload).await.assert_status(200);
    }

    /// An event at these milliseconds.
    pub(crate) async fn instagram(&self, at: i64, event: Value) {
        let mut event = event;
        event["sender"] = json!({"id": "900"});
        event["recipient"] = json!({"id": "1784"});
        event["timestamp"] = at.into();
        let body = json!({"object": "instagram", "entry": [{"id": "1784", "messaging": [event]}]});
        let body = body.to_string();
        let signature = sign(APP_SECRET, body.as_bytes());
        let call = self.app.post("/hooks/instagram").raw_json(body);
        let call = call.header("x-hub-signature-256", &signature);
        call.send().await.assert_status(200);
    }

    pub(crate) async fn telegram(&self, number: i64, kind: &str, rest: Value) {
        let mut body = json!({"message_id": 7, "date": 1_736_928_000,
            "chat": {"id": 900, "type": "private", "first_name": "Ana"},
            "from": {"id": 900, "is_bot": false, "first_name": "Ana"}});
        let rest = rest.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(rest);
        let token = self.app.context.vault.inbox_token(&self.telegram);
        let call = self.app.post(&format!("/hooks/telegram/{}", self.telegram));
        let call = call.header("x-telegram-bot-api-secret-token", &token);
        let call = call.json(&json!({"update_id": number, kind: body}));
        call.send().await.assert_status(200);
    }

    /// The messages of an inbox, oldest first.
    pub(crate) async fn messages(&self, inbox: &InboxId) -> Vec<Value> {
        let path = format!("/messages?inbox_id={inbox}");
        let answer = self.app.get(&path).key(&self.key).send().await;
        answer.data().as_array().expect("a list").clone()
    }

    /// The only message of an inbox.
    pub(crate) async fn only(&self, inbox: &InboxId) -> Value {
        let mut messages = self.messages(inbox).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// The reactions that stand on it.
    pub(crate) async fn reactions(&self, inbox: &InboxId) -> Vec<String> {
        let message = self.only(inbox).await;
        let reactions = message["reactions"].as_array().cloned().unwrap_or_default();
        let emoji = reactions.iter().map(|one| one["emoji"].as_str());
        emoji.map(|emoji| emoji.expect("text").to_owned()).collect()
    }
}
