//! Quarantined updates: correctly signed, but not readable. Lists them, reads them again, and deletes them.
//!
//! Invariant: a replay stores each part that can be read now once, and deletes the entry with the last of it.

use super::{
    Context,
    changes::{Changes, commit},
    found,
    hooks::{by_address, format},
    ingest::{self, Arrival, Outcome, Source},
    joins,
    transaction::again,
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
use channels::{Item, Update};
use std::{slice, sync::Arc};

/// The quarantined updates after an entry, or from the start, oldest first. At most `limit`.
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

/// One quarantined update, and its body.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<(Entry, Vec<u8>), Error> {
    let mut session = context.db.read().await?;
    let entry = quarantine::find(&mut session, account, id).await?;
    found(entry, "quarantined update")
}

/// Deletes a quarantined update for good.
pub async fn discard(
    context: &Context,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<(), Error> {
    again(|| async {
        let mut session = context.db.write().await?;
        let gone = quarantine::delete(&mut session, account, id).await?;
        found(gone.then_some(()), "quarantined update")?;
        commit(context, session, Changes::none()).await
    })
    .await
}

/// Reads a quarantined update again, and stores what can be read now. The entry is deleted if no unreadable part is
/// left; the outcome's `quarantined` is 0 then.
pub async fn replay(
    context: &Context,
    account: &AccountId,
    id: &QuarantineId,
) -> Result<Outcome, Error> {
    let (entry, body) = get(context, account, id).await?;
    let mut session = context.db.read().await?;
    let details = inboxes::find_details(&mut session, account, &entry.inbox).await?;
    drop(session);
    let details = found(details, "inbox")?;
    let format = format(entry.channel).ok_or_else(|| {
        Error::Conflict(
            Reason::Unreadable,
            "Updates of this channel cannot be replayed".into(),
        )
    })?;
    let address = match entry.channel {
        Channel::Whatsapp => super::inboxes::read_settings(&details.settings)?.phone_number_id,
        Channel::Instagram => details.inbox.instagram_account_id,
        Channel::Telegram | Channel::Livechat => None,
    };
    // One that names no inbox is for the inbox whose quarantine it is in: a person has looked at it.
    let named = (format.unaddressed)(&body).is_none();
    let address = address.filter(|_| named);
    let items = match (format.parse)(&body) {
        Ok(update) => items_for(update, address.as_deref()),
        Err(malformed) => {
            let reason = malformed.reason;
            return Err(Error::Conflict(
                Reason::Unreadable,
                format!("The update still cannot be read: {reason}"),
            ));
        }
    };
    let unreadable = |item: &Item| matches!(item, Item::Unreadable { .. });
    let left = items.iter().filter(|item| unreadable(item));
    let left = left.map(Item::count).sum();
    let mut items: Vec<_> = items.into_iter().filter(|item| !unreadable(item)).collect();
    let mut outcome = Outcome::default();
    loop {
        // Others can write in between.
        let rest = items.split_off(items.len().min(ingest::PIECE));
        let last = rest.is_empty();
        let arrival = Arrival {
            source: Arc::new(Source::default()),
            account: account.clone(),
            inbox: entry.inbox.clone(),
            channel: entry.channel,
            proved: true,
            items,
        };
        let batch = [slice::from_ref(&arrival)];
        let stored = again(|| async {
            let mut session = context.db.write().await?;
            let stored = ingest::store_in(context, &mut session, &batch).await?;
            let mut stored = stored.ok_or_else(ingest::contention)?;
            if last && left == 0 {
                quarantine::delete(&mut session, account, id).await?;
            }
            commit(context, session, std::mem::take(&mut stored.changes)).await?;
            Ok(stored)
        })
        .await?;
        joins::carry_out(context, &stored.joins).await;
        stored.outcomes.into_iter().for_each(|one| outcome.add(one));
        if last {
            break;
        }
        items = rest;
    }
    outcome.quarantined = left;
    Ok(outcome)
}

/// The parts of an update that are for one address. Its other parts belong to other inboxes, or to none. Without an
/// address the whole update is for the inbox that the URL named.
fn items_for(update: Update, address: Option<&str>) -> Vec<Item> {
    let Some(own) = address else {
        let parts = update.parts.into_iter();
        return parts.flat_map(|part| part.items).collect();
    };
    let parts = by_address(update, own).into_iter();
    let own = parts.filter(|(address, _)| address == own);
    own.flat_map(|(_, items)| items).collect()
}

/// The number of quarantined updates on the whole server. It is not counted beyond 10,000.
pub async fn count(context: &Context) -> Result<i64, Error> {
    Ok(quarantine::count(&mut context.db.read().await?).await?)
}
