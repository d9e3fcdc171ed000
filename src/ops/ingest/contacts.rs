//! The contacts of a batch: finds, creates and updates them.
//!
//! `people` decides which contact is meant, and `write` stores it. `ops::joins` joins two contacts that are one person,
//! after the commit.
//!
//! Invariant: a decision is written only if the rows that it is based on are unchanged. If another node has changed them,
//! nothing is written, and the batch is tried again.

mod write;

use super::{
    arrival::{Arrival, Outcome},
    incoming::Incoming,
    people::{Named, People},
};
use crate::{
    error::Error,
    id::{ContactId, InboxId},
    ops::{Context, events::Event},
    store::{
        conversations::{self, Block},
        identities::{self, Key},
        joins::{self, Join},
    },
};
use channels::{Blocked, Identity, Item, Renamed};
use db::Session;
use std::collections::{BTreeMap, BTreeSet};

/// The results that are used after the contacts were written.
pub(super) struct Resolved {
    /// Contacts that are the same person.
    pub(super) joins: Vec<Join>,
    /// Contacts that have blocked or unblocked an inbox, each with the index of its update.
    pub(super) blocks: Vec<(usize, conversations::Key, Block)>,
    /// Which contacts are known under another name or by something else than before.
    pub(super) events: Vec<Event>,
}

/// Sets the contact of each message, creates and updates contacts, and applies changed identities. `None` if another node
/// has changed the same rows.
pub(super) async fn resolve(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    incoming: &mut [Incoming<'_>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Option<Resolved>, Error> {
    let mut people = read(session, batch, incoming).await?;
    for one in incoming.iter_mut() {
        let new = || ContactId::new(&context.clock);
        let id = people.meet(&one.named(), one.message.historic, new);
        one.conversation = people.conversation(&id, &one.arrival.inbox).cloned();
        one.muted = people.is_muted(&id);
        one.contact = Some(id);
    }
    let mut renamed = Vec::new();
    let mut blocks = Vec::new();
    for (update, arrival, item) in about_people(batch) {
        let outcome = &mut outcomes[update];
        match item {
            About::Renamed(said) => {
                let (named, former) = (
                    named(arrival, &said.contact.identities),
                    named(arrival, &said.former),
                );
                let at = said.timestamp.map_or(now, |moment| moment.seconds);
                match people.rename(&named, &former, at) {
                    // Nobody with these identities is a contact yet.
                    None => outcome.ignored += 1,
                    Some((_, false)) => outcome.known += 1,
                    Some((id, true)) => {
                        outcome.changes += 1;
                        renamed.push((id, arrival, said));
                    }
                }
            }
            About::Blocked(said) => {
                let named = named(arrival, &said.contact.identities);
                match named.keys().find_map(|key| people.holder(&key)) {
                    None => outcome.ignored += 1,
                    Some(contact) => {
                        let key = conversations::Key {
                            account: arrival.account.clone(),
                            inbox: arrival.inbox.clone(),
                            contact,
                        };
                        let block = Block {
                            blocked: said.blocked,
                            at: said.timestamp.map_or(now, |moment| moment.seconds),
                            number: said.update,
                        };
                        blocks.push((update, key, block));
                    }
                }
            }
        }
    }
    if !write::identities(session, &people).await? {
        return Ok(None);
    }
    let events = write::contacts(context, session, &people, incoming, &renamed, now).await?;
    let joins: Vec<_> = people.joins.into_iter().collect();
    for join in &joins {
        joins::add(session, join, now).await?;
    }
    Ok(Some(Resolved {
        joins,
        blocks,
        events,
    }))
}

/// An item about a person that is not a message.
enum About<'a> {
    Renamed(&'a Renamed),
    Blocked(&'a Blocked),
}

fn about_people<'a>(
    batch: &[Vec<&'a Arrival>],
) -> impl Iterator<Item = (usize, &'a Arrival, About<'a>)> {
    let arrivals = batch.iter().enumerate();
    let arrivals = arrivals.flat_map(|(update, all)| all.iter().map(move |one| (update, *one)));
    arrivals.flat_map(|(update, arrival)| {
        arrival.items.iter().filter_map(move |item| match item {
            Item::Renamed(said) => Some((update, arrival, About::Renamed(said))),
            Item::Blocked(said) => Some((update, arrival, About::Blocked(said))),
            _ => None,
        })
    })
}

fn named<'a>(arrival: &'a Arrival, identities: &'a [Identity]) -> Named<'a> {
    Named {
        account: &arrival.account,
        inbox: &arrival.inbox,
        channel: arrival.channel,
        identities,
    }
}

/// Reads the contacts of all identities in a batch, and their other identities where they can matter.
async fn read<'a>(
    session: &mut Session,
    batch: &[Vec<&'a Arrival>],
    incoming: &[Incoming<'a>],
) -> Result<People<'a>, Error> {
    let mut all: Vec<Named<'a>> = incoming.iter().map(Incoming::named).collect();
    let messages = all.len();
    for (_, arrival, about) in about_people(batch) {
        let (contact, former) = match about {
            About::Renamed(said) => (&said.contact, &said.former[..]),
            About::Blocked(said) => (&said.contact, &[][..]),
        };
        all.push(named(arrival, &contact.identities));
        all.push(named(arrival, former));
    }
    let asked = all
        .iter()
        .flat_map(|named| named.keys().map(|key| (named.inbox, key)));
    let asked: BTreeSet<(&InboxId, Key<'a>)> = asked.collect();
    let asked: Vec<_> = asked.iter().map(|(inbox, key)| (*inbox, key)).collect();
    let found = identities::find_each(session, &asked).await?;
    let mut people = People::default();
    for ((inbox, key), holder) in asked.into_iter().zip(found) {
        if let Some(holder) = holder {
            people.add(key.clone(), inbox, holder);
        }
    }
    let matter = all.iter().enumerate();
    let matter = matter.filter(|(place, named)| *place >= messages || people.is_mixed(named));
    let contacts: BTreeMap<_, _> = matter
        .flat_map(|(_, named)| {
            let holders = named.keys().filter_map(|key| people.holder(&key));
            holders.map(|contact| (contact, (named.account, named.channel)))
        })
        .collect();
    let asked: Vec<_> = contacts
        .iter()
        .map(|(contact, (account, channel))| (*account, contact, *channel))
        .collect();
    let others = identities::of_contacts(session, &asked).await?;
    for ((contact, (account, channel)), others) in contacts.iter().zip(others) {
        for (identity, state) in others {
            let key = Key {
                account,
                channel: *channel,
                identity,
            };
            people.add_other(key, contact, state);
        }
    }
    Ok(people)
}
