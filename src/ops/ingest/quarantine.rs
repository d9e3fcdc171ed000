//! Stores updates with unreadable items in quarantine.
//!
//! Invariant: the same update is in an inbox's quarantine at most once.

use super::arrival::{Arrival, Outcome};
use crate::{error::Error, id::QuarantineId, ops::Context, store::quarantine};
use channels::Item;
use db::Session;
use sha2::{Digest, Sha256};

/// Stores each update with unreadable items. It is stored as a whole, since an item alone may not be enough to read it later.
pub(super) async fn store(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<(), Error> {
    for (update, arrivals) in batch.iter().enumerate() {
        // All of them are of one update, which may be long.
        let mut hash = None;
        for arrival in arrivals {
            let mut first = None;
            let mut items = 0;
            for item in &arrival.items {
                if let Item::Unreadable { reason, count } = item {
                    first = first.or(Some(reason));
                    items += count;
                }
            }
            let Some(reason) = first else {
                continue;
            };
            let source = &arrival.source;
            let entry = quarantine::NewEntry {
                id: QuarantineId::new(&context.clock),
                account: &arrival.account,
                inbox: &arrival.inbox,
                channel: arrival.channel,
                reason,
                headers: &source.headers,
                body: &source.body,
                body_hash: *hash.get_or_insert_with(|| Sha256::digest(&source.body).into()),
                received_at: now,
            };
            if quarantine::insert(session, &entry).await? {
                tracing::warn!(inbox = %arrival.inbox, %reason, "an update is in quarantine");
                outcomes[update].quarantined += items;
            } else {
                outcomes[update].known += items;
            }
        }
    }
    Ok(())
}
