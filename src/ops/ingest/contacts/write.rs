//! Writing what was decided of the contacts of a batch.
//!
//! Invariant: identities are written in the order of their keys, then contacts in the order of their ids, so that two
//! transactions cannot wait for each other in a circle.

use super::super::{arrival::Arrival, incoming::Incoming, people::People};
use crate::{
    error::Error,
    id::{AccountId, ContactId, EventId},
    ops::{Context, contacts::words, events::Event},
    store::{
        contacts::{self, Said, Stored},
        identities::{self as table, Change},
    },
};
use channels::{IdentityKind, Renamed};
use db::Session;
use std::collections::BTreeMap;

/// Writes whose each identity is. False if another node was faster.
pub(super) async fn identities(session: &mut Session, people: &People<'_>) -> Result<bool, Error> {
    let mut claims = Vec::new();
    let mut changes = Vec::new();
    for (key, holding) in &people.holdings {
        match &holding.stored {
            None => claims.push((key, &holding.contact, holding.state)),
            Some((from, _, unscoped)) if holding.is_changed() => changes.push(Change {
                key,
                unscoped: *unscoped,
                from,
                to: &holding.contact,
                state: holding.state,
            }),
            Some(_) => {}
        }
    }
    let holders = table::claim_each(session, &claims).await?;
    let ours = claims.iter().map(|(_, contact, _)| *contact);
    Ok(ours.eq(holders.iter()) && table::change_each(session, &changes).await?)
}

/// What is to be written of a contact.
struct Writing<'a> {
    account: &'a AccountId,
    /// What the latest message says, and whether that is of before the connection.
    latest: Option<(Said<'a>, bool)>,
    renamed: Vec<Said<'a>>,
    /// Numbers that are somebody else's now.
    lost: Vec<String>,
    /// Whether it is known by something else than before.
    identities: bool,
}

impl<'a> Writing<'a> {
    fn of(account: &'a AccountId) -> Self {
        Writing {
            account,
            latest: None,
            renamed: Vec::new(),
            lost: Vec::new(),
            identities: false,
        }
    }

    /// Leaves out what is stored already. False if nothing is left.
    fn keep_news(&mut self, stored: &Stored) -> bool {
        let latest = self.latest.filter(|(_, historic)| !historic);
        self.latest = latest.filter(|(said, _)| said.is_news(stored));
        let said = self.latest.is_some() || !self.renamed.is_empty();
        said || !self.lost.is_empty() || self.identities
    }
}

/// Adds the new contacts, and brings the others up to date. The rows of contacts are locked in the order of their ids.
/// Returns the events of those that are changed.
pub(super) async fn contacts(
    context: &Context,
    session: &mut Session,
    people: &People<'_>,
    incoming: &[Incoming<'_>],
    renamed: &[(ContactId, &Arrival, &Renamed)],
    now: i64,
) -> Result<Vec<Event>, Error> {
    let stored = |id: &ContactId| {
        let known = people.contacts.get(id);
        known.and_then(|known| known.stored.as_ref())
    };
    let mut writing = gather(people, incoming, renamed)?;
    writing.retain(|id, writing| stored(id).is_none_or(|stored| writing.keep_news(stored)));
    let (known, new): (Vec<_>, Vec<_>) = writing.iter().partition(|(id, _)| stored(id).is_some());
    let locked = known.iter().map(|(id, writing)| (writing.account, **id));
    contacts::lock(session, &locked.collect::<Vec<_>>()).await?;
    let new = new
        .iter()
        .filter_map(|(_, writing)| writing.latest.map(|(said, _)| said));
    contacts::insert_each(session, &new.collect::<Vec<_>>(), now).await?;
    let mut events = Vec::new();
    for (id, writing) in known {
        let latest = writing.latest.iter().map(|(said, _)| said);
        for said in latest.chain(&writing.renamed) {
            contacts::update(session, said).await?;
        }
        for number in &writing.lost {
            contacts::forget_phone(session, writing.account, id, number).await?;
        }
        events.push((writing.account, *id, EventId::new(&context.clock)));
    }
    let touched: Vec<_> = events
        .iter()
        .map(|(a, id, event)| (*a, *id, event))
        .collect();
    contacts::touch(session, &touched).await?;
    let shown = writing.iter().filter(|(_, writing)| writing.identities);
    let shown: Vec<_> = shown.map(|(id, writing)| (writing.account, *id)).collect();
    contacts::show_identities(session, &shown).await?;
    let all: Vec<_> = writing
        .iter()
        .map(|(id, writing)| (writing.account, *id))
        .collect();
    words::index(session, &all).await?;
    Ok(events
        .iter()
        .map(|(account, id, event)| Event::of_contact(event, account, id))
        .collect())
}

/// All that is said of each contact.
fn gather<'a>(
    people: &'a People<'_>,
    incoming: &'a [Incoming<'_>],
    renamed: &'a [(ContactId, &'a Arrival, &'a Renamed)],
) -> Result<BTreeMap<&'a ContactId, Writing<'a>>, Error> {
    let mut all: BTreeMap<&ContactId, Writing<'_>> = BTreeMap::new();
    for one in incoming {
        let named = one.named();
        let number = named
            .keys()
            .find(|key| key.identity.kind == IdentityKind::Phone);
        let said = Said {
            account: named.account,
            channel: named.channel,
            id: one.contact()?,
            contact: &one.message.contact,
            with_phone: number.is_none_or(|key| people.is_present(&key)),
        };
        let latest = &mut at(&mut all, said.id, said.account).latest;
        let historic = one.message.historic;
        // A message that is handed over says what held before.
        if !historic || latest.is_none_or(|(_, historic)| historic) {
            *latest = Some((said, historic));
        }
    }
    for (id, arrival, said) in renamed {
        let said = Said {
            account: &arrival.account,
            channel: arrival.channel,
            id,
            contact: &said.contact,
            with_phone: true,
        };
        at(&mut all, id, said.account).renamed.push(said);
    }
    for (account, id, number) in &people.lost_phones {
        let number = format!("+{}", number.value.trim_start_matches('+'));
        at(&mut all, id, account).lost.push(number);
    }
    for (key, holding) in &people.holdings {
        if holding.is_changed() {
            let before = holding.stored.iter().map(|(before, ..)| before);
            for id in before.chain([&holding.contact]) {
                at(&mut all, id, key.account).identities = true;
            }
        }
    }
    Ok(all)
}

fn at<'m, 'a>(
    all: &'m mut BTreeMap<&'a ContactId, Writing<'a>>,
    id: &'a ContactId,
    account: &'a AccountId,
) -> &'m mut Writing<'a> {
    all.entry(id).or_insert_with(|| Writing::of(account))
}
