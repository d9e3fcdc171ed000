//! The conversations of a batch: finds or opens them, and records which contacts have blocked the business.
//!
//! Invariant: a contact has one conversation in an inbox.

use super::{arrival::Outcome, incoming::Incoming};
use crate::{
    error::Error,
    id::ConversationId,
    ops::Context,
    store::conversations::{self, Block},
};
use db::Session;
use std::collections::{BTreeSet, HashMap};

/// Sets the conversation of each message, and opens those that do not exist. The contacts must be set already.
pub(super) async fn resolve(
    context: &Context,
    session: &mut Session,
    incoming: &mut [Incoming<'_>],
    now: i64,
) -> Result<(), Error> {
    let mut missing = BTreeSet::new();
    for one in incoming.iter() {
        if one.conversation.is_none() {
            missing.insert(key(one)?);
        }
    }
    // If there is a conversation already, `claim_each` returns it.
    let new: Vec<_> = missing
        .into_iter()
        .map(|key| (key, ConversationId::new(&context.clock)))
        .collect();
    let opened = conversations::claim_each(session, &new, now).await?;
    let opened: HashMap<_, _> = new.into_iter().map(|(key, _)| key).zip(opened).collect();
    for one in incoming {
        if one.conversation.is_none() {
            one.conversation = opened.get(&key(one)?).cloned();
        }
    }
    Ok(())
}

/// Records which contacts have blocked or unblocked an inbox. The conversations must be set already.
pub(super) async fn block(
    session: &mut Session,
    blocks: &[(usize, conversations::Key, Block)],
    outcomes: &mut [Outcome],
) -> Result<(), Error> {
    let mut sorted: Vec<_> = blocks.iter().collect();
    sorted.sort_by(|(_, a, _), (_, b, _)| a.cmp(b));
    for (update, key, block) in sorted {
        match conversations::block(session, key, *block).await? {
            true => outcomes[*update].changes += 1,
            false => outcomes[*update].known += 1,
        }
    }
    Ok(())
}

fn key(one: &Incoming<'_>) -> Result<conversations::Key, Error> {
    Ok(conversations::Key {
        account: one.arrival.account.clone(),
        inbox: one.arrival.inbox.clone(),
        contact: one.contact()?.clone(),
    })
}
