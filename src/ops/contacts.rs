//! Contacts: reading them, and what the business does with them.
//!
//! What updates say of contacts is written by `ingest`.
//!
//! Invariant: an id of a contact that was joined with another one works like the other one's.

pub(in crate::ops) mod complete;
pub mod fill;
mod input;
mod list;
mod merge;
mod record;
mod update;
mod upsert;
pub(in crate::ops) mod words;

pub use input::{ContactChange, Merge, NewContact};
pub use list::{By, Cursor, list};
pub use merge::merge;
pub use update::update;
pub use upsert::upsert;
pub use words::Wanted;

use super::{Context, found};
use crate::{
    domain::contact::{ContactConversation, ContactDetails},
    error::Error,
    id::{AccountId, ContactId},
    store::{aliases, contacts, conversations},
};

/// How many of its conversations a contact is shown with.
const CONVERSATIONS: i64 = 20;

/// One contact, with its newest conversations and the ids that lead to it.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &ContactId,
) -> Result<ContactDetails, Error> {
    let mut session = context.db.read().await?;
    let stored = contacts::find(&mut session, account, id).await?;
    let stored = found(stored, "contact")?;
    let id = stored.id.clone();
    let newest = conversations::newest_of(&mut session, account, &id, CONVERSATIONS).await?;
    let newest = newest.into_iter().map(|one| ContactConversation {
        id: one.id,
        inbox_id: one.inbox,
        status: one.status,
        messages_count: one.messages_count,
        updated_at: one.updated_at,
    });
    let former_ids = aliases::of_survivor(&mut session, account, id.as_str()).await?;
    Ok(ContactDetails {
        conversations: Some(newest.collect()),
        former_ids: Some(former_ids),
        ..record::shown(stored)?
    })
}
