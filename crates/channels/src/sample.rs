//! Updates with a text message, as the providers would send them, to try an inbox without its provider.
//!
//! Invariant: the channel's parser reads such an update as exactly this one message.

use serde_json::{Value, json};

/// A text message without its id.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The provider's id of its writer: a number on every channel.
    pub from: u64,
    /// The writer's name.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// When it was written, in seconds since 1970.
    pub timestamp: i64,
}

/// A number of the WhatsApp Cloud API, as it is named in an update.
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    /// The business account's id.
    pub business_account_id: &'a str,
    /// The number's id.
    pub phone_number_id: &'a str,
    /// The number in E.164. The update has it without `+`, as Meta's do.
    pub phone_number: &'a str,
}

/// An update of the WhatsApp Cloud API with a message to a number.
///
/// Source: <https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples>.
pub fn whatsapp(to: Number<'_>, id: &str, message: Text<'_>) -> Value {
    let from = message.from.to_string();
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": to.business_account_id, "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": to.phone_number.trim_start_matches('+'),
                "phone_number_id": to.phone_number_id
            },
            "contacts": [{"wa_id": from, "profile": {"name": message.name}}],
            "messages": [{
                "from": from,
                "id": id,
                "timestamp": message.timestamp.to_string(),
                "type": "text",
                "text": {"body": message.text}
            }]
        }}]}]
    })
}

/// An update of Instagram with a message to an account. It does not have the writer's name.
///
/// Source: <https://developers.facebook.com/docs/messenger-platform/instagram/features/webhook>.
pub fn instagram(account: &str, id: &str, message: Text<'_>) -> Value {
    let milliseconds = message.timestamp * 1000;
    json!({
        "object": "instagram",
        "entry": [{"id": account, "time": milliseconds, "messaging": [{
            "sender": {"id": message.from.to_string()},
            "recipient": {"id": account},
            "timestamp": milliseconds,
            "message": {"mid": id, "text": message.text}
        }]}]
    })
}

/// An update of Telegram's Bot API with a private message to a bot. The update and the message have the same `id`.
///
/// Source: <https://core.telegram.org/bots/api#update>.
pub fn telegram(id: u32, message: Text<'_>) -> Value {
    json!({
        "update_id": id,
        "message": {
            "message_id": id,
            "date": message.timestamp,
            "chat": {"id": message.from, "type": "private", "first_name": message.name},
            "from": {"id": message.from, "is_bot": false, "first_name": message.name},
            "text": message.text
        }
    })
}
