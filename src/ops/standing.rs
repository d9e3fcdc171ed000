//! What follows for conversations if a message of the business fails, is canceled or in doubt, or turns out to have got there:
//! an answer that failed is none, and the contact waits again.
//!
//! Invariant: whoever changes what keeps a message from being delivered calls this in the same transaction.

use crate::store::{
    conversations,
    messages::{self, Key},
};
use db::{Error, Session};
use std::collections::BTreeSet;

/// Works out anew what keeps these messages from being delivered, as far as they are stored, and what their conversations ask
/// of the team. Their inboxes must be locked.
pub(super) async fn refresh(session: &mut Session, keys: &BTreeSet<Key<'_>>) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = keys.iter().copied().collect();
    messages::set_undelivered(session, &keys).await?;
    let found = messages::find_each_by_provider_id(session, &keys).await?;
    let of = keys.iter().zip(&found);
    let conversations: BTreeSet<_> = of
        .filter_map(|(key, found)| Some((key.account, &found.as_ref()?.conversation)))
        .collect();
    conversations::refresh(session, conversations.into_iter()).await
}
