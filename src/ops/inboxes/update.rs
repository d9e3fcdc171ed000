//! Changes an inbox.
//!
//! Invariant: a new address is not proved by the proof of an earlier one, and a bot is never replaced by another bot.

use super::{
    InboxChange, Settings, channel_address, claim_address, inbox_event, read_settings, status,
    write_settings,
};
use crate::{
    domain::{Inbox, InboxStatus},
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId, MessageId},
    input::Given,
    ops::{
        Context, credentials,
        events::What,
        found,
        idempotency::{Request, commit_answer},
        transaction::again,
    },
    store::{
        addresses,
        inboxes::{self, Update},
        outbox,
    },
};
use db::Session;
use serde_json::{Map, Value};

/// After how many seconds a message that waits for a new token is sent only if a person says so.
const STALE: u64 = 600;

/// Changes an inbox by the body of `PATCH /inboxes/{id}`.
///
/// # Errors
/// [`Error::Validation`] with all errors of the body; [`Error::Conflict`] if the address is taken, or cannot be changed.
pub async fn update(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    body: Map<String, Value>,
    request: Option<&Request>,
) -> Result<Inbox, Error> {
    again(|| change(context, account, id, body.clone(), request)).await
}

async fn change(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    body: Map<String, Value>,
    request: Option<&Request>,
) -> Result<Inbox, Error> {
    let mut session = context.db.write().await?;
    // Locked from the first read to the commit. Otherwise two changes at the same time could undo each other.
    inboxes::lock(&mut session, &[(account, id)]).await?;
    let details = inboxes::find_details(&mut session, account, id).await?;
    let details = found(details, "inbox")?;
    let mut inbox = details.inbox;
    let change = InboxChange::parse(body, inbox.channel)?;

    let before = read_settings(&details.settings)?;
    let mut settings = before.clone();
    let mut given = Vec::new();
    if let Some(channel) = change.channel {
        if let Some(token) = &channel.bot_token {
            check_bot(&before, token.bot())?;
        }
        given = channel.apply(&mut settings);
    }
    let is_new_token = given.iter().any(|(name, secret)| {
        Some(*name) == credentials::to_call(inbox.channel) && matches!(secret, Given::Value(_))
    });
    let was_stopped = is_new_token && settings.sending_stopped.take().is_some();
    let moved = channel_address(&inbox, &settings) != channel_address(&inbox, &before);
    let proved_at = details.proved_at.filter(|_| !moved);
    if moved || settings.business_account_id != before.business_account_id {
        move_address(&mut session, account, &inbox, [&before, &settings]).await?;
    }
    change.pace.map(|pace| pace.0).apply(&mut settings.pace);
    settings.read_receipts = change.read_receipts.or(settings.read_receipts);
    if let Some(name) = change.name {
        inbox.name = name.0;
    }
    let was_off = inbox.status == InboxStatus::Inactive;
    let off = match change.status {
        Some(switch) => switch.is_off(),
        None => was_off,
    };
    let switched_off_at = off.then(|| context.clock.now());
    inbox.status = status(proved_at, switched_off_at);
    let event = EventId::new(&context.clock);
    let update = Update {
        name: &inbox.name,
        settings: &write_settings(&settings)?,
        proved_at,
        switched_off_at,
        change: &event,
    };
    inboxes::update(&mut session, account, id, &update).await?;
    let mut changes = inbox_event(account, id, event.clone(), What::InboxChanged);
    if is_new_token || was_off && !off {
        if was_stopped {
            // What has waited for long may be out of place by now.
            let before = MessageId::new(&context.clock).earlier(STALE);
            outbox::hold(&mut session, account, id, &before).await?;
        }
        // What held up its messages may be over.
        outbox::wake(&mut session, account, id, context.clock.millis()).await?;
        changes.queued = true;
    }
    credentials::put_all(context, &mut session, account, id, &given).await?;
    commit_answer(context, session, changes, request, &inbox).await?;
    Ok(inbox)
}

/// Gives an inbox the address of its new settings, and frees the old one: the smaller first, so that inboxes that exchange
/// theirs cannot wait for each other.
async fn move_address(
    session: &mut Session,
    account: &AccountId,
    inbox: &Inbox,
    [before, after]: [&Settings; 2],
) -> Result<(), Error> {
    let address = |settings| channel_address(inbox, settings).map_or("", |known| known.address);
    let new = address(after);
    if address(before) <= new {
        addresses::release_but(session, &inbox.id, "").await?;
        return claim_address(session, account, inbox, after).await;
    }
    claim_address(session, account, inbox, after).await?;
    Ok(addresses::release_but(session, &inbox.id, new).await?)
}

/// Returns an error if another bot would replace the inbox's bot. Each bot numbers its messages on its own, so the messages
/// of two bots in one inbox could not be told apart.
fn check_bot(settings: &Settings, other: &str) -> Result<(), Error> {
    match &settings.bot_id {
        Some(bot) if bot != other => Err(Error::Conflict(
            Reason::AddressFixed,
            format!(
                "This inbox belongs to bot {bot}, and channel.bot_token is of bot {other}: create another inbox for that bot"
            ),
        )),
        _ => Ok(()),
    }
}
