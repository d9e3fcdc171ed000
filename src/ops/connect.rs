//! Connects an inbox: has its provider check the credential, and sets the webhook.
//!
//! The crate `channels` builds the calls to providers. `hooks` and `ingest` handle the updates that providers send.
//!
//! Invariant: an inbox is marked as proved only if the provider has clearly accepted the very credential that is stored
//! at that moment. Nothing else that a provider answers, or fails to answer, changes anything here.

use super::{
    Context,
    changes::commit,
    credentials, found,
    inboxes::{self, Settings, read_settings},
    setup::{self, ProviderReport, Setup},
    transaction::again,
};
use crate::{
    domain::{Channel, Inbox},
    error::{Error, Reason},
    id::{AccountId, InboxId},
    store::inboxes as table,
};
use channels::{
    api::Call,
    graph,
    telegram::bot_api::{self, Bot},
};

pub use crate::provider::base_address;

/// Connects an inbox as far as its type allows, and returns its setup. Telegram: the token is checked, the webhook is
/// set, and the inbox is proved. WhatsApp and Instagram: the access token is checked, which proves nothing about
/// updates. Live chat is connected from the start.
///
/// # Errors
/// [`Error::Conflict`] if the provider refuses, or there is no credential to call it with; [`Error::ProviderAway`] if
/// its answer is not clear.
pub async fn connect(context: &Context, account: &AccountId, id: &InboxId) -> Result<Setup, Error> {
    let mut session = context.db.read().await?;
    let details = table::find_details(&mut session, account, id).await?;
    let details = found(details, "inbox")?;
    let channel = details.inbox.channel;
    let Some(name) = credentials::to_call(channel) else {
        drop(session);
        return setup::get(context, account, id).await;
    };
    let token = credentials::find(context, &mut session, account, id, name).await?;
    // A session must not be held while a provider is called.
    drop(session);
    let token = token.ok_or_else(|| missing(id, channel, name))?;
    let settings = read_settings(&details.settings)?;
    match channel {
        Channel::Telegram => {
            let bot = check_bot(context, &token, &settings, id).await?;
            store_proof(context, account, id, &token, bot).await?;
            setup::get(context, account, id).await
        }
        Channel::Whatsapp | Channel::Instagram | Channel::Livechat => {
            let report = check(context, &token, &details.inbox, &settings).await?;
            let mut setup = setup::stored(context, account, id).await?;
            setup.provider = Some(report);
            Ok(setup)
        }
    }
}

fn missing(id: &InboxId, channel: Channel, name: &str) -> Error {
    let rest = match channel {
        Channel::Whatsapp | Channel::Instagram => {
            ". Updates do not need one: to receive them, paste at Meta what the setup shows"
        }
        Channel::Telegram | Channel::Livechat => "",
    };
    Error::Conflict(
        Reason::CredentialMissing,
        format!("Inbox {id} has no {name} to call the provider with{rest}"),
    )
}

/// Calls the provider. In the error of a refusal, `what` names the thing that was refused.
async fn ask<T>(context: &Context, call: Call<T>, what: &str) -> Result<T, Error> {
    let answer = context.providers.ask(&call).await;
    answer.map_err(|failure| Error::from_provider(call.api, failure, what))
}

/// Asks Telegram which bot the token belongs to, and sets the webhook.
async fn check_bot(
    context: &Context,
    token: &str,
    settings: &Settings,
    id: &InboxId,
) -> Result<Bot, Error> {
    let url = setup::telegram_hook(context, id);
    if !url.starts_with("https://") && context.providers.is_telegrams_own() {
        return Err(Error::Conflict(
            Reason::ProviderRefused,
            format!(
                "Telegram delivers to https:// addresses only, and not to {url}: set the server's address with --public-url"
            ),
        ));
    }
    let bot = ask(context, bot_api::get_me(token), "this bot_token").await?;
    if settings.bot_id.as_ref() != Some(&bot.id) {
        return Err(Error::Conflict(
            Reason::CredentialOfAnother,
            format!(
                "Telegram says that this bot_token belongs to bot {}, and not to the bot whose id it starts with",
                bot.id
            ),
        ));
    }
    let secret = context.vault.inbox_token(id);
    let call = bot_api::set_webhook(token, &url, &secret);
    ask(context, call, &format!("the webhook {url}")).await?;
    Ok(bot)
}

/// Stores Telegram's answer, unless the token was replaced in the meantime.
async fn store_proof(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    token: &str,
    bot: Bot,
) -> Result<(), Error> {
    again(|| async {
        let mut session = context.db.write().await?;
        // Locked from the first read to the commit, as in every change of an inbox.
        table::lock(&mut session, &[(account, id)]).await?;
        let details = table::find_details(&mut session, account, id).await?;
        let details = found(details, "inbox")?;
        let now_stored = credentials::find(context, &mut session, account, id, "bot_token").await?;
        if now_stored.as_deref() != Some(token) {
            return Err(Error::Conflict(
                Reason::CredentialReplaced,
                "The bot_token was replaced while Telegram was checking the old one: connect again"
                    .to_owned(),
            ));
        }
        let mut settings = read_settings(&details.settings)?;
        settings.bot_name = Some(bot.name.clone());
        settings.bot_username = bot.username.clone();
        let text = inboxes::write_settings(&settings)?;
        table::set_settings(&mut session, account, id, &text).await?;
        let changes = inboxes::prove(context, &mut session, account, id).await?;
        commit(context, session, changes).await
    })
    .await
}

/// Asks Meta to check an access token.
async fn check(
    context: &Context,
    token: &str,
    inbox: &Inbox,
    settings: &Settings,
) -> Result<ProviderReport, Error> {
    const WHAT: &str = "this access_token";
    let mut report = ProviderReport {
        checked: Some("access_token"),
        ..ProviderReport::default()
    };
    match (&settings.phone_number_id, &inbox.instagram_account_id) {
        (Some(number), _) => {
            // The number is not compared with ours: Meta writes the numbers of some countries in a different form.
            let number = ask(context, graph::number(token, number), WHAT).await?;
            report.display_phone_number = number.display;
            report.verified_name = number.verified_name;
        }
        (None, Some(address)) => {
            let owner = ask(context, graph::account(token), WHAT).await?;
            if owner.id != *address {
                let message = match owner.app_scoped_id {
                    Some(id) if id == *address => format!(
                        "{address} is this account's id for one app only, which no update contains. Create the inbox with instagram_account_id {}",
                        owner.id
                    ),
                    _ => format!(
                        "Meta says that this access_token belongs to the Instagram account {}, and not to {address}",
                        owner.id
                    ),
                };
                return Err(Error::Conflict(Reason::CredentialOfAnother, message));
            }
            report.username = owner.username;
        }
        (None, None) => {
            return Err(Error::Internal(format!(
                "inbox {} has no address",
                inbox.id
            )));
        }
    }
    Ok(report)
}
