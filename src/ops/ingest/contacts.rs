//! Who wrote the messages of a batch: contacts made, found by another name, and brought up to date.

use super::incoming::Incoming;
use crate::{
    error::Error,
    id::{AccountId, ContactId},
    ops::Context,
    store::contacts,
};
use db::Session;
use std::collections::{BTreeMap, HashMap};

/// By what a contact of a batch is known again.
type Who<'a> = (&'a AccountId, &'static str, &'a str);

fn who<'a>(key: &contacts::Key<'a>) -> Who<'a> {
    (key.account, key.channel.as_str(), &key.contact.provider_id)
}

/// Finds the contact of each message, made or brought up to date.
pub(super) async fn resolve(
    context: &Context,
    session: &mut Session,
    incoming: &mut [Incoming<'_>],
    now: i64,
) -> Result<(), Error> {
    // The last message of a contact in the batch says what holds of it now; a handed-over one says what held.
    let mut distinct: BTreeMap<Who<'_>, (contacts::Key<'_>, &Incoming<'_>)> = BTreeMap::new();
    for one in incoming.iter() {
        let key = one.contact_key();
        match distinct.get(&who(&key)) {
            Some((_, last)) if one.message.historic && !last.message.historic => {}
            _ => {
                distinct.insert(who(&key), (key, one));
            }
        }
    }
    let mut ids: HashMap<Who<'_>, ContactId> = HashMap::with_capacity(distinct.len());
    let (mut known, mut new, mut renamed) = (Vec::new(), Vec::new(), Vec::new());
    for (key, one) in distinct.values() {
        let historic = one.message.historic;
        match &one.known {
            Some(stored) => known.push((key, historic, stored.clone())),
            None if key.contact.alias.is_none() => new.push(key),
            None => renamed.push((key, historic)),
        }
    }
    for (key, id) in add(context, session, &new, now).await? {
        ids.insert(who(key), id);
    }
    // One by one, after the others: each may turn out to be somebody who is known by a number alone, from now on, too.
    for (key, historic) in renamed {
        match adopt(session, key).await? {
            Some(stored) => known.push((key, historic, stored)),
            None => {
                for (key, id) in add(context, session, &[key], now).await? {
                    ids.insert(who(key), id);
                }
            }
        }
    }
    for (key, historic, stored) in known {
        if !historic && says_more(key.contact, &stored) {
            contacts::update(session, key, &stored.id).await?;
        }
        ids.insert(who(key), stored.id);
    }
    for one in incoming {
        one.contact = ids.get(&who(&one.contact_key())).cloned();
    }
    Ok(())
}

/// A contact that was known by its number alone, and now comes with its own id, stays the same contact.
/// One whose number already belongs to another id is somebody else: numbers are handed on.
async fn adopt(
    session: &mut Session,
    key: &contacts::Key<'_>,
) -> Result<Option<contacts::Stored>, Error> {
    let Some(alias) = &key.contact.alias else {
        return Ok(None);
    };
    let Some(stored) = contacts::find_by_alias(session, key, alias).await? else {
        return Ok(None);
    };
    contacts::point(session, key, &key.contact.provider_id, &stored.id).await?;
    contacts::rename(session, key, &stored.id).await?;
    Ok(Some(stored))
}

/// Adds contacts. Returns each with its id: where another node was faster, that of the contact that it added.
async fn add<'k, 'a>(
    context: &Context,
    session: &mut Session,
    keys: &[&'k contacts::Key<'a>],
    now: i64,
) -> Result<Vec<(&'k contacts::Key<'a>, ContactId)>, Error> {
    let fresh: Vec<_> = keys
        .iter()
        .map(|_| ContactId::new(&context.clock))
        .collect();
    let ids = contacts::claim_each(session, keys, &fresh).await?;
    let added: Vec<_> = keys.iter().copied().zip(ids).collect();
    let ours: Vec<_> = added
        .iter()
        .zip(&fresh)
        .filter(|((_, id), fresh)| id == *fresh)
        .map(|((key, id), _)| (*key, id))
        .collect();
    contacts::insert_each(session, &ours, now).await?;
    for (key, id) in &added {
        if let Some(alias) = &key.contact.alias {
            contacts::point(session, key, alias, id).await?;
        }
    }
    Ok(added)
}

fn says_more(contact: &channels::Contact, stored: &contacts::Stored) -> bool {
    let differs = |new: Option<&str>, old: &Option<String>| new.is_some() && new != old.as_deref();
    differs(contact.name.as_deref(), &stored.name)
        || differs(contact.phone.as_deref(), &stored.phone)
        || differs(contact.username.as_deref(), &stored.username)
}
