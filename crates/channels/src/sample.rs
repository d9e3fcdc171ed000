//! Updates as the providers would send them, to try an inbox without its provider: a text message, or what became of a message
//! of the business.
//!
//! Invariant: the channel's parser reads such an update as exactly this one item.

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

/// What became of a message of the business.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The provider's id of the message.
    pub id: &'a str,
    /// The provider's id of its recipient: a number on every channel.
    pub to: u64,
    /// When it happened, in seconds since 1970.
    pub timestamp: i64,
}

/// An update of the WhatsApp Cloud API with a message to a number.
///
/// Source: <https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples>.
pub fn whatsapp(to: Number<'_>, id: &str, message: Text<'_>) -> Value {
    let from = message.from.to_string();
    let text = json!({
        "from": from,
        "id": id,
        "timestamp": message.timestamp.to_string(),
        "type": "text",
        "text": {"body": message.text}
    });
    let contacts = json!([{"wa_id": from, "profile": {"name": message.name}}]);
    of_number(to, json!({"contacts": contacts, "messages": [text]}))
}

/// An update of the WhatsApp Cloud API with a status of a message that a number sent: `sent`, `delivered` or `read`. `our_id`
/// is what the message was sent with as `biz_opaque_callback_data`.
///
/// Source: <https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples>.
pub fn whatsapp_status(
    of: Number<'_>,
    report: Report<'_>,
    status: &str,
    our_id: Option<&str>,
) -> Value {
    let mut status = json!({
        "id": report.id,
        "status": status,
        "timestamp": report.timestamp.to_string(),
        "recipient_id": report.to.to_string()
    });
    if let Some(our_id) = our_id {
        status["biz_opaque_callback_data"] = our_id.into();
    }
    of_number(of, json!({"statuses": [status]}))
}

/// An update for a number with these lists.
fn of_number(number: Number<'_>, mut value: Value) -> Value {
    value["messaging_product"] = "whatsapp".into();
    value["metadata"] = json!({
        "display_phone_number": number.phone_number.trim_start_matches('+'),
        "phone_number_id": number.phone_number_id
    });
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": number.business_account_id, "changes": [{"field": "messages", "value": value}]}]
    })
}

/// An update of Instagram with a message to an account. It does not have the writer's name.
///
/// Source: <https://developers.facebook.com/docs/messenger-platform/instagram/features/webhook>.
pub fn instagram(account: &str, id: &str, message: Text<'_>) -> Value {
    let from = message.from.to_string();
    let what = json!({"message": {"mid": id, "text": message.text}});
    of_account(account, (&from, account), message.timestamp, what)
}

/// An update of Instagram that shows a text that an account sent: an echo.
///
/// Source: <https://developers.facebook.com/docs/messenger-platform/instagram/features/webhook>.
pub fn instagram_echo(account: &str, report: Report<'_>, text: &str) -> Value {
    let to = report.to.to_string();
    let what = json!({"message": {"mid": report.id, "text": text, "is_echo": true}});
    of_account(account, (account, &to), report.timestamp, what)
}

/// An update of Instagram: a message that an account sent was read.
///
/// Source: <https://developers.facebook.com/docs/messenger-platform/instagram/features/webhook>.
pub fn instagram_read(account: &str, report: Report<'_>) -> Value {
    let from = report.to.to_string();
    let what = json!({"read": {"mid": report.id}});
    of_account(account, (&from, account), report.timestamp, what)
}

/// An update for an account with this event, from one to the other.
fn of_account(account: &str, (from, to): (&str, &str), timestamp: i64, mut event: Value) -> Value {
    let milliseconds = timestamp * 1000;
    event["sender"] = json!({"id": from});
    event["recipient"] = json!({"id": to});
    event["timestamp"] = milliseconds.into();
    json!({
        "object": "instagram",
        "entry": [{"id": account, "time": milliseconds, "messaging": [event]}]
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
