//! The rules for the fields of an inbox, and their schemas.
//!
//! Invariant: a text that the schema allows is accepted.

use crate::{
    input::{At, Content, Text, text, word},
    ops::{NAME_PATTERN, check_name},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use utoipa::openapi::{ObjectBuilder, RefOr, Type, schema::Schema};

text! {
    /// A display name.
    pub struct Name(String): check_name,
    |text| text.min_length(Some(1)).max_length(Some(100)).pattern(Some(NAME_PATTERN)).examples(["Customer Support"]);
}

text! {
    /// A phone number.
    pub struct PhoneNumber(String): e164,
    |text| text.pattern(Some(r"^\+[1-9][0-9]{6,14}$")).examples(["+62812345678"]);
}

text! {
    /// Meta's id for a phone number, an Instagram account or a business.
    pub struct MetaId(String): meta_id,
    |text| text.min_length(Some(1)).max_length(Some(64)).pattern(Some(r"^[!-*,-?A-~]+$")).examples(["106540352242922"]);
}

text! {
    /// A secret or token of a provider.
    pub struct Credential(SecretString): credential,
    |text| text.min_length(Some(1)).max_length(Some(2048)).pattern(Some("^[!-~]+$")).write_only(true);
}

text! {
    /// A Telegram bot token.
    pub struct BotToken(SecretString): bot_token,
    |text| text.pattern(Some("^[0-9]{1,20}:[A-Za-z0-9_-]{1,128}$")).write_only(true);
}

text! {
    /// The origin of a page.
    pub struct Origin(String): origin,
    |text| text.pattern(Some(r"^(https://(?!.*:443$)|http://(?!.*:80$))[A-Za-z0-9._:\[\]-]{1,255}$")).examples(["https://www.example.com"]);
}

/// Messages a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(pub i64);

impl Content for Pace {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let pace = value.as_i64().filter(|pace| (1..=1000).contains(pace));
        if pace.is_none() {
            at.wrong("must be a whole number from 1 to 1000");
        }
        pace.map(Pace)
    }

    fn document() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(1000))
            .into()
    }
}

/// Whether an inbox is switched on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Active, or pending if it never proved itself.
    On,
    /// Inactive.
    Off,
}

impl Switch {
    /// Whether it is off.
    pub fn is_off(self) -> bool {
        self == Switch::Off
    }
}

impl Text for Switch {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Switch::On),
            "inactive" => Ok(Switch::Off),
            _ => Err("must be active or inactive".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        word(&["active", "inactive"])
    }
}

impl BotToken {
    /// The bot's id: the part before the colon.
    pub fn bot(&self) -> &str {
        let token = self.0.expose_secret();
        token.split_once(':').map_or(token, |(bot, _)| bot)
    }
}

/// E.164: a plus, then 7 to 15 digits, the first not 0.
fn e164(text: &str) -> Result<String, &'static str> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let good = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    good.then(|| text.to_owned())
        .ok_or("must be an E.164 phone number: + and 7 to 15 digits, as in +62812345678")
}

/// Meta's ids are digits. Other texts are accepted, too, except those that people paste by mistake: a phone number or a
/// name would never match an update.
fn meta_id(text: &str) -> Result<String, &'static str> {
    if text.contains(['+', '@']) {
        return Err(
            "must be the id that Meta shows, as in 106540352242922, and not the phone number or @name itself",
        );
    }
    let good = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| text.to_owned())
        .ok_or("must have 1 to 64 visible ASCII characters")
}

/// A secret or token of a provider.
fn credential(text: &str) -> Result<String, &'static str> {
    let good = (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| text.to_owned())
        .ok_or("must have 1 to 2048 visible ASCII characters")
}

/// A Telegram bot token: the bot's id, a colon, a secret. <https://core.telegram.org/bots/api#authorizing-your-bot>
fn bot_token(text: &str) -> Result<String, &'static str> {
    const RULE: &str =
        "must be a bot token as BotFather gives it: digits, a colon, letters and digits";
    let (bot, secret) = text.split_once(':').ok_or(RULE)?;
    let digits = (1..=20).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
    let secret_good = (1..=128).contains(&secret.len())
        && secret
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    (digits && secret_good).then(|| text.to_owned()).ok_or(RULE)
}

/// An origin as browsers send it: scheme, host, and the port if it is not the default one.
fn origin(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be an origin, as in https://www.example.com";
    let (host, default_port) = match text.strip_prefix("https://") {
        Some(host) => (host, ":443"),
        None => (text.strip_prefix("http://").ok_or(RULE)?, ":80"),
    };
    let good = (1..=255).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    match good {
        // Browsers leave it out, so no page's origin would ever match.
        true if host.ends_with(default_port) => {
            Err("must leave out the default port, as browsers do")
        }
        true => Ok(text.to_ascii_lowercase()),
        false => Err(RULE),
    }
}
