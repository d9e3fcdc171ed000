//! What an update says of messages that were sent here: by the provider's ids, by our own, and as echoes.
//!
//! Invariant: whatever comes after this names such a message by its key, and an echo that may be one of ours is stored as a
//! message only once it is known that it is none.

use super::arrival::{Arrival, Outcome};
use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, InboxId, MessageId},
    ops::standing,
    store::{
        echoes, identities,
        messages::{self, Key},
        outbox::{self, State},
        provider_ids::{self, Led},
    },
};
use channels::{DeliveryStatus, Direction, Identity, Item, Message, Status};
use db::Session;
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

/// A provider's id that turned out to be one of a message that was sent here.
pub(super) struct Adoption {
    account: AccountId,
    inbox: InboxId,
    provider_id: String,
    message: MessageId,
    /// Whether the provider says that the message got there.
    arrived: bool,
}

/// Names messages that were sent here by their keys, in all that a batch says; and keeps aside what may be one of them.
/// Returns the batch, and what [`adopt`] has to note at the end.
pub(super) async fn recognise<'a>(
    session: &mut Session,
    batch: Vec<Vec<&'a Arrival>>,
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<(Vec<Vec<Cow<'a, Arrival>>>, Vec<Adoption>), Error> {
    let led = led(session, &batch).await?;
    let mut adoptions = Vec::new();
    let mut read = Vec::with_capacity(batch.len());
    for (arrivals, outcome) in batch.into_iter().zip(outcomes) {
        let mut kept = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let mut arrival = Cow::Borrowed(arrival);
            lead(&mut arrival, &led);
            adoptions.extend(by_our_id(session, &mut arrival).await?);
            outcome.known += keep_aside(session, &mut arrival, now).await?;
            kept.push(arrival);
        }
        read.push(kept);
    }
    Ok((read, adoptions))
}

/// Where the ids of a batch lead that are those of messages sent here.
async fn led<'a>(
    session: &mut Session,
    batch: &[Vec<&'a Arrival>],
) -> Result<HashMap<Key<'a>, Led>, Error> {
    let mut ids = BTreeSet::new();
    for arrival in batch.iter().flatten() {
        let key = |provider_id| Key {
            account: &arrival.account,
            inbox: &arrival.inbox,
            provider_id,
        };
        // A live chat's ids are made here.
        let items = arrival.items.iter();
        let items = items.filter(|_| arrival.channel != Channel::Livechat);
        ids.extend(items.flat_map(named).map(key));
    }
    let ids: Vec<_> = ids.into_iter().collect();
    let found = provider_ids::find_each(session, &ids).await?;
    let found = ids.into_iter().zip(found);
    Ok(found.filter_map(|(id, led)| Some((id, led?))).collect())
}

/// The ids of messages that an item names.
fn named(item: &Item) -> impl Iterator<Item = &str> {
    let (first, second) = match item {
        Item::Message(message) => (Some(&message.provider_id), message.reply_to.as_ref()),
        Item::Status(status) => (Some(&status.provider_id), None),
        Item::Reaction(reaction) => (Some(&reaction.provider_id), None),
        Item::Edit(edit) => (Some(&edit.provider_id), None),
        Item::Revoke(revoke) => (Some(&revoke.provider_id), None),
        _ => (None, None),
    };
    first.into_iter().chain(second).map(String::as_str)
}

/// Replaces the ids that lead to a message sent here by its key.
fn lead(arrival: &mut Cow<'_, Arrival>, led: &HashMap<Key<'_>, Led>) {
    let (account, inbox) = (arrival.account.clone(), arrival.inbox.clone());
    let find = |id: &str| find(led, &account, &inbox, id);
    let any = |item: &Item| named(item).any(|id| find(id).is_some());
    if led.is_empty() || !arrival.items.iter().any(any) {
        return;
    }
    for item in &mut arrival.to_mut().items {
        let replace = |id: &mut String| {
            if let Some(led) = find(id) {
                *id = led.to;
            }
        };
        match item {
            Item::Message(message) => {
                replace(&mut message.provider_id);
                message.reply_to.as_mut().map(replace);
            }
            Item::Status(status) => {
                let superseded = find(&status.provider_id).is_some_and(|led| led.superseded);
                if superseded && status.status == DeliveryStatus::Failed {
                    // It was tried again since.
                    *item = ignored();
                } else {
                    replace(&mut status.provider_id);
                }
            }
            Item::Reaction(reaction) => replace(&mut reaction.provider_id),
            Item::Edit(edit) => replace(&mut edit.provider_id),
            Item::Revoke(revoke) => replace(&mut revoke.provider_id),
            _ => {}
        }
    }
}

fn find(
    led: &HashMap<Key<'_>, Led>,
    account: &AccountId,
    inbox: &InboxId,
    provider_id: &str,
) -> Option<Led> {
    let key = Key {
        account,
        inbox,
        provider_id,
    };
    led.get(&key).cloned()
}

fn ignored() -> Item {
    Item::Ignored {
        kind: "status.superseded".to_owned(),
    }
}

