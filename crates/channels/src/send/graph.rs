//! How Meta's Graph API answers a message, on WhatsApp and Instagram alike.
//!
//! What a code means differs between the two: see `whatsapp::send` and `instagram::send`.
//!
//! Invariant: an error inside an answer counts, whatever the status; and a 5xx is a refusal only where its code says that
//! the message may be sent again.

use crate::api::words;
use crate::json::{self, Object};
use crate::send::outcome::{DeliveryError, ErrorCode, Outcome, Taken, Wait};

/// What to do about an error.
pub(crate) enum Then {
    Again(Wait),
    Refuse,
    Stop,
    /// Messages were sent although the answer had this code.
    Doubt,
}

/// What a code, with a subcode or 0, stands for.
pub(crate) type Meaning = fn(i64, i64) -> (ErrorCode, Then);

/// What the answer means. `taken` finds the message's ids in a success.
///
/// <https://developers.facebook.com/docs/graph-api/guides/error-handling>
pub(crate) fn outcome(
    status: u16,
    answer: &Object,
    meaning: Meaning,
    taken: fn(&Object) -> Option<Taken>,
) -> Outcome {
    let Some(error) = json::inner(answer, "error") else {
        let taken = taken(answer).filter(|_| (200..300).contains(&status));
        return taken.map_or_else(|| Outcome::of_status(status), Outcome::Taken);
    };
    let code = json::int(error, "code");
    let subcode = json::int(error, "error_subcode").unwrap_or(0);
    let (word, then) = match code {
        _ if status == 401 => (ErrorCode::Credential, Then::Stop),
        Some(code) => meaning(code, subcode),
        None => (ErrorCode::Rejected, Then::Refuse),
    };
    let error = DeliveryError {
        code: word,
        message: said(error),
        provider_code: code.map(|code| match subcode {
            0 => code.to_string(),
            subcode => format!("{code}/{subcode}"),
        }),
    };
    match then {
        Then::Again(wait) => again(wait, error),
        _ if status == 429 => {
            let code = ErrorCode::RateLimited;
            again(Wait::Inbox, DeliveryError { code, ..error })
        }
        Then::Refuse if status < 500 => Outcome::Refused(error),
        Then::Stop if status < 500 => Outcome::Stopped(error),
        _ => Outcome::Perhaps {
            cause: format!(
                "status {status}, error {}: {}",
                code.unwrap_or_default(),
                error.message
            ),
        },
    }
}

fn again(wait: Wait, error: DeliveryError) -> Outcome {
    Outcome::Again {
        after: None,
        wait,
        error,
    }
}

/// Meta's words about an error, in an answer or a status: the details where there are any, since a title only repeats what
/// the code says.
pub(crate) fn said(error: &Object) -> String {
    let details = json::inner(error, "error_data").and_then(|data| json::name(data, "details"));
    let told = details.or_else(|| json::name(error, "title"));
    let told = told.or_else(|| json::name(error, "message"));
    words(&told.unwrap_or_default())
}
