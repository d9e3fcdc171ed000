//! What a business must paste at its provider, what proof is still missing, and how the provider itself sees it.
//!
//! Connecting is not here: see `connect`.
//!
//! Invariant: a provider that does not answer, or says no, never keeps anybody from seeing the rest.

use super::{Context, credentials, found, inboxes::read_settings, livechat};
use crate::{
    clock,
    domain::{Channel, InboxStatus},
    error::Error,
    id::{AccountId, InboxId},
    store::{inboxes, secrets},
};
use channels::telegram::bot_api::get_webhook_info;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How to connect an inbox. Keys that do not apply to its type are absent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Setup {
    /// The inbox.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: InboxId,
    /// Its type.
    #[serde(rename = "type")]
    pub channel: Channel,
    /// Its status.
    pub status: InboxStatus,
    /// The URL that the provider is to call (whatsapp, instagram, telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://inbox.example.com/hooks/whatsapp", nullable = false)]
    pub webhook_url: Option<String>,
    /// What to paste as "Verify token" at Meta (whatsapp, instagram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verify_token: Option<String>,
    /// The `secret_token` for Telegram's `setWebhook` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret_token: Option<String>,
    /// What to paste into the website (livechat).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub embed_snippet: Option<String>,
    /// The key under which the website vouches for a logged-in visitor, with HMAC-SHA256 over its user id (livechat).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub identity_secret: Option<String>,
    /// Where the chat may be embedded (livechat). Absent if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allowed_origins: Option<Vec<String>>,
    /// The number's id at Meta (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub phone_number_id: Option<String>,
    /// The business account's id at Meta, if it is set (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub business_account_id: Option<String>,
    /// The bot's display name at Telegram, once it was connected with `connect` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bot_name: Option<String>,
    /// Its user name, without `@` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bot_username: Option<String>,
    /// Which credentials are set. Their values are never shown.
    pub credentials: BTreeMap<&'static str, bool>,
    /// When the channel proved that it works; absent until then.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub proved_at: Option<i64>,
    /// What proof is still missing, in words; absent once nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub missing_proof: Option<&'static str>,
    /// How the provider itself sees it, asked for this answer: telegram once it was connected with `connect`; whatsapp and
    /// instagram only in the answer to `connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub provider: Option<ProviderReport>,
}

/// What a provider says about an inbox. Keys of which it says nothing are absent.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ProviderReport {
    /// The credential that the provider has just accepted. Absent if it did not, or could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "bot_token", nullable = false)]
    pub checked: Option<&'static str>,
    /// Where the provider delivers to (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub webhook_url: Option<String>,
    /// Whether that is this inbox's `webhook_url` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub webhook_matches: Option<bool>,
    /// How many updates wait to be delivered (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub pending_update_count: Option<i64>,
    /// When a delivery last failed (telegram).
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub last_error_at: Option<i64>,
    /// Why it failed, in the provider's words (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_error_message: Option<String>,
    /// The number as Meta writes it (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub display_phone_number: Option<String>,
    /// The business's name that Meta has verified (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verified_name: Option<String>,
    /// The account's user name (instagram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// Why the provider says nothing: it refuses, or could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
}

/// How to connect this inbox, and how its provider sees it.
pub async fn get(context: &Context, account: &AccountId, id: &InboxId) -> Result<Setup, Error> {
    let mut setup = stored(context, account, id).await?;
    if setup.bot_name.is_some() {
        setup.provider = telegram_report(context, account, id).await?;
    }
    Ok(setup)
}

/// How to connect this inbox, without asking anybody.
pub(super) async fn stored(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
) -> Result<Setup, Error> {
    let mut session = context.db.read().await?;
    let details = inboxes::find_details(&mut session, account, id).await?;
    let details = found(details, "inbox")?;
    let set = secrets::names(&mut session, account, id).await?;
    let settings = read_settings(&details.settings)?;
    let channel = details.inbox.channel;
    let url = &context.public_url;
    let webhook_url = match channel {
        Channel::Whatsapp | Channel::Instagram => Some(format!("{url}/hooks/{}", channel.as_str())),
        Channel::Telegram => Some(telegram_hook(context, id)),
        Channel::Livechat => None,
    };
    let of_meta = matches!(channel, Channel::Whatsapp | Channel::Instagram);
    Ok(Setup {
        id: id.clone(),
        channel,
        status: details.inbox.status,
        webhook_url,
        verify_token: of_meta.then(|| context.vault.verify_token(id)),
        secret_token: (channel == Channel::Telegram).then(|| context.vault.inbox_token(id)),
        embed_snippet: (channel == Channel::Livechat)
            .then(|| format!("<script async src=\"{url}/livechat/{id}/widget.js\"></script>")),
        identity_secret: (channel == Channel::Livechat)
            .then(|| livechat::identity_secret(context, id)),
        allowed_origins: settings.allowed_origins,
        phone_number_id: settings.phone_number_id,
        business_account_id: settings.business_account_id,
        bot_name: settings.bot_name,
        bot_username: settings.bot_username,
        credentials: credentials(channel)
            .iter()
            .map(|name| (*name, set.iter().any(|have| have == name)))
            .collect(),
        proved_at: details.proved_at,
        missing_proof: details.proved_at.is_none().then(|| missing_proof(channel)),
        provider: None,
    })
}

/// The URL to which Telegram delivers what is for this inbox.
pub(super) fn telegram_hook(context: &Context, id: &InboxId) -> String {
    format!("{}/hooks/telegram/{id}", context.public_url)
}

/// How Telegram's deliveries go, in its own words. `None` if there is no token to ask with.
async fn telegram_report(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
) -> Result<Option<ProviderReport>, Error> {
    let mut session = context.db.read().await?;
    let token = credentials::find(context, &mut session, account, id, "bot_token").await?;
    // Nobody's turn at the store may hang on a provider.
    drop(session);
    let Some(token) = token else {
        return Ok(None);
    };
    let call = get_webhook_info(&token);
    let report = match context.providers.look(&call).await {
        Ok(webhook) => ProviderReport {
            checked: Some("bot_token"),
            webhook_matches: Some(webhook.url == Some(telegram_hook(context, id))),
            webhook_url: webhook.url,
            pending_update_count: Some(webhook.pending),
            last_error_at: webhook.last_error_at,
            last_error_message: webhook.last_error,
            ..ProviderReport::default()
        },
        Err(failure) => {
            let error = Error::from_provider(call.api, failure, "this bot_token");
            if let Some(cause) = error.cause() {
                tracing::warn!(inbox = %id, cause, "a provider could not be asked");
            }
            ProviderReport {
                error: Some(error.to_string()),
                ..ProviderReport::default()
            }
        }
    };
    Ok(Some(report))
}

/// The credentials that a type can have.
fn credentials(channel: Channel) -> &'static [&'static str] {
    match channel {
        Channel::Whatsapp | Channel::Instagram => &["app_secret", "access_token"],
        Channel::Telegram => &["bot_token"],
        Channel::Livechat => &[],
    }
}

fn missing_proof(channel: Channel) -> &'static str {
    match channel {
        Channel::Whatsapp | Channel::Instagram => {
            "Meta's verification request with this verify token, or a first correctly signed delivery"
        }
        Channel::Telegram => {
            "that Telegram accepts the webhook (connect), or a first delivery with this secret token"
        }
        Channel::Livechat => "none",
    }
}
