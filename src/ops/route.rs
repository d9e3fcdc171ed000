//! The request that sends a stored message, or tells of one that came.
//!
//! How a provider wants it written is not said here, but in `channels::send`.
//!
//! Invariant: it goes to nothing but what its contact is known by at present. A number may be somebody else's by now.

use crate::{
    domain::{Channel, DeliveryError},
    error::Error,
    ops::{
        inboxes::Settings,
        messages::{Way, read_outgoing},
    },
    store::messages::Job,
};
use channels::{
    IdentityKind,
    api::Call,
    send::{self, Route, outcome::Outcome},
    telegram, whatsapp,
};
use serde::Deserialize;
use std::borrow::Cow;

/// The request, or why there is none.
pub(super) fn request(
    job: &Job,
    settings: &Settings,
    token: &str,
    our_id: &str,
) -> Result<Result<Call<Outcome>, DeliveryError>, Error> {
    let way = Way::read(job.way.as_deref())?;
    let outgoing = read_outgoing(&job.kind, &job.content, &way)?;
    let Some(address) = address(job, settings)? else {
        return Ok(Err(unreachable()));
    };
    let route = route(job, settings, &way, &address)?;
    let call = send::message(token, route, &outgoing, job.reply_to.as_deref(), our_id);
    Ok(call.map_err(DeliveryError::from))
}

/// What a contact is shown about its message, beside messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    /// It was read, and all before it.
    Read,
    /// Somebody types.
    Typing,
}

/// The request that shows it to whom a message came from. `None` if the channel has none.
pub(super) fn signal(
    job: &Job,
    settings: &Settings,
    token: &str,
    signal: Signal,
) -> Result<Option<Call<()>>, Error> {
    let way = Way::of(job.channel, &job.key, &job.content);
    let Some(address) = address(job, settings)? else {
        return Ok(None);
    };
    let route = route(job, settings, &way, &address)?;
    Ok(match signal {
        Signal::Read => send::read_mark(token, route, &job.key),
        Signal::Typing => send::typing(token, route, &job.key),
    })
}

/// From where to whom.
fn route<'a>(
    job: &'a Job,
    settings: &'a Settings,
    way: &'a Way,
    address: &'a Known<'_>,
) -> Result<Route<'a>, Error> {
    let missing = |what: &str| Error::Internal(format!("an inbox without its {what}"));
    Ok(match job.channel {
        Channel::Whatsapp => Route::Whatsapp {
            number_id: settings
                .phone_number_id
                .as_deref()
                .ok_or_else(|| missing("phone_number_id"))?,
            to: whatsapp_to(address),
        },
        Channel::Instagram => Route::Instagram {
            account_id: job
                .instagram_account_id
                .as_deref()
                .ok_or_else(|| missing("instagram_account_id"))?,
            to: &address.value,
        },
        Channel::Telegram => {
            // The direct messages of a channel are one chat, in which each person has a topic.
            let direct = way.topic_chat.filter(|_| address.kind != "chat_id");
            let chat = direct.or(way.chat).or_else(|| address.value.parse().ok());
            Route::Telegram(telegram::send::To {
                chat_id: chat.ok_or_else(|| Error::Internal("a chat without a number".into()))?,
                message_thread_id: way.topic.filter(|_| direct.is_none()),
                direct_messages_topic_id: way.topic.filter(|_| direct.is_some()),
                business_connection_id: way.connection.as_deref(),
            })
        }
        Channel::Livechat => return Err(Error::Internal("live chat has no provider".into())),
    })
}

/// Something that a contact is known by, as it is shown.
#[derive(Deserialize)]
struct Known<'a> {
    channel: String,
    kind: String,
    #[serde(borrow)]
    value: Cow<'a, str>,
    scope: Option<String>,
    #[serde(default)]
    former: bool,
}

/// By what a contact is written to: something that it has at present. `None` if there is nothing.
fn address<'a>(job: &'a Job, settings: &Settings) -> Result<Option<Known<'a>>, Error> {
    let known: Vec<Known<'_>> = serde_json::from_str(&job.identities)
        .map_err(|error| Error::Internal(format!("a stored contact is damaged: {error}")))?;
    let number = job.phone.as_deref().unwrap_or_default();
    let scope = job.instagram_account_id.as_ref();
    let scope = scope.or(settings.business_account_id.as_ref());
    // Meta wants a number where one is known, and takes ids of its own account only.
    let rank = |one: &Known<'_>| match IdentityKind::ALL
        .iter()
        .find(|kind| kind.as_str() == one.kind)
    {
        Some(IdentityKind::Phone) => (0, one.value != number.trim_start_matches('+')),
        Some(IdentityKind::ParentUserId) => (2, false),
        _ => (1, one.scope.as_ref() != scope),
    };
    let channel = job.channel.as_str();
    let present = known
        .into_iter()
        .filter(|one| one.channel == channel && !one.former);
    Ok(present.min_by_key(rank))
}

fn whatsapp_to<'a>(address: &'a Known<'_>) -> whatsapp::send::To<'a> {
    match &*address.kind {
        "phone" => whatsapp::send::To::Phone(&address.value),
        "group_id" => whatsapp::send::To::Group(&address.value),
        _ => whatsapp::send::To::UserId(&address.value),
    }
}

fn unreachable() -> DeliveryError {
    DeliveryError {
        code: "recipient_unreachable".to_owned(),
        message: "Nothing is known by which this contact can be written to now".to_owned(),
        provider_code: None,
    }
}
