//! Calls to Meta's Graph API: checking that an access token is good for an inbox's address.
//!
//! Sending messages is in [`crate::send`].
//!
//! Invariant: only Meta's own explicit refusal counts as one. An overloaded or broken Graph API says nothing about a
//! token.

use serde_json::Value;

use crate::api::{Api, Call, Failure, words};
use crate::json::{self, Object};

/// The version of the Graph API. Meta keeps a version for about two years.
pub const VERSION: &str = "v23.0";

/// Error codes that mean "later", not "no": unknown errors, outages, and too many calls.
const TRANSIENT: [i64; 10] = [1, 2, 4, 17, 32, 341, 613, 80_007, 130_429, 131_016];

/// A WhatsApp number as Meta knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The number as Meta writes it. For people; it must not be compared.
    pub display: Option<String>,
    /// The business name that Meta has verified.
    pub verified_name: Option<String>,
}

/// The Instagram account that a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id of the professional account, which updates carry.
    /// <https://developers.facebook.com/docs/instagram-platform/reference/me>
    pub id: String,
    /// The account's id for this app only. No update carries it.
    pub app_scoped_id: Option<String>,
    /// Its user name.
    pub username: Option<String>,
}

/// Asks about a WhatsApp number, which only a token with rights on it may.
pub fn number(token: &str, phone_number_id: &str) -> Call<Number> {
    let path = format!(
        "/{VERSION}/{}?fields=display_phone_number,verified_name",
        encoded(phone_number_id)
    );
    call(Api::Graph, path, token, |status, answer| {
        let answer = success(status, answer)?;
        json::id(answer, "id").ok_or_else(unreadable)?;
        Ok(Number {
            display: shown(answer, "display_phone_number"),
            verified_name: shown(answer, "verified_name"),
        })
    })
}

/// Asks which Instagram account a token belongs to.
pub fn account(token: &str) -> Call<Account> {
    let path = format!("/{VERSION}/me?fields=user_id,username");
    call(Api::Instagram, path, token, |status, answer| {
        let answer = success(status, answer)?;
        // Meta's guide wraps the account in a list; its reference does not.
        let wrapped = answer.get("data").and_then(|data| data.get(0));
        let account = wrapped.and_then(Value::as_object).unwrap_or(answer);
        let id = |key| json::id(account, key).map(|id| words(&id));
        let (professional, app_scoped) = (id("user_id"), id("id"));
        // An answer with one id means the account itself by it.
        let (id, app_scoped_id) = match professional {
            Some(id) => (id, app_scoped),
            None => (app_scoped.ok_or_else(unreadable)?, None),
        };
        Ok(Account {
            id,
            app_scoped_id,
            username: shown(account, "username"),
        })
    })
}

/// A request with the token in a header.
pub(crate) fn call<T>(
    api: Api,
    path: String,
    token: &str,
    read: fn(u16, &Object) -> Result<T, Failure>,
) -> Call<T> {
    // A token in the query would end up in the log of every proxy.
    Call::get(api, path, token, read).bearing()
}

fn shown(object: &Object, key: &str) -> Option<String> {
    json::name(object, key).map(|name| words(&name))
}

fn unreadable() -> Failure {
    Failure::unclear("an answer that cannot be read")
}

/// The answer's body, if it is not an error. <https://developers.facebook.com/docs/graph-api/guides/error-handling>
fn success(status: u16, answer: &Object) -> Result<&Object, Failure> {
    let Some(error) = json::inner(answer, "error") else {
        return match status {
            200..300 => Ok(answer),
            _ => Err(Failure::unclear(format!(
                "status {status} without an error"
            ))),
        };
    };
    let code = json::int(error, "code");
    let said = json::text(error, "message").map(|text| words(&text));
    let later = json::flag(error, "is_transient")
        || code.is_some_and(|code| TRANSIENT.contains(&code))
        || status == 429
        || status >= 500;
    match said {
        Some(said) if !later => Err(Failure::Refused(said)),
        said => Err(Failure::unclear(format!(
            "status {status}, error {}: {}",
            code.unwrap_or_default(),
            said.unwrap_or_default()
        ))),
    }
}

/// Reads the answer to a call that returns nothing of interest.
pub(crate) fn done(status: u16, answer: &Object) -> Result<(), Failure> {
    success(status, answer).map(|_| ())
}

/// Encodes an id as one segment of a path, whatever characters it has.
pub(crate) fn encoded(id: &str) -> String {
    id.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
