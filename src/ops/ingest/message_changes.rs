//! The changes of messages in a batch: statuses, reactions, edits and deletions.
//!
//! Invariant: a change is stored even if its message is not stored yet.

use super::arrival::{Arrival, Outcome};
use crate::{
    error::Error,
    id::EventId,
    ops::{
        Context,
        events::{Event, What},
        standing,
    },
    store::messages,
};
use channels::{Item, Moment};
use data_encoding::HEXLOWER;
use db::Session;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Stores the changes. They are applied when a message is read.
pub(super) async fn store(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Vec<Event>, Error> {
    let mut changes = Vec::new();
    for (update, arrivals) in batch.iter().enumerate() {
        for arrival in arrivals {
            for item in &arrival.items {
                match item {
                    Item::Message(_) | Item::Business(_) | Item::Unreadable { .. } => {}
                    Item::Ignored { .. } => outcomes[update].ignored += 1,
                    Item::Renamed(_) | Item::Blocked(_) => {}
                    item => match change(context, arrival, item, now)? {
                        Some(change) => changes.push((update, change)),
                        None => outcomes[update].ignored += 1,
                    },
                }
            }
        }
    }
    changes.sort_by(|(_, a), (_, b)| (a.key, a.kind, &a.part).cmp(&(b.key, b.kind, &b.part)));
    let (updates, changes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
    let effective = messages::change(session, &changes).await?;
    let mut stored = Vec::with_capacity(changes.len());
    for ((update, change), has_effect) in updates.into_iter().zip(changes).zip(effective) {
        if has_effect {
            outcomes[update].changes += 1;
            stored.push(change);
        } else {
            outcomes[update].known += 1;
        }
    }
    announce(session, &stored).await
}

/// Marks the messages of these changes as changed, and returns the events of those that are stored.
pub(in crate::ops) async fn announce(
    session: &mut Session,
    changes: &[messages::NewChange<'_>],
) -> Result<Vec<Event>, Error> {
    let keys: Vec<_> = changes.iter().map(|change| change.key).collect();
    let found = messages::find_each_by_provider_id(session, &keys).await?;
    let unmarked = keys.into_iter().zip(&found);
    let unmarked = unmarked.filter(|(_, found)| matches!(found, Some(one) if !one.has_changes));
    let unmarked: BTreeSet<_> = unmarked.map(|(key, _)| key).collect();
    messages::mark_changed(session, &Vec::from_iter(unmarked)).await?;
    let moved = changes.iter().zip(&found).filter(|(change, found)| {
        let is_bad = ["failed", "unknown", "canceled"].contains(&change.part.as_str());
        let was_bad = |one: &messages::Found| one.is_undelivered;
        change.kind == "status" && found.as_ref().is_some_and(|found| is_bad || was_bad(found))
    });
    standing::refresh(session, &moved.map(|(change, _)| change.key).collect()).await?;
    let mut events: Vec<_> = changes
        .iter()
        .zip(found)
        .filter_map(|(change, found)| {
            let found = found?;
            Some(Event {
                id: change.id.clone(),
                account: change.key.account.clone(),
                inbox: change.key.inbox.clone(),
                what: What::MessageChanged {
                    conversation: found.conversation,
                    message: found.id,
                },
            })
        })
        .collect();
    events.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(events)
}

fn change<'a>(
    context: &Context,
    arrival: &'a Arrival,
    item: &'a Item,
    now: i64,
) -> Result<Option<messages::NewChange<'a>>, Error> {
    let mut content_type = None;
    let (provider_id, kind, part, value, timestamp) = match item {
        Item::Status(status) => (
            &status.provider_id,
            "status",
            status.status.as_str().to_owned(),
            status.error.as_deref(),
            status.timestamp,
        ),
        Item::Reaction(reaction) => {
            let part = messages::reaction_part(&reaction.by, &fingerprint(reaction));
            let emoji = reaction.emoji.as_deref();
            (
                &reaction.provider_id,
                "reaction",
                part,
                emoji,
                reaction.timestamp,
            )
        }
        Item::Edit(edit) => {
            // Without the new content there is nothing to store.
            let Some((kind, content)) = &edit.content else {
                return Ok(None);
            };
            content_type = Some(kind.as_str());
            let content = content.as_str();
            let stamp = edit.timestamp.map_or(0, |moment| moment.seconds);
            let print = print(&format!("{stamp} {content}"));
            (
                &edit.provider_id,
                "edit",
                print,
                Some(content),
                edit.timestamp,
            )
        }
        Item::Revoke(revoke) => (
            &revoke.provider_id,
            "revoke",
            String::new(),
            None,
            revoke.timestamp,
        ),
        Item::Message(_)
        | Item::Business(_)
        | Item::Unreadable { .. }
        | Item::Renamed(_)
        | Item::Blocked(_)
        | Item::Ignored { .. } => {
            return Ok(None);
        }
    };
    Ok(Some(messages::NewChange {
        key: messages::Key {
            account: &arrival.account,
            inbox: &arrival.inbox,
            provider_id,
        },
        kind,
        part,
        id: EventId::new(&context.clock),
        value,
        content_type,
        timestamp: timestamp.unwrap_or(Moment::seconds(now)),
        received_at: now,
    }))
}

/// Identifies a reaction. A redelivered reaction must not undo a later one from the same moment.
fn fingerprint(reaction: &channels::Reaction) -> String {
    let id = reaction.id.as_deref().unwrap_or_default();
    let emoji = reaction.emoji.as_deref().unwrap_or_default();
    let moment = reaction.timestamp.unwrap_or(Moment::seconds(0));
    print(&format!(
        "{} {} {emoji} {id}",
        moment.seconds, moment.millis
    ))
}

fn print(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text)[..16])
}
