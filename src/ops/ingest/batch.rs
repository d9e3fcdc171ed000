//! Storing what was delivered, in one transaction.
//!
//! Each noun's part of it is in a file of its own beside this one.
//!
//! Invariant: rows are locked in one order (inboxes, contacts, conversations, messages; by key within each), so that two
//! nodes that store at once, or one that deletes an inbox, cannot wait for each other in a circle.

use super::{
    arrival::{Arrival, Outcome},
    business, changes, contacts, conversations, incoming, messages, quarantine,
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

/// How often a batch is stored anew because another node was faster. Each time that one has made progress.
const ATTEMPTS: usize = 10;

/// Stores a batch in one transaction, and tells what happened once it is durable. Returns what became of each update.
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
        Err(faster())
    })
    .await
}

/// Others were faster, again and again.
pub(in crate::ops) fn faster() -> Error {
    Error::Unavailable("other nodes write of the same people".into())
}

/// What a batch did that is stored, and not committed yet.
pub(in crate::ops) struct Stored {
    /// What became of each update.
    pub(in crate::ops) outcomes: Vec<Outcome>,
    /// What is to be told with the commit.
    pub(in crate::ops) changes: Changes,
    /// Contacts that are to be joined after it.
    pub(in crate::ops) joins: Vec<Join>,
}

/// Stores a batch in a transaction that is open already. None if another node was faster: then the transaction has to be
/// given up.
pub(in crate::ops) async fn store_in(
    context: &Context,
    session: &mut Session,
    batch: &[&[Arrival]],
) -> Result<Option<Stored>, Error> {
    let now = context.clock.now();
    let mut outcomes = vec![Outcome::default(); batch.len()];
    let batch = present(session, batch, &mut outcomes).await?;
    let batch = batch.as_slice();
    let mut news = Changes::of(prove(context, session, batch, now).await?);
    let mut incoming = incoming::sort(session, batch, &mut outcomes).await?;
    let new = &mut incoming.new;
    let resolved = contacts::resolve(context, session, batch, new, now, &mut outcomes).await?;
    let Some(resolved) = resolved else {
        return Ok(None);
    };
    conversations::resolve(context, session, &mut incoming.new, now).await?;
    conversations::block(session, &resolved.blocks, &mut outcomes).await?;
    let created = messages::store(context, session, &incoming.new, now, &mut outcomes).await?;
    news.add(created);
    let filled = messages::fill(context, session, incoming.fuller, now, &mut outcomes).await?;
    news.add(Changes::of(filled));
    let changed = changes::store(context, session, batch, now, &mut outcomes).await?;
    news.add(Changes::of(changed));
    business::store(context, session, batch, now, &mut outcomes).await?;
    quarantine::store(context, session, batch, now, &mut outcomes).await?;
    Ok(Some(Stored {
        outcomes,
        changes: news,
        joins: resolved.joins,
    }))
}

/// Locks the inboxes of a batch, and leaves out what is for one that is gone.
async fn present<'a>(
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

/// A correctly signed update is the proof that its inbox works.
async fn prove(
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
