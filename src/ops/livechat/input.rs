//! The inputs of visitors.
//!
//! `livechat` handles them.
//!
//! Invariant: the socket and plain HTTP read the same bodies by the same rules.

use crate::{
    error::Error,
    id::MessageId,
    input::{self, Given, Source, Text, input, text},
    ops::{NAME_PATTERN, check_name},
};
use serde_json::{Map, Value};
use utoipa::openapi::{ObjectBuilder, RefOr, Type, schema::Schema};

/// The longest text of one message, in characters.
const LONGEST_TEXT: usize = 4096;

/// 200 bytes at most: so many of ASCII, or 50 of any characters.
const USER_ID: &str = r"^([ -~]{1,200}|[^\x00-\x1f\x7f-\x9f]{1,50})$";

text! {
    /// A visitor's name.
    pub struct VisitorName(String): check_name,
    |text| text.min_length(Some(1)).max_length(Some(100)).pattern(Some(NAME_PATTERN)).examples(["Ayu"]);
}

text! {
    /// The website's own id for a visitor.
    pub struct UserId(String): user_id,
    |text| text.pattern(Some(USER_ID)).examples(["customer-17"]);
}

text! {
    /// The proof of a `user_id`.
    pub struct UserHash(String): |text| Ok(text.to_owned()),
    |text| text.pattern(Some("^[0-9a-f]{64}$"));
}

text! {
    /// The browser's own id for a message.
    pub struct ClientId(String): client_id,
    |text| text.min_length(Some(1)).max_length(Some(64)).pattern(Some("^[!-~]+$")).examples(["b8f1c2"]);
}

text! {
    /// The text of a visitor's message.
    pub struct VisitorText(String): text,
    |text| text.min_length(Some(1)).max_length(Some(LONGEST_TEXT)).pattern(Some(r"[^\s\x85]")).examples(["Is the blue one still available?"]);
}

text! {
    /// A visitor's token.
    pub struct Token(String): |text| Ok(text.to_owned()),
    |text| text;
}

/// A message that a client has.
#[derive(Debug, Clone)]
pub struct After(pub MessageId);

impl Text for After {
    fn parse(text: &str) -> Result<Self, String> {
        let id = MessageId::parse(text).map(After);
        id.ok_or_else(|| "must be the id of a message".to_owned())
    }

    fn describe() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).into()
    }
}

input! {
    /// What a visitor may say of itself.
    pub struct NewSession {
        /// Its name.
        pub name: Given<VisitorName>,
        /// The website's own id for it, vouched for by `user_hash`.
        pub user_id: Given<UserId>,
        /// HMAC-SHA256 of `user_id` under the inbox's identity secret, in lower-case hex.
        pub user_hash: Given<UserHash>,
        /// The token that the browser has. Without `user_id` its session goes on; with it, what its visitor wrote anonymously
        /// is the user's from now on.
        pub token: Given<Token>,
    }
}

impl NewSession {
    /// Reads the body of a new session. `vouched` says whether a hash vouches for a user's id.
    ///
    /// # Errors
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(
        body: Map<String, Value>,
        vouched: impl FnOnce(&str, &str) -> bool,
    ) -> Result<Self, Error> {
        input::read(body, |fields| {
            let new = NewSession::take(fields)?;
            let (field, message) = match (&new.user_id, &new.user_hash) {
                (Given::Value(user), Given::Value(hash)) if !vouched(&user.0, &hash.0) => {
                    ("user_hash", "is not the right hash for this user_id")
                }
                (Given::Value(_), Given::Absent | Given::Null) => {
                    ("user_hash", "is required with user_id")
                }
                (Given::Absent | Given::Null, Given::Value(_)) => {
                    ("user_id", "is required with user_hash")
                }
                _ => return Some(new),
            };
            fields.at(field).wrong(message);
            None
        })
    }
}

input! {
    /// The text of a visitor's message.
    pub struct NewVisitorMessage {
        /// The browser's own id for it: the same again is the same message.
        pub client_id: ClientId,
        /// What it says.
        pub text: VisitorText,
    }
}

impl NewVisitorMessage {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, NewVisitorMessage::take)
    }
}

input! {
    /// What a page has received or shown.
    pub struct NewReceipt {
        /// The last message that it is about.
        pub id: After,
    }
}

impl NewReceipt {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, NewReceipt::take)
    }
}

input! {
    /// What a client says first on a socket.
    pub struct Hello {
        /// The visitor's token.
        pub token: Given<Token>,
        /// The last message that it has.
        pub after: Given<After>,
    }
}

impl Hello {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, Hello::take)
    }
}

fn user_id(text: &str) -> Result<String, &'static str> {
    let good = (1..=200).contains(&text.len()) && !text.chars().any(char::is_control);
    if good {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 200 bytes, and no control characters")
    }
}

fn client_id(text: &str) -> Result<String, &'static str> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 64 visible ASCII characters")
    }
}

/// The rule for what a visitor says.
pub(super) fn text(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("must not be empty or only white space");
    }
    if text.chars().count() > LONGEST_TEXT {
        return Err("must have at most 4096 characters");
    }
    // The one character that PostgreSQL cannot hold.
    Ok(text.replace('\0', "\u{fffd}"))
}
