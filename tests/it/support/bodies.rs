//! Bodies for `POST /inboxes`, and a way to send them.

use super::{Answer, Store, TestApp, whatsapp::APP_SECRET};
use inboxd::domain::Scope;
use serde_json::{Value, json};

/// An app with a writing key, and ways to create.
pub(crate) struct Creator {
    pub(crate) app: TestApp,
    pub(crate) key: String,
}

impl Creator {
    pub(crate) async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let key = app.key(&[Scope::Write]).await;
        Creator { app, key }
    }

    pub(crate) async fn create(&self, body: &Value) -> Answer {
        self.app
            .post("/inboxes")
            .key(&self.key)
            .json(body)
            .send()
            .await
    }

    /// Creates what must be refused for these fields, and leaves no trace.
    pub(crate) async fn refuse(&self, body: &Value, fields: &[(&str, &str)]) {
        let before = self.app.listing().await;
        let answer = self.create(body).await;
        answer.assert_wrong_fields(fields);
        assert_eq!(self.app.listing().await, before);
        assert_eq!(
            self.app.count("channel_addresses").await,
            before.as_array().map_or(0, Vec::len) as i64
        );
    }
}

/// The phone number of the inbox with this `phone_number_id`: another for each, and a well-known one for the usual ids.
pub(crate) fn phone_number(phone_number_id: &str) -> String {
    let number = phone_number_id.bytes().fold(7_u64, |sum, byte| {
        (sum * 257 + u64::from(byte)) % 999_999_999_989
    });
    match phone_number_id {
        "1001" | "42" => "+62812345678".to_owned(),
        _ => format!("+49{number:012}"),
    }
}

/// The body that makes a WhatsApp inbox with this `phone_number_id`.
pub(crate) fn whatsapp_body(phone_number_id: &str) -> Value {
    json!({
        "name": "Customer Support",
        "type": "whatsapp",
        "phone_number": phone_number(phone_number_id),
        "channel": {"phone_number_id": phone_number_id, "app_secret": APP_SECRET},
    })
}

/// `body` with `name` set to `value`; a dot leads into `channel`.
pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    match name.split_once('.') {
        Some((outer, inner)) => body[outer][inner] = value,
        None => body[name] = value,
    }
    body
}

/// `body` without `name`.
pub(crate) fn without(mut body: Value, name: &str) -> Value {
    let (object, name) = match name.split_once('.') {
        Some((outer, inner)) => (&mut body[outer], inner),
        None => (&mut body, name),
    };
    object.as_object_mut().expect("an object").remove(name);
    body
}

pub(crate) fn instagram() -> Value {
    json!({"name": "DM", "type": "instagram", "instagram_account_id": "ig_789", "channel": {"app_secret": "s"}})
}

pub(crate) fn telegram() -> Value {
    json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAHdqTcvCH1vGWJxfSeof_SAs0K5PAL-Dsaw"}})
}

pub(crate) fn livechat() -> Value {
    json!({"name": "Website", "type": "livechat"})
}

pub(crate) fn livechat_with_channel() -> Value {
    with(livechat(), "channel", json!({}))
}
