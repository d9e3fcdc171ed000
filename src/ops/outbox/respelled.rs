//! Numbers that WhatsApp spells otherwise than they were written to, as it does with some of Brazil, Mexico and Argentina.
//!
//! Invariant: what the person answers under the provider's spelling comes to the conversation that the message was sent in.

use super::{Conclusion, Ended};
use crate::{
    domain::Channel,
    error::Error,
    ops::{
        Context,
        ingest::{Arrival, Source, Stored, contention, store_in},
    },
};
use channels::{
    Contact, Identity, IdentityKind, Item, Moment, Renamed,
    send::outcome::{Outcome, Taken},
};
use db::Session;
use std::sync::Arc;

/// Notes the spellings that answers told, as if an update had told that the numbers were changed. `None` if there are none.
pub(super) async fn note(
    context: &Context,
    session: &mut Session,
    list: &[&Conclusion],
) -> Result<Option<Stored>, Error> {
    let now = context.clock.now();
    let arrivals: Vec<_> = list
        .iter()
        .filter_map(|one| Some(arrival(one, renamed(&one.ended, now)?)))
        .collect();
    if arrivals.is_empty() {
        return Ok(None);
    }
    let stored = store_in(context, session, &[&arrivals]).await?;
    stored.ok_or_else(contention).map(Some)
}

fn renamed(ended: &Ended, now: i64) -> Option<Renamed> {
    let Ended::Answered(Outcome::Taken(Taken {
        respelled: Some((given, shown)),
        ..
    })) = ended
    else {
        return None;
    };
    let phone = |number: &str| Identity::new(IdentityKind::Phone, number);
    Some(Renamed {
        contact: Contact {
            identities: vec![phone(shown)],
            phone: Some(format!("+{shown}")),
            ..Contact::default()
        },
        former: vec![phone(given)],
        timestamp: Some(Moment {
            seconds: now,
            millis: 0,
        }),
    })
}

fn arrival(one: &Conclusion, renamed: Renamed) -> Arrival {
    Arrival {
        source: Arc::new(Source::default()),
        account: one.of.account.clone(),
        inbox: one.of.inbox.clone(),
        channel: Channel::Whatsapp,
        proved: true,
        items: vec![Item::Renamed(Box::new(renamed))],
    }
}
