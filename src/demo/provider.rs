//! What the stand-ins say: how a provider answers a request, and what it reports of a message that it took.
//!
//! Pure: requests come as values, and updates go as values. When they go is decided in `report`.
//!
//! Invariant: a request without the token of the demonstration is refused as the provider refuses it.

use super::{AYU, BUDI, DEWI, INSTAGRAM_ACCOUNT, NUMBER};
use crate::domain::Channel;
use channels::sample::{self, Report, Text};
use serde_json::{Value, json};

/// Who speaks in an error.
const SPEAKER: &str = "The inboxd demonstration's stand-in";
/// What every text of a stand-in's contact says of itself.
const ANSWER: &str = "This is an automatic answer of the inboxd demonstration: a stand-in took your message, and nobody read it.";
/// What the last one says beside.
const LAST: &str =
    " It is the last one in this conversation until the demonstration is started again.";

/// The tokens that the stand-ins know.
pub(super) struct Tokens {
    /// Of the WhatsApp number and of the Instagram account.
    pub(super) access: String,
    /// Of the bot.
    pub(super) bot: String,
}

/// A request that came.
pub(super) struct Asked<'a> {
    /// Its path, below which each stand-in has a place of its own.
    pub(super) path: &'a str,
    /// The value of `Authorization`.
    pub(super) authorization: Option<&'a str>,
    /// Its body; `null` if that is no JSON.
    pub(super) body: &'a Value,
}

/// An answer of a provider: a status, and JSON.
pub(super) type Answer = (u16, Value);

/// A message that a stand-in took.
#[derive(Debug, PartialEq)]
pub(super) struct Took {
    pub(super) channel: Channel,
    /// What the provider calls it.
    id: String,
    /// Whom it is for.
    pub(super) to: u64,
    /// What it says, as far as it is a text.
    text: String,
    /// What inboxd calls it.
    our_id: Option<String>,
}

/// What happens to a message after it was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    /// WhatsApp reports a status.
    Status(&'static str),
    /// Instagram shows it in the account's own thread.
    Echo,
    /// Instagram reports that it was opened.
    Seen,
    /// Its recipient answers, for the last time if so.
    Answer { is_last: bool },
}

/// Reads a request. `number` tells its message from all others.
///
/// # Errors
/// The answer, if no message is taken.
pub(super) fn take(asked: &Asked<'_>, tokens: &Tokens, number: u32) -> Result<Took, Answer> {
    let segments: Vec<_> = asked.path.trim_start_matches('/').split('/').collect();
    match segments.as_slice() {
        ["telegram", bot, method] => telegram(bot, method, asked.body, tokens, number),
        ["whatsapp", _, NUMBER_ID, "messages"] => {
            authorized(asked, tokens)?;
            whatsapp(asked.body, number)
        }
        ["instagram", _, INSTAGRAM_ACCOUNT, "messages"] => {
            authorized(asked, tokens)?;
            instagram(asked.body, number)
        }
        _ => Err(graph_error(
            400,
            100,
            "takes messages only, and those of its own inboxes only",
        )),
    }
}

const NUMBER_ID: &str = NUMBER.phone_number_id;

fn authorized(asked: &Asked<'_>, tokens: &Tokens) -> Result<(), Answer> {
    let token = asked
        .authorization
        .and_then(|value| value.strip_prefix("Bearer "));
    match token == Some(tokens.access.as_str()) {
        true => Ok(()),
        false => Err(graph_error(401, 190, "does not know this access_token")),
    }
}

fn whatsapp(body: &Value, number: u32) -> Result<Took, Answer> {
    if body.get("type").is_none() {
        // A read mark.
        return Err((200, json!({"success": true})));
    }
    let to =
        id(&body["to"]).ok_or_else(|| graph_error(400, 131_026, "knows phone numbers only"))?;
    Ok(Took {
        channel: Channel::Whatsapp,
        id: format!("wamid.demo.{number}"),
        to,
        text: String::new(),
        our_id: body["biz_opaque_callback_data"].as_str().map(str::to_owned),
    })
}

fn instagram(body: &Value, number: u32) -> Result<Took, Answer> {
    let recipient = &body["recipient"]["id"];
    if body.get("message").is_none() {
        // A sender action.
        return Err((200, json!({"recipient_id": recipient})));
    }
    let to = id(recipient).ok_or_else(|| graph_error(400, 100, "knows no such recipient"))?;
    Ok(Took {
        channel: Channel::Instagram,
        id: format!("mid.demo.{number}"),
        to,
        text: body["message"]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        our_id: None,
    })
}

