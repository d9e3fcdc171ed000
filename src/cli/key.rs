//! The commands `inboxd key …`.

use super::{
    Global,
    failure::Failure,
    output::{Output, or_dash},
    settings::{Whose, Within, duration, within},
};
use crate::{
    clock::rfc3339,
    domain::{ApiKey, Scope},
    id::KeyId,
    ops::keys::{self, MOST_REQUESTS, NewKey},
    store::accounts::Thing,
};
use clap::Subcommand;
use db::Missing;
use secrecy::ExposeSecret;
use serde_json::json;

#[derive(Subcommand)]
pub(super) enum Key {
    /// Create a key. This is the only time that the key itself is shown
    Create {
        #[command(flatten)]
        whose: Whose,
        /// A name that says what the key is for
        #[arg(long)]
        name: String,
        /// What the key may do: one scope or several, for example read,write
        #[arg(
            long = "scope",
            value_enum,
            default_value = "read",
            value_delimiter = ','
        )]
        scopes: Vec<Scope>,
        /// How long the key is valid, for example 90d, 12h or 30m. By default it never expires
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires_in: Option<i64>,
        /// Requests per minute that the key may make; 0 for no limit. By default the server's limit applies
        #[arg(long, value_name = "N", value_parser = |text: &str| within(text, 0, MOST_REQUESTS))]
        rate_limit: Option<i64>,
    },
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Change a key's rate limit. It applies from the next request on
    Update {
        #[command(flatten)]
        within: Within,
        /// The id of the key (not the key itself)
        id: String,
        /// Requests per minute that the key may make; 0 for no limit, or "default" for the server's limit
        #[arg(long, value_name = "N", value_parser = rate_limit)]
        rate_limit: RateLimit,
    },
    /// Revoke a key. It stops working at once and for good
    Revoke {
        #[command(flatten)]
        within: Within,
        /// The id of the key (not the key itself)
        id: String,
    },
}

impl Key {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let context = global.open(Missing::Fail).await?;
        match self {
            Key::Create {
                whose,
                name,
                scopes,
                expires_in,
                rate_limit,
            } => {
                let account = whose.account(&context).await?;
                let new = NewKey {
                    name: &name,
                    scopes: &scopes,
                    expires_in,
                    rate_limit,
                };
                let (key, secret) = keys::create(&context, &account, &new).await?;
                let mut shown = json!({
                    "id": key.id,
                    "key": secret.expose_secret(),
                    "name": key.name,
                    "scopes": key.scopes,
                    "created_at": rfc3339(key.created_at),
                    "expires_at": key.expires_at.map(rfc3339),
                });
                // Scripts rely on exactly these fields. Only a key with a limit of its own has one more.
                if let Some(limit) = key.rate_limit {
                    shown["rate_limit"] = limit.into();
                }
                output.one(&shown, || {
                    vec![
                        ("id", key.id.to_string()),
                        ("key", secret.expose_secret().to_owned()),
                        ("name", key.name.clone()),
                        ("scopes", scopes_text(&key)),
                        ("created_at", rfc3339(key.created_at)),
                        ("expires_at", or_dash(key.expires_at.map(rfc3339))),
                        ("rate_limit", limit_text(&key)),
                    ]
                })
            }
            Key::List { whose } => {
                let account = whose.account(&context).await?;
                let all = keys::list(&context, &account).await?;
                let columns = [
                    "id",
                    "name",
                    "scopes",
                    "created_at",
                    "expires_at",
                    "rate_limit",
                    "revoked_at",
                    "last_used_at",
                ];
                output.many(&all, &columns, |key| {
                    vec![
                        key.id.to_string(),
                        key.name.clone(),
                        scopes_text(key),
                        rfc3339(key.created_at),
                        or_dash(key.expires_at.map(rfc3339)),
                        limit_text(key),
                        or_dash(key.revoked_at.map(rfc3339)),
                        or_dash(key.last_used_at.map(rfc3339)),
                    ]
                })
            }
            Key::Update {
                within,
                id,
                rate_limit: RateLimit(rate_limit),
            } => {
                let id = KeyId::from_text(id);
                let account = within.holder(&context, Thing::Key(&id)).await?;
                let key = keys::limit(&context, &account, &id, rate_limit).await?;
                output.one(&key, || {
                    vec![
                        ("id", key.id.to_string()),
                        ("name", key.name.clone()),
                        ("rate_limit", limit_text(&key)),
                    ]
                })
            }
            Key::Revoke { within, id } => {
                let id = KeyId::from_text(id);
                let account = within.holder(&context, Thing::Key(&id)).await?;
                let key = keys::revoke(&context, &account, &id).await?;
                output.one(&key, || {
                    vec![
                        ("id", key.id.to_string()),
                        ("name", key.name.clone()),
                        ("revoked_at", or_dash(key.revoked_at.map(rfc3339))),
                    ]
                })
            }
        }
    }
}

fn scopes_text(key: &ApiKey) -> String {
    let names: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(", ")
}

/// A key's limit, in the form that `--rate-limit` accepts.
fn limit_text(key: &ApiKey) -> String {
    match key.rate_limit {
        None => SERVERS_OWN.to_owned(),
        Some(limit) => limit.to_string(),
    }
}

/// Stands for the server's own limit.
const SERVERS_OWN: &str = "default";

/// A parsed rate limit. `None` means the server's own.
#[derive(Clone, Copy)]
pub(super) struct RateLimit(Option<i64>);

fn rate_limit(text: &str) -> Result<RateLimit, String> {
    if text == SERVERS_OWN {
        return Ok(RateLimit(None));
    }
    match text.parse() {
        Ok(limit) => Ok(RateLimit(Some(limit))),
        Err(_) => Err(format!("must be a whole number, or {SERVERS_OWN}")),
    }
}
