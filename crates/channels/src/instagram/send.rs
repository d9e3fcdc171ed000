//! Sending on Instagram: the requests, and what its error codes mean.
//!
//! Source: <https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/messaging-api>.
//!
//! Invariant: a code after which a message is known to have arrived is never one to send it again.

use serde_json::json;

use crate::api::{Api, Call};
use crate::graph::{self, VERSION};
use crate::json::{self, Object};
use crate::send::graph::{Then, outcome};
use crate::send::outcome::{DeliveryError, ErrorCode, Outcome, Taken, Wait};
use crate::send::outgoing::Outgoing;

/// The request that sends a message, unless Instagram has none like it.
pub(crate) fn message(
    token: &str,
    account_id: &str,
    to: &str,
    outgoing: &Outgoing,
    reply_to: Option<&str>,
) -> Result<Call<Outcome>, DeliveryError> {
    let message = match outgoing {
        Outgoing::Text { text, .. } => json!({"text": text}),
        Outgoing::Location { .. } => {
            return Err(DeliveryError {
                code: ErrorCode::Unsupported,
                message: "Instagram takes no location".to_owned(),
                provider_code: None,
            });
        }
    };
    let mut body = json!({"recipient": {"id": to}, "message": message});
    if let Some(mid) = reply_to {
        body["reply_to"] = json!({"mid": mid});
    }
    let read = |status, answer: &Object| Ok(outcome(status, answer, meaning, taken));
    Ok(graph::call(Api::Instagram, path(account_id), token, read).posting(&body))
}

/// The request for a sender action: `mark_seen` or `typing_on`.
pub(crate) fn action(token: &str, account_id: &str, to: &str, action: &str) -> Call<()> {
    let body = json!({"recipient": {"id": to}, "sender_action": action});
    graph::call(Api::Instagram, path(account_id), token, graph::done).posting(&body)
}

fn path(account_id: &str) -> String {
    format!("/{VERSION}/{}/messages", graph::encoded(account_id))
}

fn taken(answer: &Object) -> Option<Taken> {
    Some(Taken {
        provider_id: json::id(answer, "message_id")?,
        ..Taken::default()
    })
}

/// What each code means, and what to do.
///
/// Source: <https://developers.facebook.com/docs/messenger-platform/error-codes>.
fn meaning(code: i64, subcode: i64) -> (ErrorCode, Then) {
    use ErrorCode as E;
    match (code, subcode) {
        (10, 2_534_022 | 2_018_278) => (E::OutsideWindow, Then::Refuse),
        (551, _) | (100, 2_534_014) => (E::RecipientUnreachable, Then::Refuse),
        (4 | 613, _) => (E::RateLimited, Then::Again(Wait::Inbox)),
        (0 | 190, _) => (E::Credential, Then::Stop),
        // 200 with 2534041, too: access to messages was not allowed, or withdrawn.
        (3 | 10 | 200..=299, _) => (E::Permission, Then::Refuse),
        (368, _) => (E::AccountRestricted, Then::Stop),
        // Meta says itself of 1 with 1357046 that the messages were sent all the same.
        (1 | 2, _) => (E::Unavailable, Then::Doubt),
        _ => (E::Rejected, Then::Refuse),
    }
}