fn telegram(
    bot: &str,
    method: &str,
    body: &Value,
    tokens: &Tokens,
    number: u32,
) -> Result<Took, Answer> {
    if bot.strip_prefix("bot") != Some(tokens.bot.as_str()) {
        return Err(bot_error(401, "does not know this bot_token"));
    }
    if method == "sendChatAction" {
        return Err((200, json!({"ok": true, "result": true})));
    }
    if !method.starts_with("send") {
        return Err(bot_error(404, "takes messages only"));
    }
    let to = body["chat_id"]
        .as_u64()
        .ok_or_else(|| bot_error(400, "chat not found"))?;
    Ok(Took {
        channel: Channel::Telegram,
        id: number.to_string(),
        to,
        text: String::new(),
        our_id: None,
    })
}

/// An id of a person, which is a number on every channel.
fn id(value: &Value) -> Option<u64> {
    value.as_str()?.trim_start_matches('+').parse().ok()
}

fn graph_error(status: u16, code: u32, what: &str) -> Answer {
    let message = format!("{SPEAKER} {what}");
    (
        status,
        json!({"error": {"message": message, "type": "OAuthException", "code": code}}),
    )
}

fn bot_error(code: u16, what: &str) -> Answer {
    (
        code,
        json!({"ok": false, "error_code": code, "description": format!("{SPEAKER}: {what}")}),
    )
}

/// What each provider says if too much is sent.
pub(super) fn too_much(channel: Channel) -> Answer {
    let what = "has more under way than it can take";
    match channel {
        Channel::Telegram => {
            let (status, mut answer) = bot_error(429, what);
            answer["parameters"] = json!({"retry_after": 1});
            (status, answer)
        }
        Channel::Instagram => graph_error(400, 613, what),
        Channel::Whatsapp | Channel::Livechat => graph_error(400, 130_429, what),
    }
}

impl Took {
    /// How the provider says that it took it. `now` is in seconds since 1970.
    pub(super) fn answer(&self, now: i64) -> Answer {
        let to = self.to.to_string();
        let answer = match self.channel {
            Channel::Telegram => {
                let chat = json!({"id": self.to, "type": "private"});
                let message_id = self.id.parse::<u32>().unwrap_or_default();
                json!({"ok": true, "result": {"message_id": message_id, "date": now, "chat": chat}})
            }
            Channel::Instagram => json!({"recipient_id": to, "message_id": self.id}),
            Channel::Whatsapp | Channel::Livechat => json!({
                "messaging_product": "whatsapp",
                "contacts": [{"input": to, "wa_id": to}],
                "messages": [{"id": self.id}]
            }),
        };
        (200, answer)
    }

    /// What the provider reports before its recipient answers.
    pub(super) fn reports(&self) -> &'static [Event] {
        match self.channel {
            Channel::Whatsapp => &[
                Event::Status("sent"),
                Event::Status("delivered"),
                Event::Status("read"),
            ],
            Channel::Instagram => &[Event::Echo, Event::Seen],
            // Telegram tells nothing of what becomes of a message.
            Channel::Telegram | Channel::Livechat => &[],
        }
    }

    /// The update that tells of an event. `number` tells its message from all others.
    pub(super) fn update(&self, event: Event, number: u32, now: i64) -> Value {
        let report = Report {
            id: &self.id,
            to: self.to,
            timestamp: now,
        };
        match event {
            Event::Status(status) => {
                sample::whatsapp_status(NUMBER, report, status, self.our_id.as_deref())
            }
            Event::Echo => sample::instagram_echo(INSTAGRAM_ACCOUNT, report, &self.text),
            Event::Seen => sample::instagram_read(INSTAGRAM_ACCOUNT, report),
            Event::Answer { is_last } => self.written(is_last, number, now),
        }
    }

    fn written(&self, is_last: bool, number: u32, now: i64) -> Value {
        let known = [AYU, BUDI, DEWI].into_iter().find(|(id, _)| *id == self.to);
        let message = Text {
            from: self.to,
            name: known.map_or("Demo contact", |(_, name)| name),
            text: &format!("{ANSWER}{}", if is_last { LAST } else { "" }),
            timestamp: now,
        };
        match self.channel {
            Channel::Telegram => sample::telegram(number, message),
            Channel::Instagram => {
                sample::instagram(INSTAGRAM_ACCOUNT, &format!("mid.demo.{number}"), message)
            }
            Channel::Whatsapp | Channel::Livechat => {
                sample::whatsapp(NUMBER, &format!("wamid.demo.{number}"), message)
            }
        }
    }
}
