//! The conversations of the messages of a batch, opened where there is none; and what contacts say of whether they want any.

use super::{arrival::Outcome, incoming::Incoming};
use crate::{
    error::Error,
    id::ConversationId,
    ops::Context,
    store::conversations::{self, Block},
};
use db::Session;
use std::collections::{BTreeSet, HashMap};

/// Finds the conversation of each message, opened if there was none. Their contacts have to be resolved before.
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
    // One who was only just found by another name may have a conversation, too: then it is that one.
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

/// Notes whom inboxes may write to, and no longer. Their conversations have to be resolved before.
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
