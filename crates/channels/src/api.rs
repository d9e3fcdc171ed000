//! Asking a provider something: what to send, and what its answer means.
//!
//! Sending is somebody else's business, and so is what is done with the answer. What can be asked is in
//! [`crate::telegram::bot_api`] and [`crate::graph`].
//!
//! Invariant: nothing that comes out of an answer holds the credential that the call was made with, and a
//! provider's words are short and without control characters. (Meta repeats a token that it cannot read; Telegram
//! tells the webhook's address, in which many bots have their token.)

use serde_json::Value;

use crate::json::{self, Object};

/// Longest text of a provider that is passed on, in characters.
pub(crate) const MAX_WORDS: usize = 300;
/// Shorter than any credential is: hiding such a text would garble what says something else.
const MIN_CREDENTIAL: usize = 6;
/// A piece of a credential that is worth hiding, in characters.
const PIECE: usize = 12;
/// What stands in a credential's place.
const HIDDEN: &str = "[hidden]";

/// Which API is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Telegram's Bot API.
    Telegram,
    /// Meta's Graph API.
    Graph,
    /// Instagram's part of it, which has an address of its own.
    Instagram,
}

impl Api {
    /// Who is asked, for people.
    pub fn provider(self) -> &'static str {
        match self {
            Api::Telegram => "Telegram",
            Api::Graph | Api::Instagram => "Meta",
        }
    }
}

/// A request to a provider. Deliberately not `Debug`: it holds a credential, Telegram's even in the path.
pub struct Call<T> {
    /// Which API is asked.
    pub api: Api,
    /// What follows the API's base address, with a leading slash. Secret.
    pub path: String,
    /// The token for the `Authorization` header, where it goes there. Secret.
    pub bearer: Option<String>,
    /// A JSON object to post. Without it the request is a GET.
    pub body: Option<String>,
    credential: String,
    read: fn(u16, &Object) -> Result<T, Failure>,
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The provider says no, in its own words. Asking again will not help.
    Refused(String),
    /// Nobody knows: no answer, an overloaded or broken provider, or an answer that cannot be read.
    Unclear {
        /// What happened, for the log: without addresses and credentials.
        cause: String,
        /// How many seconds the provider wants to be left alone, if it says so.
        retry_after: Option<u64>,
    },
}

impl Failure {
    /// Nobody knows, because of this.
    pub fn unclear(cause: impl Into<String>) -> Self {
        Failure::Unclear {
            cause: cause.into(),
            retry_after: None,
        }
    }
}

impl<T> Call<T> {
    pub(crate) fn get(
        api: Api,
        path: String,
        credential: &str,
        read: fn(u16, &Object) -> Result<T, Failure>,
    ) -> Self {
        Call {
            api,
            path,
            bearer: None,
            body: None,
            credential: credential.to_owned(),
            read,
        }
    }

    /// The same with the credential in a header.
    pub(crate) fn bearing(mut self) -> Self {
        self.bearer = Some(self.credential.clone());
        self
    }

    /// The same with this to post.
    pub(crate) fn posting(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }

    /// What the answer with this status and body means.
    pub fn read(&self, status: u16, body: &[u8]) -> Result<T, Failure> {
        let body = json::repair(body);
        let mut answer = json::object(&body)
            .map_err(|_| Failure::unclear(format!("status {status} without a JSON object")))?;
        for value in answer.values_mut() {
            hide(value, &self.credential);
        }
        (self.read)(status, &answer)
    }
}

/// A provider's words, fit to be shown.
pub(crate) fn words(text: &str) -> String {
    plain(text, MAX_WORDS)
}

/// On one line, and at most so many characters.
pub(crate) fn plain(text: &str, characters: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    json::cut(text.trim(), characters)
}

/// Takes a credential, and any longer piece of it, out of every text of a value.
fn hide(value: &mut Value, credential: &str) {
    match value {
        Value::String(text) => *text = without(text, credential),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, credential)),
        Value::Object(map) => map.values_mut().for_each(|item| hide(item, credential)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without(text: &str, credential: &str) -> String {
    if credential.len() < MIN_CREDENTIAL {
        return text.to_owned();
    }
    let text = text.replace(credential, HIDDEN);
    let of_token = |c: char| c.is_ascii_alphanumeric() || "_-:|".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(of_token) {
        let end = rest[start..]
            .find(|c| !of_token(c))
            .map_or(rest.len(), |length| start + length);
        let run = &rest[start..end];
        let piece = run.len() >= PIECE && credential.contains(run);
        out.push_str(&rest[..start]);
        out.push_str(if piece { HIDDEN } else { run });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

    #[test]
    fn a_credential_is_hidden_whole_and_in_pieces() {
        let told = [
            (
                "Malformed access token 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw.",
                "Malformed access token [hidden].",
            ),
            (
                "https://a.example/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/x",
                "https://a.example/bot[hidden]/x",
            ),
            ("AAHdqTcvCH1vGWJxfSeo... is wrong", "[hidden]... is wrong"),
            ("the bot 110201543", "the bot 110201543"),
            ("nothing of it", "nothing of it"),
            ("", ""),
        ];
        for (text, shown) in told {
            assert_eq!(without(text, TOKEN), shown);
        }
        assert_eq!(without("t is not hidden", "t"), "t is not hidden");
    }

    #[test]
    fn words_are_short_and_on_one_line() {
        assert_eq!(words(" Bad\r\nRequest\u{1b}[31m "), "Bad  Request [31m");
        assert_eq!(words(&"ä".repeat(1000)).chars().count(), MAX_WORDS);
    }
}
