//! What a business must paste at its provider, and what proof is still missing.

use super::{Context, found, inboxes::read_settings, livechat};
use crate::{
    clock,
    domain::{Channel, InboxStatus},
    error::Error,
    id::{AccountId, InboxId},
    store::{inboxes, secrets},
};
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
}

/// How to connect this inbox.
pub async fn get(context: &Context, account: &AccountId, id: &InboxId) -> Result<Setup, Error> {
    let mut session = context.db.read().await?;
    let details = inboxes::find_details(&mut session, account, id).await?;
    let details = found(details, "inbox")?;
    let set = secrets::names(&mut session, account, id).await?;
    let settings = read_settings(&details.settings)?;
    let channel = details.inbox.channel;
    let url = &context.public_url;
    let webhook_url = match channel {
        Channel::Whatsapp | Channel::Instagram => Some(format!("{url}/hooks/{}", channel.as_str())),
        Channel::Telegram => Some(format!("{url}/hooks/telegram/{id}")),
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
        credentials: credentials(channel)
            .iter()
            .map(|name| (*name, set.iter().any(|have| have == name)))
            .collect(),
        proved_at: details.proved_at,
        missing_proof: details.proved_at.is_none().then(|| missing_proof(channel)),
    })
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
        Channel::Telegram => "a first delivery with this secret token",
        Channel::Livechat => "none",
    }
}
