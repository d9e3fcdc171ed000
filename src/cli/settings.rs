//! Parses and checks the values of the command line.

use super::{Global, failure::Failure};
use crate::{
    clock::Clock,
    config,
    error::Error,
    id::AccountId,
    ops::{self, Context, SecretKey, accounts, connect::base_address},
    store::accounts::Thing,
    vault::Vault,
};
use clap::Args;
use db::{Address, Missing};
use ipnet::{IpNet, Ipv4Net};
use std::{
    fs,
    io::{self, Read},
    net::IpAddr,
    str::FromStr,
    time::Duration,
};

impl Global {
    /// The address of the database.
    pub(super) fn address(&self) -> Result<Address, Failure> {
        let from_file = self
            .database_url_file
            .as_deref()
            .map(|file| read_secret("database-url-file", file))
            .transpose()?;
        let (flag, url) = match &from_file {
            Some(url) => ("database-url-file", url),
            None => ("database-url", &self.database_url),
        };
        url.parse()
            .map_err(|error: db::Error| Failure::Usage(format!("--{flag}: {error}")))
    }

    /// The source of the secret key.
    pub(super) fn secret_key(&self) -> Result<SecretKey, Failure> {
        let (flag, text) = match (&self.secret_key, self.secret_key_file.as_deref()) {
            (Some(text), _) => ("secret-key", text.clone()),
            (None, Some("-")) => ("secret-key-file", read_secret("secret-key-file", "-")?),
            (None, Some(path)) => return Ok(SecretKey::File(path.into())),
            (None, None) => return Ok(SecretKey::BesideDatabase),
        };
        Vault::from_text(&text).map_err(|error| Failure::Usage(format!("--{flag}: {error}")))?;
        Ok(SecretKey::Text(text))
    }

    /// Opens the store for a command.
    pub(super) async fn open(&self, missing: Missing) -> Result<Context, Failure> {
        let (address, secret_key) = (self.address()?, self.secret_key()?);
        // The public URL stays empty, since only `serve` and `inbox setup` need one. They have a flag for it.
        let mut context = ops::open(&address, missing, &secret_key, "", Clock::system()).await?;
        context.command = true;
        Ok(context)
    }
}

/// Selects the account that a command is about.
#[derive(Args)]
pub(super) struct Whose {
    /// The id of the account. Not needed if there is only one account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

impl Whose {
    pub(super) async fn account(&self, context: &Context) -> Result<AccountId, Error> {
        accounts::choose(context, self.account.as_deref()).await
    }
}

/// Limits the search for an object with an id to one account.
#[derive(Args)]
pub(super) struct Within {
    /// Only look in this account. By default the id alone identifies the object
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

impl Within {
    /// The account in which something new is to be.
    pub(super) async fn account(&self, context: &Context) -> Result<AccountId, Error> {
        accounts::choose(context, self.account.as_deref()).await
    }

    pub(super) async fn holder(
        &self,
        context: &Context,
        thing: Thing<'_>,
    ) -> Result<AccountId, Error> {
        accounts::holder(context, self.account.as_deref(), thing).await
    }
}

/// The addresses of the providers' APIs.
#[derive(Args)]
pub(super) struct ProviderFlags {
    /// URL of Telegram's Bot API, in case you run your own
    #[arg(
        long,
        env = "INBOXD_TELEGRAM_API_URL",
        value_name = "URL",
        value_parser = base_address,
        default_value_t = config::Providers::default().telegram_url,
        help_heading = "Providers"
    )]
    telegram_api_url: String,
    /// URL of Meta's Graph API
    #[arg(
        long,
        env = "INBOXD_GRAPH_API_URL",
        value_name = "URL",
        value_parser = base_address,
        default_value_t = config::Providers::default().graph_url,
        help_heading = "Providers"
    )]
    graph_api_url: String,
    /// URL of Instagram's Graph API
    #[arg(
        long,
        env = "INBOXD_INSTAGRAM_API_URL",
        value_name = "URL",
        value_parser = base_address,
        default_value_t = config::Providers::default().instagram_url,
        help_heading = "Providers"
    )]
    instagram_api_url: String,
}

