//! Calls to a provider's API: the request to send, and the meaning of its answer.
//!
//! This module sends nothing itself. The calls that exist are in [`crate::telegram::bot_api`], [`crate::graph`] and [`crate::send`].
//!
//! Invariant: no text from an answer contains the credential of the call, and a provider's words are short and have no
//! control characters. (Meta repeats a token that it cannot read. Telegram returns the webhook's URL, in which many
//! bots have their token.)

use serde_json::Value;

use crate::json::{self, Object};

/// The longest text of a provider that is shown, in characters.
pub(crate) const MAX_WORDS: usize = 300;
/// The shortest text that is treated as a credential, in bytes. Hiding shorter texts would garble other words.
const MIN_CREDENTIAL: usize = 6;
/// The shortest piece of a credential that is hidden, in characters.
const PIECE: usize = 12;
/// Replaces a credential.
const HIDDEN: &str = "[hidden]";

/// An API of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Telegram's Bot API.
    Telegram,
    /// Meta's Graph API.
    Graph,
    /// Instagram's Graph API, which has an address of its own.
    Instagram,
}

impl Api {
    /// The provider's name, for people.
    pub fn provider(self) -> &'static str {
        match self {
            Api::Telegram => "Telegram",
            Api::Graph | Api::Instagram => "Meta",
        }
    }
}

/// A request to a provider. It is not `Debug` on purpose: it holds a credential, for Telegram even in the path.
pub struct Call<T> {
    /// The API to call.
    pub api: Api,
    /// The path after the API's base address, with a leading slash. Secret.
    pub path: String,
    /// The token for the `Authorization` header, if the API takes it there. Secret.
    pub bearer: Option<String>,
    /// The JSON object to post. Without one the request is a GET.
    pub body: Option<String>,
    credential: String,
    read: fn(u16, &Object) -> Result<T, Failure>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The provider refused, in its own words. Another try will not help.
    Refused(String),
    /// The outcome is unknown: there was no answer, the provider is overloaded or broken, or its answer cannot be read.
    Unclear {
        /// What happened, for the log. Contains no URL and no credential.
        cause: String,
        /// How many seconds the provider asks us to wait, if it says so.
        retry_after: Option<u64>,
    },
}

impl Failure {
    /// A failure with an unknown outcome, for this cause.
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

    /// Reads the answer with this status and body.
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

/// A provider's words, made fit to be shown.
pub(crate) fn words(text: &str) -> String {
    plain(text, MAX_WORDS)
}

/// The text on one line, cut to this many characters.
pub(crate) fn plain(text: &str, characters: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    json::cut(text.trim(), characters)
}

/// Removes a credential, and every longer piece of it, from each text in a value.
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
        // A number alone is an account's or a bot's id. Such ids are public, and are compared.
        let number = run.bytes().all(|byte| byte.is_ascii_digit());
        let piece = run.len() >= PIECE && !number && credential.contains(run);
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
        let with_id = "17841477000000001|AAHdqTcvCH1vGWJxfSeo";
        let told = without("17841477000000001 has AAHdqTcvCH1vGWJxfSeo", with_id);
        assert_eq!(told, "17841477000000001 has [hidden]");
    }

    #[test]
    fn words_are_short_and_on_one_line() {
        assert_eq!(words(" Bad\r\nRequest\u{1b}[31m "), "Bad  Request [31m");
        assert_eq!(words(&"ä".repeat(1000)).chars().count(), MAX_WORDS);
    }
}
