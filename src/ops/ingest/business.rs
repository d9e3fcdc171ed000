//! Stores changes of business accounts at their provider, as they were received.
//!
//! Invariant: an account keeps only the latest [`MOST`] of them.

use super::arrival::{Arrival, Outcome};
use crate::{
    error::Error,
    id::{AccountId, BusinessChangeId},
    ops::Context,
    store::business::{self, NewChange},
};
use channels::{BusinessChange, Item, Moment};
use data_encoding::HEXLOWER;
use db::Session;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// How many changes an account keeps.
const MOST: i64 = 1000;

/// Stores each change once.
pub(super) async fn store(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<(), Error> {
    let mut changes = Vec::new();
    for (update, arrivals) in batch.iter().enumerate() {
        for arrival in arrivals {
            for item in &arrival.items {
                if let Item::Business(change) = item {
                    let new = new(context, &arrival.account, change, now);
                    changes.push((update, new));
                }
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    // Sorted, so that two nodes cannot deadlock.
    changes.sort_by(|(_, a), (_, b)| a.hash.cmp(&b.hash));
    let rows: Vec<_> = changes.iter().map(|(_, change)| change).collect();
    let mut fresh = business::insert_each(session, &rows).await?;
    let mut accounts = BTreeSet::new();
    for (update, change) in &changes {
        // The same change may be in a batch twice.
        if fresh.remove(&change.hash) {
            outcomes[*update].changes += 1;
            accounts.insert(change.account);
        } else {
            outcomes[*update].known += 1;
        }
    }
    for account in accounts {
        business::keep_latest(session, account, MOST).await?;
    }
    Ok(())
}

fn new<'a>(
    context: &Context,
    account: &'a AccountId,
    change: &'a BusinessChange,
    now: i64,
) -> NewChange<'a> {
    let moment = change.timestamp.unwrap_or(Moment::seconds(0));
    let mut hash = Sha256::new();
    for text in [account.as_str(), &change.business_account_id, &change.field] {
        hash.update(text);
        hash.update([0]);
    }
    hash.update(moment.seconds.to_be_bytes());
    hash.update(moment.millis.to_be_bytes());
    hash.update(change.value.as_str());
    NewChange {
        account,
        id: BusinessChangeId::new(&context.clock),
        business_account_id: &change.business_account_id,
        field: &change.field,
        value: change.value.as_str(),
        hash: HEXLOWER.encode(&hash.finalize()),
        timestamp: change.timestamp.map_or(now, |moment| moment.seconds),
        received_at: now,
    }
}