impl ProviderFlags {
    /// The addresses as configuration.
    pub(super) fn config(&self) -> config::Providers {
        config::Providers {
            telegram_url: self.telegram_api_url.clone(),
            graph_url: self.graph_api_url.clone(),
            instagram_url: self.instagram_api_url.clone(),
            ..config::Providers::default()
        }
    }
}

/// Reads a secret from a file, or from standard input if `file` is `-`. Surrounding white space is removed.
pub(super) fn read_secret(flag: &str, file: &str) -> Result<String, Failure> {
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    match text {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(Failure::Failed(format!("--{flag} {file}: {error}"))),
    }
}

/// Checks the URL under which providers and browsers reach the server. Returns it without a trailing slash.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let host = trimmed
        .strip_prefix("https://")
        .or_else(|| trimmed.strip_prefix("http://"))
        .unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>".contains(&byte);
    if host.is_empty() || host.starts_with('/') || !host.bytes().all(plain) {
        return Err("must be an address like https://inbox.example.com".to_owned());
    }
    Ok(trimmed.to_owned())
}

/// Parses a network. A single address becomes a network of one address. IPv4 addresses that are written as IPv6 are
/// converted to IPv4.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    const RULE: &str = "must be an address or a range, as in 127.0.0.1 or 10.0.0.0/8";
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| RULE.to_owned())?;
    let mapped = match network {
        IpNet::V6(six) => six.addr().to_ipv4_mapped(),
        IpNet::V4(_) => None,
    };
    match (mapped, network.prefix_len().checked_sub(96)) {
        (Some(four), Some(bits)) => Ipv4Net::new(four, bits)
            .map(IpNet::V4)
            .map_err(|_| RULE.to_owned()),
        _ => Ok(network),
    }
}

/// Parses a whole number, 0 or more.
pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse()
        .map_err(|_| "must be a whole number, 0 or more")
}

/// Parses a whole number within these bounds.
pub(super) fn within(text: &str, least: i64, most: i64) -> Result<i64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

/// Parses a duration: a number with the unit `s`, `m`, `h` or `d`. Returns seconds.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    const RULE: &str = "must be a whole number and s, m, h or d, as in 90d";
    let unit = text.chars().last().ok_or(RULE)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(RULE.to_owned()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RULE.to_owned());
    }
    let number: i64 = digits.parse().map_err(|_| RULE.to_owned())?;
    match number.checked_mul(factor) {
        // At most a century: longer durations could lead to years that the API's timestamps cannot express.
        Some(seconds @ 1..=3_153_600_000) => Ok(seconds),
        _ => Err("must be from 1s to 36500d".to_owned()),
    }
}

/// Parses how long a message is tried: at most 30 days.
pub(super) fn send_patience(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        seconds @ 1..=2_592_000 => Ok(Duration::from_secs(seconds.unsigned_abs())),
        _ => Err("must be from 1s to 30d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90d"), Ok(7_776_000));
        assert_eq!(duration("30s"), Ok(30));
        for wrong in ["", "90", "d", "-1d", "1.5h", "0d", "99999999999d", "9ä"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_is_an_address_or_a_range() {
        for (text, network_of) in [
            ("127.0.0.1", "127.0.0.1/32"),
            (" 10.0.0.0/8", "10.0.0.0/8"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(
                network(text).map(|it| it.to_string()).as_deref(),
                Ok(network_of)
            );
        }
        for wrong in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.1:80",
            "10.0.0.0-10.0.0.9",
        ] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_public_url_has_a_scheme_and_a_host() {
        assert_eq!(
            public_url("https://inbox.example.com/").as_deref(),
            Ok("https://inbox.example.com")
        );
        for wrong in [
            "",
            "inbox.example.com",
            "https://",
            "ftp://a",
            "https://a b",
        ] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }
}
