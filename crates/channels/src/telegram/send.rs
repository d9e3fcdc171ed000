//! Sending by Telegram's Bot API: the requests, and what its answers mean.
//!
//! Source: <https://core.telegram.org/bots/api#sendmessage>, <https://core.telegram.org/bots/api#making-requests>.
//!
//! Invariant: the id of a message that was sent is the one that [`super::parse`] gives the same message in an update.

use serde_json::{Value, json};

use super::Chat;
use super::bot_api::{self, call, result};
use crate::api::{Call, Failure, words};
use crate::json::{self, Object};
use crate::send::outcome::{DeliveryError, ErrorCode, Outcome, Taken, Wait};
use crate::send::outgoing::Outgoing;

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct To<'a> {
    /// The chat.
    pub chat_id: i64,
    /// The topic of a forum.
    pub message_thread_id: Option<i64>,
    /// The person's topic in the direct messages of a channel.
    pub direct_messages_topic_id: Option<i64>,
    /// The connection through which the bot writes in the name of a business account.
    pub business_connection_id: Option<&'a str>,
}

impl To<'_> {
    /// The parameters that say where to.
    fn parameters(&self) -> Object {
        let mut body = Object::new();
        json::put(
            &mut body,
            "business_connection_id",
            self.business_connection_id,
        );
        json::put(&mut body, "chat_id", Some(self.chat_id));
        json::put(&mut body, "message_thread_id", self.message_thread_id);
        json::put(
            &mut body,
            "direct_messages_topic_id",
            self.direct_messages_topic_id,
        );
        body
    }

    /// Telegram's own id of one of our messages, if it is one of this chat.
    fn message_id(&self, provider_id: &str) -> Option<i64> {
        let (before, message_id) = provider_id.rsplit_once(':')?;
        let chat = before.rsplit(':').next()?;
        (chat.parse() == Ok(self.chat_id)).then(|| message_id.parse().ok())?
    }
}

/// The request that sends a message.
///
/// What answers a message of another chat, such as the group before it became a supergroup, is sent without the quote:
/// Telegram would refuse it. What answers a message that is gone by now is sent without the quote, too.
pub(crate) fn message(
    token: &str,
    to: To<'_>,
    outgoing: &Outgoing,
    reply_to: Option<&str>,
) -> Call<Outcome> {
    let mut body = to.parameters();
    let method = match outgoing {
        Outgoing::Text { text, preview_url } => {
            json::put(&mut body, "text", Some(text.as_str()));
            let preview = preview_url.map(|preview| json!({"is_disabled": !preview}));
            json::put(&mut body, "link_preview_options", preview);
            "sendMessage"
        }
        Outgoing::Location {
            latitude,
            longitude,
            name,
            address,
        } => {
            json::put(&mut body, "latitude", Some(*latitude));
            json::put(&mut body, "longitude", Some(*longitude));
            json::put(&mut body, "title", name.as_deref());
            json::put(&mut body, "address", address.as_deref());
            match name {
                Some(_) => "sendVenue",
                None => "sendLocation",
            }
        }
    };
    let quoted = reply_to.and_then(|id| to.message_id(id));
    let quoted = quoted.map(|id| json!({"message_id": id, "allow_sending_without_reply": true}));
    json::put(&mut body, "reply_parameters", quoted);
    let read = |status, answer: &Object| Ok(outcome(status, answer));
    call(token, method, read).posting(&Value::Object(body))
}

/// The request that marks a message as read. Only a business account can, through its connection.
/// <https://core.telegram.org/bots/api#readbusinessmessage>
pub(crate) fn read_mark(token: &str, to: To<'_>, provider_id: &str) -> Option<Call<()>> {
    let body = json!({
        "business_connection_id": to.business_connection_id?,
        "chat_id": to.chat_id,
        "message_id": to.message_id(provider_id)?,
    });
    Some(call(token, "readBusinessMessage", done).posting(&body))
}

/// The request that shows for five seconds that somebody types. The direct messages of a channel have none.
/// <https://core.telegram.org/bots/api#sendchataction>
pub(crate) fn typing(token: &str, to: To<'_>) -> Option<Call<()>> {
    if to.direct_messages_topic_id.is_some() {
        return None;
    }
    let mut body = to.parameters();
    json::put(&mut body, "action", Some("typing"));
    Some(call(token, "sendChatAction", done).posting(&Value::Object(body)))
}

fn done(status: u16, answer: &Object) -> Result<(), Failure> {
    result(status, answer).map(|_| ())
}

/// What the answer to a message means.
fn outcome(status: u16, answer: &Object) -> Outcome {
    match answer.get("ok") {
        Some(Value::Bool(true)) => {
            let taken = json::inner(answer, "result").and_then(taken);
            let taken = taken.filter(|_| status < 300);
            taken.map_or_else(|| Outcome::of_status(status), Outcome::Taken)
        }
        Some(Value::Bool(false)) => failure(status, answer),
        _ => Outcome::of_status(status),
    }
}

fn taken(message: &Object) -> Option<Taken> {
    let message_id = json::int(message, "message_id")?;
    Some(Taken {
        provider_id: Chat::of(message).ok()?.message(message_id),
        ..Taken::default()
    })
}

/// What an error means. Telegram has few codes: the rest is in its parameters, and in words that only refine ours.
fn failure(status: u16, answer: &Object) -> Outcome {
    let code = json::int(answer, "error_code").unwrap_or(i64::from(status));
    let said = json::text(answer, "description").unwrap_or_default();
    let parameters = json::inner(answer, "parameters");
    let moved = parameters.and_then(|parameters| json::int(parameters, "migrate_to_chat_id"));
    let error = |word| DeliveryError {
        code: word,
        message: words(&said),
        provider_code: Some(code.to_string()),
    };
    match code {
        _ if status >= 500 || !(400..500).contains(&code) => Outcome::Perhaps {
            cause: format!("status {status}, error {code}: {}", words(&said)),
        },
        // A chat's limit is met long before the bot's, and the answer does not say which it is.
        429 => Outcome::Again {
            after: bot_api::retry_after(answer),
            wait: Wait::Recipient,
            error: error(ErrorCode::RateLimited),
        },
        401 => Outcome::Stopped(error(ErrorCode::Credential)),
        403 if said.contains("blocked") => Outcome::Refused(error(ErrorCode::Blocked)),
        403 => Outcome::Refused(error(ErrorCode::RecipientUnreachable)),
        _ => match moved {
            Some(chat_id) => Outcome::Moved { chat_id },
            None if said.contains("chat not found") => {
                Outcome::Refused(error(ErrorCode::RecipientUnreachable))
            }
            None => Outcome::Refused(error(ErrorCode::Rejected)),
        },
    }
}
