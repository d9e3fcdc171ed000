//! The setup of an inbox: what to paste at its provider, which proof is missing, and what the provider reports.
//!
//! `connect` changes things at the provider; this module only reads.
//!
//! Invariant: if a provider does not answer, or refuses, the rest of the setup is still shown.

use super::{
    Context, credentials, found,
    inboxes::{SendingStopped, Settings, read_settings},
    livechat,
};
use crate::{
    clock,
    domain::{Channel, Inbox, InboxStatus, ReadReceipts},
    error::Error,
    id::{AccountId, InboxId},
    store::{inboxes, secrets},
};
use channels::telegram::bot_api::get_webhook_info;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What is needed to connect an inbox. Keys that do not apply to its type are absent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Setup {
    /// The id of the inbox.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: InboxId,
    /// The type of the inbox.
    #[serde(rename = "type")]
    pub channel: Channel,
    /// The status of the inbox.
    pub status: InboxStatus,
    /// The URL for the provider to call (whatsapp, instagram, telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://inbox.example.com/hooks/whatsapp", nullable = false)]
    pub webhook_url: Option<String>,
    /// The text to paste as "Verify token" at Meta (whatsapp, instagram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verify_token: Option<String>,
    /// The `secret_token` for Telegram's `setWebhook` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret_token: Option<String>,
    /// The HTML to paste into the website (livechat). The script that it names is not part of this version: until then a
    /// page of your own speaks the live-chat protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub embed_snippet: Option<String>,
    /// The key with which the website proves who a logged-in visitor is: `user_hash` is the HMAC-SHA256 of the
    /// visitor's user id under this key (livechat).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub identity_secret: Option<String>,
    /// The origins of pages that may embed the chat (livechat). Absent if every page may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allowed_origins: Option<Vec<String>>,
    /// The phone number's id at Meta (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub phone_number_id: Option<String>,
    /// The business account's id at Meta, if it is set (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub business_account_id: Option<String>,
    /// The bot's display name at Telegram. Absent until the inbox is connected with `connect` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bot_name: Option<String>,
    /// The bot's user name, without `@` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bot_username: Option<String>,
    /// Which credentials are set. Their values are never shown.
    pub credentials: BTreeMap<&'static str, bool>,
    /// When the channel proved that it works. Absent until then.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub proved_at: Option<i64>,
    /// The proof that is still missing, in words. Absent once the channel has proved that it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub missing_proof: Option<&'static str>,
    /// How many messages are sent in a second at most, if you have said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub pace: Option<i64>,
    /// When contacts are shown that their messages were read, if you have said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub read_receipts: Option<ReadReceipts>,
    /// Since when nothing is sent from the inbox, and why: the provider refuses everything until a person has done something
    /// about it. Absent while messages are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sending: Option<SendingStopped>,
    /// What looks unlike what the provider gives, and may be the reason why no update arrives. Absent if nothing does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the provider itself reports, read for this answer. For telegram, once the inbox was connected with
    /// `connect`. For whatsapp and instagram, only in the answer to `connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub provider: Option<ProviderReport>,
}

/// What a provider reports about an inbox. Keys without information are absent.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ProviderReport {
    /// The credential that the provider has just accepted. Absent if it was refused, or the provider could not be
    /// reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "bot_token", nullable = false)]
    pub checked: Option<&'static str>,
    /// The webhook URL that is set at the provider (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub webhook_url: Option<String>,
    /// True if that is this inbox's `webhook_url` (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub webhook_matches: Option<bool>,
    /// How many updates are waiting to be sent to the webhook (telegram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub pending_update_count: Option<i64>,
    /// When sending an update last failed (telegram).
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
    /// The phone number as Meta writes it (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub display_phone_number: Option<String>,
    /// The business name that Meta has verified (whatsapp).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verified_name: Option<String>,
    /// The account's user name (instagram).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// Why there is no report: the provider refused, or could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
}

/// The setup of an inbox, with its provider's report.
pub async fn get(context: &Context, account: &AccountId, id: &InboxId) -> Result<Setup, Error> {
    let mut setup = stored(context, account, id).await?;
    if setup.bot_name.is_some() {
        setup.provider = telegram_report(context, account, id).await?;
    }
    Ok(setup)
}

/// The setup of an inbox, without calling the provider.
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
    let secret = credentials::find(context, &mut session, account, id, "app_secret").await?;
    let warnings = warnings(&details.inbox, &settings, secret.as_deref());
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
        pace: settings.pace,
        read_receipts: settings.read_receipts,
        sending: settings.sending_stopped,
        warnings,
        provider: None,
    })
}

/// What looks unlike Meta's own. It may be right all the same: Meta promises no form.
fn warnings(inbox: &Inbox, settings: &Settings, app_secret: Option<&str>) -> Vec<String> {
    let ids = [
        ("phone_number_id", &settings.phone_number_id),
        ("business_account_id", &settings.business_account_id),
        ("instagram_account_id", &inbox.instagram_account_id),
    ];
    let long_number = |id: &str| id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_digit());
    let odd = ids
        .into_iter()
        .filter_map(|(name, id)| Some((name, id.as_deref()?)));
    let odd = odd.filter(|(_, id)| !long_number(id));
    let mut warnings: Vec<_> = odd
        .map(|(name, _)| format!("{name} looks unlike Meta's ids, which are long numbers"))
        .collect();
    let secret = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if app_secret.is_some_and(|text| !secret(text)) {
        warnings.push("app_secret looks unlike Meta's, which are 32 hex digits".to_owned());
    }
    warnings
}

/// The webhook URL of a Telegram inbox.
pub(super) fn telegram_hook(context: &Context, id: &InboxId) -> String {
    format!("{}/hooks/telegram/{id}", context.public_url)
}

/// Telegram's report on the webhook. `None` if there is no token to call Telegram with.
async fn telegram_report(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
) -> Result<Option<ProviderReport>, Error> {
    let mut session = context.db.read().await?;
    let token = credentials::find(context, &mut session, account, id, "bot_token").await?;
    // A session must not be held while a provider is called.
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
                tracing::warn!(inbox = %id, cause, "a provider could not be reached");
            }
            ProviderReport {
                error: Some(error.to_string()),
                ..ProviderReport::default()
            }
        }
    };
    Ok(Some(report))
}

/// The credentials that an inbox of this type can have.
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
            "Meta's verification request with this verify token, or a first correctly signed update"
        }
        Channel::Telegram => {
            "Telegram's acceptance of the webhook (connect), or a first update with this secret token"
        }
        Channel::Livechat => "none",
    }
}
