//! Updates as Meta sends and signs them.

use super::{Answer, TestApp};
use serde_json::{Value, json};

/// The app secret of every WhatsApp inbox that [`TestApp::whatsapp`] makes.
pub(crate) const APP_SECRET: &str = "an-app-secret";

/// A text message of a customer.
pub(crate) fn text(from: &str, id: &str, body: &str) -> Value {
    json!({"from": from, "id": id, "timestamp": "1736928000", "type": "text", "text": {"body": body}})
}

/// An update of one batch to one number.
pub(crate) fn update(phone_number_id: &str, messages: &[Value]) -> Value {
    updates(&[(phone_number_id, messages)])
}

/// An update with an entry for each of these.
pub(crate) fn updates(parts: &[(&str, &[Value])]) -> Value {
    let entries: Vec<_> = parts
        .iter()
        .map(|(phone_number_id, messages)| {
            let mut people: Vec<&str> = messages.iter().filter_map(|m| m["from"].as_str()).collect();
            people.sort_unstable();
            people.dedup();
            let contacts: Vec<_> = people
                .iter()
                .map(|from| json!({"wa_id": from, "profile": {"name": format!("Customer {from}")}}))
                .collect();
            json!({"id": "102290129340398", "changes": [{"field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "62812345678", "phone_number_id": phone_number_id},
                "contacts": contacts,
                "messages": messages,
            }}]})
        })
        .collect();
    json!({"object": "whatsapp_business_account", "entry": entries})
}

/// Some other field of an update's value than `messages`.
pub(crate) fn value(phone_number_id: &str, name: &str, content: Value) -> Value {
    let mut update = update(phone_number_id, &[]);
    let value = &mut update["entry"][0]["changes"][0]["value"];
    value[name] = content;
    update
}

/// An update of one greeting to the number 1001.
pub(crate) fn hello(id: &str) -> Value {
    update("1001", &[text("628111", id, "Hello")])
}

/// The counts of all inboxes, in order.
pub(crate) async fn counted(app: &TestApp) -> Vec<i64> {
    let listing = app.listing().await;
    let counts = listing.as_array().expect("a list").iter();
    counts
        .map(|inbox| inbox["messages_count"].as_i64().expect("a count"))
        .collect()
}

/// The signature of a body.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    channels::signature::sign_meta(secret.as_bytes(), body)
}

impl TestApp {
    /// Delivers as Meta does, signed with the usual secret.
    pub(crate) async fn deliver(&self, payload: &Value) -> Answer {
        self.deliver_bytes(payload.to_string().as_bytes(), APP_SECRET)
            .await
    }

    /// Delivers these bytes, signed with this secret.
    pub(crate) async fn deliver_bytes(&self, body: &[u8], secret: &str) -> Answer {
        self.post("/hooks/whatsapp")
            .header("x-hub-signature-256", &sign(secret, body))
            .raw_json(body)
            .send()
            .await
    }
}
