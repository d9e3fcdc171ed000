//! What is asked of Telegram's Bot API: who a bot is, and where its updates go.
//!
//! Sending messages is in [`super::send`].
//!
//! Invariant: every kind of update that is ordered is one that [`super::parse`] understands.

use serde_json::{Value, json};

use crate::api::{Api, Call, Failure, MAX_WORDS, plain, words};
use crate::json::{self, Object};

/// The updates that [`super::parse`] makes something of. Without a list Telegram leaves reactions out.
pub const UPDATES: [&str; 7] = [
    "message",
    "edited_message",
    "message_reaction",
    "my_chat_member",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
];

/// Requests that Telegram makes at once. It is the API's own default, said so that an earlier webhook's does not stay:
/// updates that come together share one transaction, and more of them would only take more connections.
const MAX_CONNECTIONS: u32 = 40;

/// Longest wait that is believed, in seconds.
const MAX_RETRY_AFTER: u64 = 86_400;
/// Longest webhook address that is told, in characters.
const MAX_URL: usize = 2048;

/// Who a bot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// Its id: the part of the token before the colon.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// Its user name, without `@`.
    pub username: Option<String>,
}

/// What Telegram says about a bot's webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where updates go. `None` if nowhere.
    pub url: Option<String>,
    /// Updates that wait to be delivered.
    pub pending: i64,
    /// When an update last failed, in seconds since 1970.
    pub last_error_at: Option<i64>,
    /// Why, in Telegram's words.
    pub last_error: Option<String>,
}

/// Asks who the bot with this token is. <https://core.telegram.org/bots/api#getme>
pub fn get_me(token: &str) -> Call<Bot> {
    call(token, "getMe", |status, answer| {
        let bot = result(status, answer)?.as_object().ok_or_else(unreadable)?;
        Ok(Bot {
            id: words(&json::id(bot, "id").ok_or_else(unreadable)?),
            name: words(&json::name(bot, "first_name").ok_or_else(unreadable)?),
            username: json::username(bot, "username").map(|name| words(&name)),
        })
    })
}

/// Has a bot's updates sent to `url`, with `secret` in a header of each. What waits already is kept.
/// <https://core.telegram.org/bots/api#setwebhook>
pub fn set_webhook(token: &str, url: &str, secret: &str) -> Call<()> {
    let body = json!({
        "url": url,
        "secret_token": secret,
        "allowed_updates": UPDATES,
        "max_connections": MAX_CONNECTIONS,
        "drop_pending_updates": false,
    });
    let call = call(token, "setWebhook", |status, answer| {
        match result(status, answer)? {
            Value::Bool(true) => Ok(()),
            _ => Err(unreadable()),
        }
    });
    call.posting(&body)
}

/// Asks how a bot's webhook does. <https://core.telegram.org/bots/api#getwebhookinfo>
pub fn get_webhook_info(token: &str) -> Call<Webhook> {
    call(token, "getWebhookInfo", |status, answer| {
        let info = result(status, answer)?.as_object().ok_or_else(unreadable)?;
        let told = |key, characters| {
            let text = json::text(info, key).map(|text| plain(&text, characters));
            text.filter(|text| !text.is_empty())
        };
        Ok(Webhook {
            url: told("url", MAX_URL),
            pending: json::int(info, "pending_update_count").ok_or_else(unreadable)?,
            last_error_at: json::seconds(info, "last_error_date"),
            last_error: told("last_error_message", MAX_WORDS),
        })
    })
}

pub(super) fn call<T>(
    token: &str,
    method: &str,
    read: fn(u16, &Object) -> Result<T, Failure>,
) -> Call<T> {
    let path = format!("/bot{token}/{method}");
    Call::get(Api::Telegram, path, token, read)
}

fn unreadable() -> Failure {
    Failure::unclear("a result that cannot be read")
}

/// The result, if the call was a success. <https://core.telegram.org/bots/api#making-requests>
pub(super) fn result(status: u16, answer: &Object) -> Result<&Value, Failure> {
    match answer.get("ok") {
        Some(Value::Bool(true)) if status < 300 => answer.get("result").ok_or_else(unreadable),
        Some(Value::Bool(false)) => Err(failure(status, answer)),
        _ => Err(Failure::unclear(format!(
            "status {status} in another form than the Bot API's"
        ))),
    }
}

fn failure(status: u16, answer: &Object) -> Failure {
    let code = json::int(answer, "error_code").unwrap_or(i64::from(status));
    let said = json::text(answer, "description").map(|text| words(&text));
    match said {
        Some(said) if (400..500).contains(&code) && code != 429 && status < 500 => {
            Failure::Refused(said)
        }
        said => Failure::Unclear {
            cause: format!("error {code}: {}", said.unwrap_or_default()),
            retry_after: retry_after(answer),
        },
    }
}

/// How many seconds Telegram asks to wait.
pub(super) fn retry_after(answer: &Object) -> Option<u64> {
    let parameters = json::inner(answer, "parameters")?;
    let seconds = u64::try_from(json::int(parameters, "retry_after")?).ok()?;
    (1..=MAX_RETRY_AFTER).contains(&seconds).then_some(seconds)
}