/// Statuses that name a message by our own id before its provider id is known: our request has no answer yet, or had none.
async fn by_our_id(
    session: &mut Session,
    arrival: &mut Cow<'_, Arrival>,
) -> Result<Vec<Adoption>, Error> {
    let mut adoptions = Vec::new();
    for at in 0..arrival.items.len() {
        let Some((message, attempt, key)) = our_id(&arrival.items[at]) else {
            continue;
        };
        let id = Key {
            account: &arrival.account,
            inbox: &arrival.inbox,
            provider_id: &key,
        };
        let found = messages::find_each_by_provider_id(session, &[id]).await?;
        if found.iter().all(Option::is_none) {
            continue;
        }
        let entry = outbox::lock(session, &[(&arrival.account, &message)]).await?;
        let entry = entry.into_iter().flatten().next();
        let is_superseded = entry.is_some_and(|entry| entry.attempts > attempt);
        if !is_superseded {
            // A person may have said that it was not sent: the provider knows better.
            messages::forget_failure(session, &id).await?;
        }
        let arrival = arrival.to_mut();
        let Item::Status(status) = &mut arrival.items[at] else {
            continue;
        };
        adoptions.push(Adoption {
            account: arrival.account.clone(),
            inbox: arrival.inbox.clone(),
            provider_id: std::mem::replace(&mut status.provider_id, key),
            message,
            arrived: status.status != DeliveryStatus::Failed,
        });
        if is_superseded && status.status == DeliveryStatus::Failed {
            arrival.items[at] = ignored();
        }
    }
    Ok(adoptions)
}

/// The message, the attempt and the key that a status names by our own id, unless it has that key already.
fn our_id(item: &Item) -> Option<(MessageId, i64, String)> {
    let Item::Status(status) = item else {
        return None;
    };
    let Status {
        provider_id,
        our_id,
        ..
    } = status.as_ref();
    if messages::is_own_key(provider_id) {
        return None;
    }
    let (id, attempt) = our_id.as_ref()?.split_once(':')?;
    let message = MessageId::parse(id)?;
    let key = messages::own_key(&message);
    Some((message, attempt.parse().ok()?, key))
}

/// Keeps aside echoes of conversations in which the provider may have a message of ours that it has not confirmed. Returns
/// how many.
async fn keep_aside(
    session: &mut Session,
    arrival: &mut Cow<'_, Arrival>,
    now: i64,
) -> Result<u64, Error> {
    if arrival.source.is_released || arrival.channel == Channel::Livechat {
        return Ok(0);
    }
    let mut aside = BTreeSet::new();
    for (at, item) in arrival.items.iter().enumerate() {
        if let Item::Message(message) = item
            && is_echo(message)
            && keep(session, arrival, message, now).await?
        {
            aside.insert(at);
        }
    }
    if !aside.is_empty() {
        let mut at = 0..;
        let items = &mut arrival.to_mut().items;
        items.retain(|_| at.next().is_none_or(|at| !aside.contains(&at)));
    }
    Ok(aside.len() as u64)
}

fn is_echo(message: &Message) -> bool {
    message.direction == Direction::Outbound
        && !message.historic
        && !messages::is_own_key(&message.provider_id)
}

async fn keep(
    session: &mut Session,
    arrival: &Arrival,
    message: &Message,
    now: i64,
) -> Result<bool, Error> {
    let contact = &message.contact;
    let (account, inbox) = (&arrival.account, &arrival.inbox);
    let key = |identity: &Identity| identities::Key {
        account,
        channel: arrival.channel,
        identity: identity.clone(),
    };
    let keys: Vec<_> = contact.identities.iter().map(key).collect();
    let asked: Vec<_> = keys.iter().map(|key| (inbox, key)).collect();
    let holders = identities::find_each(session, &asked).await?;
    let mut conversations = holders.into_iter().flatten();
    let Some(conversation) = conversations.find_map(|holder| holder.conversation) else {
        return Ok(false);
    };
    let in_doubt = outbox::in_doubt(session, &[(account, &conversation)]).await?;
    if !in_doubt.contains(&true) {
        return Ok(false);
    }
    let id = Key {
        account,
        inbox,
        provider_id: &message.provider_id,
    };
    let json =
        serde_json::to_string(message).map_err(|error| Error::Internal(error.to_string()))?;
    echoes::insert(session, &id, &conversation, &json, now).await?;
    Ok(true)
}

/// Notes which messages the provider has, as statuses showed: nobody needs to ask any more whether it has them.
pub(super) async fn adopt(
    session: &mut Session,
    adoptions: &[Adoption],
    now: i64,
) -> Result<(), Error> {
    for one in adoptions {
        let id = Key {
            account: &one.account,
            inbox: &one.inbox,
            provider_id: &one.provider_id,
        };
        let key = messages::own_key(&one.message);
        provider_ids::insert_each(session, &[(id, &key)]).await?;
        let given = (&one.account, &one.message, one.provider_id.as_str());
        messages::give_ids(session, &[given]).await?;
        echoes::delete(session, &id).await?;
        let ours = Key {
            provider_id: &key,
            ..id
        };
        standing::refresh(session, &[ours].into()).await?;
        let entry = outbox::lock(session, &[(&one.account, &one.message)]).await?;
        let Some(entry) = entry.into_iter().flatten().next() else {
            continue;
        };
        // What a person wanted to be tried again got there by an earlier attempt.
        let is_needless = entry.state == State::Queued && one.arrived;
        if entry.state == State::Unknown || is_needless {
            outbox::close(session, &one.account, &one.message).await?;
        }
        if is_needless {
            outbox::promote(session, &[(&one.account, &entry.conversation)], now * 1000).await?;
        }
    }
    Ok(())
}
