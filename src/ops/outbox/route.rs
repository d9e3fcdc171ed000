//! The request that sends a stored message.
//!
//! How a provider wants it written is not said here, but in `channels::send`.

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
    api::Call,
    send::{self, Route, outcome::Outcome},
    telegram, whatsapp,
};

/// The request, or why there is none.
pub(super) fn request(
    job: &Job,
    settings: &Settings,
    token: &str,
    our_id: &str,
) -> Result<Result<Call<Outcome>, DeliveryError>, Error> {
    let way = Way::read(job.way.as_deref())?;
    let outgoing = read_outgoing(&job.kind, &job.content, &way)?;
    let missing = |what: &str| Error::Internal(format!("an inbox without its {what}"));
    let route = match job.channel {
        Channel::Whatsapp => Route::Whatsapp {
            number_id: settings
                .phone_number_id
                .as_deref()
                .ok_or_else(|| missing("phone_number_id"))?,
            to: whatsapp_to(job),
        },
        Channel::Instagram => Route::Instagram {
            account_id: job
                .instagram_account_id
                .as_deref()
                .ok_or_else(|| missing("instagram_account_id"))?,
            to: &job.contact,
        },
        Channel::Telegram => {
            let chat = way.chat.or_else(|| job.contact.parse().ok());
            Route::Telegram(telegram::send::To {
                chat_id: chat.ok_or_else(|| Error::Internal("a chat without a number".into()))?,
                message_thread_id: way.topic,
                direct_messages_topic_id: None,
                business_connection_id: way.connection.as_deref(),
            })
        }
        Channel::Livechat => return Err(Error::Internal("live chat has no provider".into())),
    };
    let call = send::message(token, route, &outgoing, job.reply_to.as_deref(), our_id);
    Ok(call.map_err(DeliveryError::from))
}

/// Meta wants a number where one is known.
fn whatsapp_to(job: &Job) -> whatsapp::send::To<'_> {
    let is_number = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit());
    match &job.phone {
        _ if job.is_group => whatsapp::send::To::Group(&job.contact),
        _ if is_number(&job.contact) => whatsapp::send::To::Phone(&job.contact),
        Some(phone) => whatsapp::send::To::Phone(phone),
        None => whatsapp::send::To::UserId(&job.contact),
    }
}
