//! The messages of a batch: inserts them and counts them.
//!
//! Invariant: only rows that were really inserted are counted, and can become the last message of a conversation.

use super::{arrival::Outcome, incoming::Incoming, message_changes};
use crate::{
    error::Error,
    id::{EventId, MessageId},
    ops::{
        Context,
        changes::Changes,
        events::{Event, What},
        standing,
    },
    store::{
        conversations::{self, Growth, Origin},
        inboxes,
        messages::{self, NewMessage},
    },
};
use channels::{DeliveryStatus, Moment};
use db::Session;
use std::collections::{BTreeMap, BTreeSet};

/// Stores the messages, and counts the new ones.
pub(super) async fn store(
    context: &Context,
    session: &mut Session,
    incoming: &[Incoming<'_>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Changes, Error> {
    let mut rows: Vec<_> = incoming
        .iter()
        .map(|one| {
            let message = one.message;
            let row = NewMessage {
                key: one.key(),
                id: MessageId::new(&context.clock),
                conversation: one.conversation()?,
                direction: message.direction.as_str(),
                kind: message.kind.as_str(),
                content: message.content.as_str(),
                sender: json(&message.sender)?,
                reply_to: message.reply_to.as_deref(),
                historic: message.historic,
                timestamp: message.timestamp.unwrap_or(now),
                received_at: now,
                placeholder: message.placeholder,
                status: message.status.map(DeliveryStatus::as_str),
                quoted: quoted(message)?,
                has_changes: one.has_changes,
                silent: one.is_silent(),
            };
            Ok((one.update, row))
        })
        .collect::<Result<_, Error>>()?;
    rows.sort_by_key(|(_, row)| row.key);
    let (updates, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let stored = messages::insert(session, &rows).await?;

    let mut by_conversation = BTreeMap::new();
    let mut by_inbox = BTreeMap::new();
    let mut looked_at = BTreeSet::new();
    let mut changes = Changes::none();
    for ((update, row), stored) in updates.iter().zip(&rows).zip(stored) {
        if stored {
            outcomes[*update].stored += 1;
            if row.historic || row.silent {
                changes.accounts.insert(row.key.account.clone());
            } else {
                changes.events.push(created(row));
            }
            by_conversation
                .entry((row.key.account, row.conversation))
                .or_insert_with(Growth::default)
                .add(row.timestamp, &row.id, origin(row));
            // What became of it may have been known before it.
            if origin(row) == Origin::App && (row.has_changes || row.status.is_some()) {
                looked_at.insert(row.key);
            }
            *by_inbox
                .entry((row.key.account, row.key.inbox))
                .or_default() += 1;
        } else {
            outcomes[*update].known += 1;
        }
    }
    let growths = by_conversation
        .iter()
        .map(|(&(a, c), growth)| (a, c, growth));
    conversations::grow(session, growths, now).await?;
    standing::refresh(session, &looked_at).await?;
    let counts = by_inbox.iter().map(|(&(a, i), &more)| (a, i, more));
    inboxes::count(session, counts).await?;
    changes.events.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(changes)
}

fn origin(row: &NewMessage<'_>) -> Origin {
    match row.direction {
        _ if row.historic => Origin::History,
        "inbound" if row.silent => Origin::Muted,
        "inbound" => Origin::Contact,
        _ => Origin::App,
    }
}

fn quoted(message: &channels::Message) -> Result<Option<String>, Error> {
    message.quoted.as_deref().map(json).transpose()
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}

fn created(row: &NewMessage<'_>) -> Event {
    Event {
        id: EventId::from(&row.id),
        account: row.key.account.clone(),
        inbox: row.key.inbox.clone(),
        what: What::MessageCreated {
            conversation: row.conversation.clone(),
            message: row.id.clone(),
        },
    }
}

/// Adds the content of messages that were stored without it.
pub(super) async fn fill(
    context: &Context,
    session: &mut Session,
    mut fuller: Vec<Incoming<'_>>,
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Vec<Event>, Error> {
    fuller.sort_by_key(Incoming::key);
    let mut changes = Vec::with_capacity(fuller.len());
    let mut rows = Vec::with_capacity(fuller.len());
    for one in &fuller {
        outcomes[one.update].changes += 1;
        let message = one.message;
        rows.push(messages::Filling {
            key: one.key(),
            kind: message.kind.as_str(),
            content: message.content.as_str(),
            reply_to: message.reply_to.as_deref(),
            status: message.status.map(DeliveryStatus::as_str),
            quoted: quoted(message)?,
        });
        changes.push(messages::NewChange {
            key: one.key(),
            kind: "content",
            part: message.kind.as_str().to_owned(),
            id: EventId::new(&context.clock),
            value: None,
            content_type: None,
            timestamp: Moment::seconds(message.timestamp.unwrap_or(now)),
            received_at: now,
        });
    }
    messages::fill(session, &rows).await?;
    messages::change(session, &changes).await?;
    message_changes::announce(session, &changes).await
}
