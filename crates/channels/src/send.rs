//! Requests that send something to a contact, and what the answers mean: pure functions, one row for each channel.
//!
//! Nothing is sent here, and what follows from an outcome is not decided here. How a channel writes a request and reads an
//! answer stands in `whatsapp::send`, `instagram::send` and `telegram::send`.
//!
//! Invariant: a request says all of what it is given to say, or there is no request.

pub(crate) mod graph;
pub mod outcome;
pub mod outgoing;

use crate::api::Call;
use crate::{instagram, telegram, whatsapp};
use outcome::{DeliveryError, Outcome};
use outgoing::Outgoing;

/// From which address of the business to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// From a WhatsApp number.
    Whatsapp {
        /// The number's `phone_number_id`.
        number_id: &'a str,
        /// Who gets it.
        to: whatsapp::send::To<'a>,
    },
    /// From an Instagram account.
    Instagram {
        /// The professional account's id.
        account_id: &'a str,
        /// The recipient's Instagram-scoped id.
        to: &'a str,
    },
    /// From a Telegram bot, which the token tells.
    Telegram(telegram::send::To<'a>),
}

/// The request that sends a message.
///
/// `reply_to` is the provider's id of the message that it answers. `our_id` comes back in the statuses of WhatsApp
/// ([`crate::Status::our_id`]), at most 512 characters; the other channels have no place for it.
///
/// # Errors
///
/// If the channel has no such message: see [`outgoing::Limits::check`].
pub fn message(
    token: &str,
    route: Route<'_>,
    outgoing: &Outgoing,
    reply_to: Option<&str>,
    our_id: &str,
) -> Result<Call<Outcome>, DeliveryError> {
    Ok(match route {
        Route::Whatsapp { number_id, to } => {
            whatsapp::send::message(token, number_id, to, outgoing, reply_to, our_id)
        }
        Route::Instagram { account_id, to } => {
            instagram::send::message(token, account_id, to, outgoing, reply_to)?
        }
        Route::Telegram(to) => telegram::send::message(token, to, outgoing, reply_to),
    })
}

/// The request that shows the contact that a message, and all before it, was read. `None` where a provider has none: on
/// Telegram outside of business connections.
pub fn read_mark(token: &str, route: Route<'_>, provider_id: &str) -> Option<Call<()>> {
    match route {
        Route::Whatsapp { number_id, .. } => {
            let call = whatsapp::send::read_mark(token, number_id, provider_id, false);
            Some(call)
        }
        Route::Instagram { account_id, to } => {
            let call = instagram::send::action(token, account_id, to, "mark_seen");
            Some(call)
        }
        Route::Telegram(to) => telegram::send::read_mark(token, to, provider_id),
    }
}

/// The request that shows the contact that somebody types. `None` where a provider has none.
///
/// `last_inbound` is the provider's id of the contact's latest message. WhatsApp marks it as read by the same request.
pub fn typing(token: &str, route: Route<'_>, last_inbound: &str) -> Option<Call<()>> {
    match route {
        Route::Whatsapp { number_id, .. } => {
            let call = whatsapp::send::read_mark(token, number_id, last_inbound, true);
            Some(call)
        }
        Route::Instagram { account_id, to } => {
            let call = instagram::send::action(token, account_id, to, "typing_on");
            Some(call)
        }
        Route::Telegram(to) => telegram::send::typing(token, to),
    }
}

impl Call<Outcome> {
    /// What the answer with this status and body means, whatever it is.
    pub fn outcome(&self, status: u16, body: &[u8]) -> Outcome {
        self.read(status, body)
            .unwrap_or_else(|_| Outcome::of_status(status))
    }
}
