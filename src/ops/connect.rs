//! Connecting an inbox: having its provider check the credential, and telling it where to deliver.
//!
//! What a provider is asked is said in the crate `channels`. Deliveries are not here: see `hooks` and `ingest`.
//!
//! Invariant: an inbox is proved only by a provider's clear yes to the credential that is stored when that is written
//! down. Nothing else that a provider does, or fails to do, changes anything here.

use super::{
    Context,
    changes::{Changes, commit},
    credentials,
    events::What,
    found,
    inboxes::{self, Settings, inbox_event, read_settings},
    setup::{self, ProviderReport, Setup},
};
use crate::{
    domain::{Channel, Inbox},
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId},
    store::inboxes as table,
};
use channels::{
    api::Call,
    graph,
    telegram::bot_api::{self, Bot},
};

pub use crate::provider::base_address;

/// Connects an inbox, as far as its type can be, and gives its setup. Telegram: the token is checked, the webhook set, and
/// the inbox proved. WhatsApp and Instagram: the access token is checked, which proves nothing about deliveries. Live
/// chat is connected from the start.
///
/// # Errors
/// [`Error::Conflict`] if the provider refuses, or there is no credential to ask with; [`Error::ProviderAway`] if it
/// gives no clear answer.
pub async fn connect(context: &Context, account: &AccountId, id: &InboxId) -> Result<Setup, Error> {
    let mut session = context.db.read().await?;
    let details = table::find_details(&mut session, account, id).await?;
    let details = found(details, "inbox")?;
    let channel = details.inbox.channel;
    let Some(name) = credential(channel) else {
        drop(session);
        return setup::get(context, account, id).await;
    };
    let token = credentials::find(context, &mut session, account, id, name).await?;
    // Nobody's turn at the store may hang on a provider.
    drop(session);
    let token = token.ok_or_else(|| missing(channel, name))?;
    let settings = read_settings(&details.settings)?;
    match channel {
        Channel::Telegram => {
            let bot = introduce(context, &token, &settings, id).await?;
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

/// The credential with which the provider can be asked.
fn credential(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Telegram => Some("bot_token"),
        Channel::Whatsapp | Channel::Instagram => Some("access_token"),
        Channel::Livechat => None,
    }
}

fn missing(channel: Channel, name: &str) -> Error {
    let rest = match channel {
        Channel::Whatsapp | Channel::Instagram => {
            ". Deliveries do not need one: for those, paste at Meta what the setup says"
        }
        Channel::Telegram | Channel::Livechat => "",
    };
    Error::Conflict(
        Reason::CredentialMissing,
        format!("This inbox has no {name} to ask the provider with{rest}"),
    )
}

/// Asks, and gives a refusal in clear words: `what` is refused.
async fn ask<T>(context: &Context, call: Call<T>, what: &str) -> Result<T, Error> {
    let answer = context.providers.ask(&call).await;
    answer.map_err(|failure| Error::from_provider(call.api, failure, what))
}

/// Has Telegram tell whose the token is, and deliver to us.
async fn introduce(
    context: &Context,
    token: &str,
    settings: &Settings,
    id: &InboxId,
) -> Result<Bot, Error> {
    let bot = ask(context, bot_api::get_me(token), "this bot_token").await?;
    if settings.bot_id.as_ref() != Some(&bot.id) {
        return Err(Error::Conflict(
            Reason::CredentialOfAnother,
            format!(
                "Telegram says that this bot_token is of bot {}, and not of the one that its digits name",
                bot.id
            ),
        ));
    }
    let url = setup::telegram_hook(context, id);
    let secret = context.vault.inbox_token(id);
    let call = bot_api::set_webhook(token, &url, &secret);
    ask(context, call, &format!("the webhook {url}")).await?;
    Ok(bot)
}

/// Notes what Telegram said, if it is still the same token that it said it about.
async fn store_proof(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    token: &str,
    bot: Bot,
) -> Result<(), Error> {
    let mut session = context.db.write().await?;
    // As a change does: from the first look to the commit.
    table::lock(&mut session, &[(account, id)]).await?;
    let details = table::find_details(&mut session, account, id).await?;
    let details = found(details, "inbox")?;
    let now_stored = credentials::find(context, &mut session, account, id, "bot_token").await?;
    if now_stored.as_deref() != Some(token) {
        return Err(Error::Conflict(
            Reason::CredentialReplaced,
            "The bot_token was replaced while Telegram was asked about the old one: connect again"
                .to_owned(),
        ));
    }
    let mut settings = read_settings(&details.settings)?;
    settings.bot_name = Some(bot.name);
    settings.bot_username = bot.username;
    let text = inboxes::write_settings(&settings)?;
    table::set_settings(&mut session, account, id, &text).await?;
    // Made while the transaction is open, so that ids and commits have one order.
    let change = EventId::new(&context.clock);
    let news = table::prove(&mut session, account, id, context.clock.now(), &change).await?;
    let changes = match news {
        true => inbox_event(account, id, change, What::InboxChanged),
        false => Changes::none(),
    };
    commit(context, session, changes).await
}

/// Has Meta check an access token.
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
            // Not compared with ours: Meta writes some countries' numbers in another form.
            let number = ask(context, graph::number(token, number), WHAT).await?;
            report.display_phone_number = number.display;
            report.verified_name = number.verified_name;
        }
        (None, Some(address)) => {
            let owner = ask(context, graph::account(token), WHAT).await?;
            if owner.id != *address {
                let message = match owner.app_scoped_id {
                    Some(id) if id == *address => format!(
                        "{address} is this account's id for one app only, which no delivery carries. Create the inbox with instagram_account_id {}",
                        owner.id
                    ),
                    _ => format!(
                        "Meta says that this access_token is of the Instagram account {}, and not of {address}",
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
