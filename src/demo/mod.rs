//! `serve --demo`: fills a new server with four inboxes and a few messages, and plays their providers (`stand_in`), so that
//! answers can be sent without an account at Meta or Telegram.
//!
//! Invariant: the demonstration uses the same operations and hooks as everybody else. It never writes to the store
//! directly, and nothing of it runs without `--demo`.

mod hooks;
mod provider;
mod report;
mod stand_in;

pub use stand_in::{Running, StandIns};

use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, ConversationId, InboxId},
    ops::{
        Context,
        conversations::{self, Filter, Sort},
        inboxes,
    },
};
use channels::sample::{self, Number, Text};
use hooks::Hooks;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

const APP_SECRET: &str = "demo-app-secret";
// Other addresses than in the examples of the documentation, which can then be tried here.
const NUMBER: Number<'_> = Number {
    business_account_id: "102290129340398",
    phone_number_id: "100000000000001",
    phone_number: "+62812345678",
};
const INSTAGRAM_ACCOUNT: &str = "ig_789";
/// The people who have written before: their ids at the providers, and their names.
const AYU: (u64, &str) = (628_111_111_111, "Ayu");
const BUDI: (u64, &str) = (628_122_222_222, "Budi");
const CITRA: (u64, &str) = (1_784_140_000_000_001, "Citra");
const DEWI: (u64, &str) = (700_000_001, "Dewi");

/// Why the demonstration could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Something that the demonstration asks of the program was refused.
    #[error("the demonstration's inboxes: {0}")]
    Inbox(#[from] Error),
    /// An update could not be sent.
    #[error("the demonstration's updates: {0}")]
    Update(String),
    /// The stand-ins for the providers cannot listen.
    #[error("the demonstration's stand-ins for the providers: {0}")]
    StandIn(#[from] std::io::Error),
}

/// Makes the inboxes and their messages on a server at this address, and has the stand-ins play their providers. Also returns
/// a conversation that can be answered.
pub async fn start(
    context: &Context,
    account: &AccountId,
    server: SocketAddr,
    stand_ins: StandIns,
) -> Result<(Running, ConversationId), DemoError> {
    let (whatsapp, bot) = make_inboxes(context, account, &stand_ins).await?;
    let hooks = Hooks::new(server, &bot, context.vault.inbox_token(&bot));
    greet(&hooks, context.clock.now()).await?;
    let conversation = newest(context, account, &whatsapp).await?;
    Ok((stand_ins.run(hooks, context.clock.clone()), conversation))
}

/// Creates four inboxes, one of each type. Returns WhatsApp's and the bot's.
async fn make_inboxes(
    context: &Context,
    account: &AccountId,
    stand_ins: &StandIns,
) -> Result<(InboxId, InboxId), Error> {
    let token = stand_ins.access_token();
    let whatsapp = json!({"name": "Customer Support", "type": "whatsapp", "phone_number": NUMBER.phone_number,
        "channel": {"phone_number_id": NUMBER.phone_number_id, "app_secret": APP_SECRET, "access_token": token}});
    let instagram = json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": INSTAGRAM_ACCOUNT,
        "channel": {"app_secret": APP_SECRET, "access_token": token}});
    let livechat = json!({"name": "Website", "type": "livechat"});
    let telegram = json!({"name": "Telegram", "type": "telegram", "channel": {"bot_token": stand_ins.bot_token()}});
    let whatsapp = make_inbox(context, account, whatsapp).await?;
    make_inbox(context, account, instagram).await?;
    make_inbox(context, account, livechat).await?;
    Ok((whatsapp, make_inbox(context, account, telegram).await?))
}

async fn make_inbox(context: &Context, account: &AccountId, body: Value) -> Result<InboxId, Error> {
    let body: Map<String, Value> =
        serde_json::from_value(body).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(inboxes::create(context, account, body, None).await?.id)
}

/// Sends what people wrote to the hooks, as their providers would. `now` is in seconds since 1970.
async fn greet(hooks: &Hooks, now: i64) -> Result<(), DemoError> {
    let text = |(from, name), text, ago| Text {
        from,
        name,
        text,
        timestamp: now - ago,
    };
    let said = [
        text(AYU, "Hello! Is the blue one still available?", 60),
        text(BUDI, "Where is my order #1042?", 59),
        text(AYU, "And do you ship to Bandung? \u{1f64f}", 58),
    ];
    for (index, message) in said.into_iter().enumerate() {
        let id = format!("wamid.demo.{index}");
        let update = sample::whatsapp(NUMBER, &id, message);
        hooks.post(Channel::Whatsapp, &update).await?;
    }
    let message = text(CITRA, "Is this one on sale?", 57);
    let update = sample::instagram(INSTAGRAM_ACCOUNT, "mid.demo.0", message);
    hooks.post(Channel::Instagram, &update).await?;
    let message = text(DEWI, "When do you open?", 56);
    let update = sample::telegram(1, message);
    hooks.post(Channel::Telegram, &update).await
}

/// The conversation of an inbox with the newest message.
async fn newest(
    context: &Context,
    account: &AccountId,
    inbox: &InboxId,
) -> Result<ConversationId, Error> {
    #[derive(Deserialize)]
    struct Listed {
        id: ConversationId,
    }
    let first = Sort::Latest.start();
    let of_inbox = Filter {
        inbox: Some(inbox.clone()),
        ..Filter::default()
    };
    let page = conversations::list(context, account, &of_inbox, &first, 1).await?;
    let listed: Listed = serde_json::from_slice(&page.rows)
        .map_err(|error| Error::Internal(format!("no conversation: {error}")))?;
    Ok(listed.id)
}
