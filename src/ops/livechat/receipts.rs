//! What a visitor's pages say of answers: that they have them, or have shown them.
//!
//! Invariant: a receipt is a fact about messages of the visitor's own conversation, stored like a provider's statuses and
//! with those that come at the same time. One that says nothing new is not stored.

use super::{Visitor, conversation};
use crate::{
    error::Error,
    id::MessageId,
    ops::{Context, ingest::Ingest},
    store::messages as stored,
};
use channels::{DeliveryStatus, Item, Status};

/// How many messages are looked at in one statement.
const PAGE: i64 = 100;
/// In how many statements at most: a receipt is about so many messages before the one that it names.
const PAGES: usize = 10;

/// Notes that the answers up to and including this message have come to a page ([`DeliveryStatus::Delivered`]), or were seen
/// ([`DeliveryStatus::Read`]). Goes back until a page of messages has nothing new.
///
/// # Errors
/// [`Error::Validation`] if the visitor's conversation has no such message.
pub async fn acknowledge(
    context: &Context,
    ingest: &Ingest,
    visitor: &Visitor,
    status: DeliveryStatus,
    until: &MessageId,
) -> Result<(), Error> {
    let unknown = || Error::field("id", "must be the id of a message of this conversation");
    let own = conversation(context, visitor).await?.ok_or_else(unknown)?;
    let mut until = until.clone();
    for _ in 0..PAGES {
        let mut session = context.db.read().await?;
        let (account, as_text) = (&visitor.account, status.as_str());
        let page = stored::unacknowledged(&mut session, account, &own, &until, as_text, PAGE);
        let page = page.await?;
        drop(session);
        let full = page.len() as i64 == PAGE;
        until = page.last().ok_or_else(unknown)?.id.clone();
        let items: Vec<_> = page
            .into_iter()
            .filter(|message| message.is_open)
            .map(|message| receipt(message.provider_id, status))
            .collect();
        if items.is_empty() {
            return Ok(());
        }
        ingest.deliver(vec![visitor.arrival(items)]).await?;
        if !full {
            return Ok(());
        }
    }
    Ok(())
}

fn receipt(provider_id: String, status: DeliveryStatus) -> Item {
    Item::Status(Box::new(Status {
        provider_id,
        status,
        timestamp: None,
        error: None,
        our_id: None,
    }))
}
