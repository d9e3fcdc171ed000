//! Deliveries that were set aside: looking at them, reading them again, dropping them.
//!
//! Invariant: a replay stores what can be read now, once, and removes the entry in the same transaction.

use super::{
    Context,
    changes::{Changes, commit},
    found,
    hooks::{by_address, format},
    ingest::{self, Arrival, Outcome, Source},
};
use crate::{
    domain::Channel,
    error::{Error, Reason},
    id::{AccountId, QuarantineId},
    store::{
        inboxes,
        quarantine::{self, Entry},
    },
};
use channels::{Delivery, Item};
use std::sync::Arc;

/// What was set aside after an entry (or at all), oldest first: at most `limit`.
pub async fn list(
    context: &Context,
    account: &AccountId,
    after: Option<&QuarantineId>,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let start = QuarantineId::from_text("");
    let mut session = context.db.read().await?;
    Ok(quarantine::list(&mut session, account, after.unwrap_or(&start), limit).await?)
}

/// One entry.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<Entry, Error> {
    let mut session = context.db.read().await?;
    let entry = quarantine::find(&mut session, account, id).await?;
    found(entry, "quarantined delivery")
}

/// Drops an entry for good.
pub async fn discard(
    context: &Context,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<(), Error> {
    let mut session = context.db.write().await?;
    let gone = quarantine::delete(&mut session, account, id).await?;
    found(gone.then_some(()), "quarantined delivery")?;
    commit(context, session, Changes::none()).await
}

/// Reads an entry again. What can be understood now is stored; the entry goes if nothing of it is left, and the
/// outcome's `quarantined` is then 0.
pub async fn replay(
    context: &Context,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<Outcome, Error> {
    let entry = get(context, account, id).await?;
    let mut session = context.db.write().await?;
    let details = inboxes::find_details(&mut session, account, &entry.inbox).await?;
    let details = found(details, "inbox")?;
    let format = format(entry.channel).ok_or_else(|| {
        Error::Conflict(
            Reason::Unreadable,
            "This channel's deliveries cannot be replayed".into(),
        )
    })?;
    let address = match entry.channel {
        Channel::Whatsapp => super::inboxes::read_settings(&details.settings)?.phone_number_id,
        Channel::Instagram => details.inbox.instagram_account_id,
        Channel::Telegram | Channel::Livechat => None,
    };
    let items = match (format.parse)(&entry.body) {
        Ok(delivery) => items_for(delivery, address.as_deref()),
        Err(malformed) => {
            let reason = malformed.reason;
            return Err(Error::Conflict(
                Reason::Unreadable,
                format!("It still cannot be read: {reason}"),
            ));
        }
    };
    let unreadable = |item: &Item| matches!(item, Item::Unreadable { .. });
    let left = items.iter().filter(|item| unreadable(item));
    let left = left.map(Item::count).sum();
    let arrival = Arrival {
        source: Arc::new(Source::default()),
        account: account.clone(),
        inbox: entry.inbox.clone(),
        channel: entry.channel,
        proved: true,
        items: items.into_iter().filter(|item| !unreadable(item)).collect(),
    };
    let (outcomes, changes) = ingest::store_in(context, &mut session, &[&[arrival]]).await?;
    if left == 0 {
        quarantine::delete(&mut session, account, id).await?;
    }
    commit(context, session, changes).await?;
    let mut outcome = outcomes.into_iter().next().unwrap_or_default();
    outcome.quarantined = left;
    Ok(outcome)
}

/// What a delivery says to one address: other parts of it went to other inboxes, or to none. Without an address all of
/// it is for the inbox that the URL named.
fn items_for(delivery: Delivery, address: Option<&str>) -> Vec<Item> {
    let Some(own) = address else {
        let parts = delivery.parts.into_iter();
        return parts.flat_map(|part| part.items).collect();
    };
    let parts = by_address(delivery, own).into_iter();
    let own = parts.filter(|(address, _)| address == own);
    own.flat_map(|(_, items)| items).collect()
}

/// How many deliveries are set aside on the whole server. Nobody needs to know more than that there are 10,000.
pub async fn count(context: &Context) -> Result<i64, Error> {
    Ok(quarantine::count(&mut context.db.read().await?).await?)
}
