//! Stores a batch of updates in one transaction.
//!
//! The part of each noun is in a file of its own beside this one.
//!
//! Invariant: rows are locked in one order (inboxes, contacts, conversations, messages, and by key among each of these), so
//! that two nodes cannot deadlock.

use super::{
    arrival::{Arrival, Outcome},
    business, contacts, conversations, incoming, message_changes, messages, own, quarantine,
};
use crate::{
    error::Error,
    id::EventId,
    ops::{
        Context,
        changes::{Changes, commit},
        events::{Event, What},
        joins,
        transaction::again,
    },
    store::{inboxes, joins::Join},
};
use db::Session;
use std::collections::{BTreeMap, HashSet};

/// How often a batch is tried again because another node has changed the same contacts. That node makes progress each time.
const ATTEMPTS: usize = 10;

/// Stores a batch in one transaction, and announces its changes after the commit. Returns the outcome of each update.
pub(super) async fn store(context: &Context, batch: &[&[Arrival]]) -> Result<Vec<Outcome>, Error> {
    again(|| async {
        for _ in 0..ATTEMPTS {
            let mut session = context.db.write().await?;
            if let Some(stored) = store_in(context, &mut session, batch).await? {
                commit(context, session, stored.changes).await?;
                joins::carry_out(context, &stored.joins).await;
                return Ok(stored.outcomes);
            }
        }
        Err(contention())
    })
    .await
}

/// The error if other nodes have changed the same contacts each time.
pub(in crate::ops) fn contention() -> Error {
    Error::Unavailable("other nodes write of the same people".into())
}

/// A batch that is stored, but not committed yet.
pub(in crate::ops) struct Stored {
    /// The outcome of each update.
    pub(in crate::ops) outcomes: Vec<Outcome>,
    /// The changes to announce with the commit.
    pub(in crate::ops) changes: Changes,
    /// The contacts to join after the commit.
    pub(in crate::ops) joins: Vec<Join>,
}

/// Stores a batch in an open transaction. `None` if another node has changed the same contacts: then the transaction must be
/// rolled back.
pub(in crate::ops) async fn store_in(
    context: &Context,
    session: &mut Session,
    batch: &[&[Arrival]],
) -> Result<Option<Stored>, Error> {
    let now = context.clock.now();
    let mut outcomes = vec![Outcome::default(); batch.len()];
    let batch = lock_inboxes(session, batch, &mut outcomes).await?;
    let (batch, adoptions) = own::recognise(session, batch, now, &mut outcomes).await?;
    let batch: Vec<Vec<&Arrival>> = batch
        .iter()
        .map(|arrivals| arrivals.iter().map(AsRef::as_ref).collect())
        .collect();
    let batch = batch.as_slice();
    let mut changes = Changes::of(prove_inboxes(context, session, batch, now).await?);
    let mut incoming = incoming::sort(session, batch, &mut outcomes).await?;
    let new = &mut incoming.new;
    let resolved = contacts::resolve(context, session, batch, new, now, &mut outcomes).await?;
    let Some(resolved) = resolved else {
        return Ok(None);
    };
    changes.add(Changes::of(resolved.events));
    conversations::resolve(context, session, &mut incoming.new, now).await?;
    conversations::block(session, &resolved.blocks, &mut outcomes).await?;
    let created = messages::store(context, session, &incoming.new, now, &mut outcomes).await?;
    changes.add(created);
    let filled = messages::fill(context, session, incoming.fuller, now, &mut outcomes).await?;
    changes.add(Changes::of(filled));
    let changed = message_changes::store(context, session, batch, now, &mut outcomes).await?;
    changes.add(Changes::of(changed));
    business::store(context, session, batch, now, &mut outcomes).await?;
    own::adopt(session, &adoptions, now).await?;
    quarantine::store(context, session, batch, now, &mut outcomes).await?;
    Ok(Some(Stored {
        outcomes,
        changes,
        joins: resolved.joins,
    }))
}

/// Locks the inboxes of a batch, and leaves out the parts for deleted inboxes.
async fn lock_inboxes<'a>(
    session: &mut Session,
    batch: &[&'a [Arrival]],
    outcomes: &mut [Outcome],
) -> Result<Vec<Vec<&'a Arrival>>, Error> {
    let to = |arrival: &'a Arrival| (&arrival.account, &arrival.inbox);
    let mut inboxes: Vec<_> = batch.iter().copied().flatten().map(to).collect();
    inboxes.sort_unstable();
    inboxes.dedup();
    let there = inboxes::lock(session, &inboxes).await?;
    let there: HashSet<_> = inboxes
        .into_iter()
        .zip(there)
        .filter_map(|(inbox, there)| there.then_some(inbox))
        .collect();
    Ok(batch
        .iter()
        .zip(outcomes)
        .map(|(arrivals, outcome)| {
            let left = arrivals.iter().filter(|one| there.contains(&to(one)));
            let left: Vec<_> = left.collect();
            outcome.parts = left.len() as u64;
            left
        })
        .collect())
}

/// Records that the inboxes of the batch work: their updates have a valid signature.
async fn prove_inboxes(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
) -> Result<Vec<Event>, Error> {
    let unproved: BTreeMap<_, _> = batch
        .iter()
        .flatten()
        .filter(|arrival| !arrival.proved)
        .map(|arrival| (&arrival.inbox, &arrival.account))
        .collect();
    let mut events = Vec::new();
    for (inbox, account) in unproved {
        let id = EventId::new(&context.clock);
        if inboxes::prove(session, account, inbox, now, &id).await? {
            events.push(Event {
                id,
                account: account.clone(),
                inbox: inbox.clone(),
                what: What::InboxChanged,
            });
        }
    }
    Ok(events)
}
