//! Which inbox a provider's request is about, and whether it really comes from the provider.

use super::{
    Context,
    changes::{Changes, commit},
    destinations::{Destination, Search},
    events::What,
    inboxes::inbox_event,
    ingest::{Arrival, Source},
};
use crate::{
    domain::Channel,
    error::Error,
    id::{EventId, InboxId},
    store::{
        addresses::{self, Holder},
        inboxes,
    },
};
use channels::{Delivery, Item, Malformed, signature};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::task::yield_now;

/// How a channel's deliveries are read.
pub struct Format {
    /// Reads one.
    pub parse: fn(&[u8]) -> Result<Delivery, Malformed>,
    /// Finds the addresses that one names without reading it: 64 at most. None where the URL names the inbox.
    pub addresses: fn(&[u8]) -> Vec<String>,
}

/// The format of each channel. Live chat has none: its messages come one by one.
pub fn format(channel: Channel) -> Option<Format> {
    match channel {
        Channel::Whatsapp => Some(Format {
            parse: channels::whatsapp::parse,
            addresses: channels::whatsapp::addresses,
        }),
        Channel::Instagram => Some(Format {
            parse: channels::instagram::parse,
            addresses: channels::instagram::addresses,
        }),
        Channel::Telegram => Some(Format {
            parse: channels::telegram::parse,
            addresses: |_| Vec::new(),
        }),
        Channel::Livechat => None,
    }
}

/// Answers Meta's verification: whether the token is that of an inbox of this channel. If so, that inbox is proved.
pub async fn verify(context: &Context, channel: Channel, token: &str) -> Result<bool, Error> {
    let Some(inbox) = context.vault.verify_token_inbox(token) else {
        return Ok(false);
    };
    let mut session = context.db.read().await?;
    let found = addresses::find_inbox(&mut session, channel, &inbox).await?;
    drop(session);
    let Some(Holder { account, .. }) = found else {
        return Ok(false);
    };
    let mut session = context.db.write().await?;
    let change = EventId::new(&context.clock);
    let now = context.clock.now();
    let news = inboxes::prove(&mut session, &account, &inbox, now, &change).await?;
    let changes = match news {
        true => inbox_event(&account, &inbox, change, What::InboxChanged),
        false => Changes::none(),
    };
    commit(context, session, changes).await?;
    Ok(true)
}

/// What came to one of Meta's hooks.
pub struct FromMeta<'a> {
    /// Through which channel.
    pub channel: Channel,
    /// The value of `X-Hub-Signature-256`.
    pub signature: &'a str,
    /// What was signed.
    pub source: Arc<Source>,
}

/// The parts of a delivery whose own inbox's app secret signed it. `None` if no inbox's did, and
/// [`Error::NotFound`] if none of them is for an inbox of this server.
///
/// Until an inbox has vouched for a delivery, whoever sent it may be anybody. Only its first addresses are read until
/// then, and no more secrets are tried than those.
pub async fn vouched(context: &Context, came: FromMeta<'_>) -> Result<Option<Vec<Arrival>>, Error> {
    let format = format(came.channel).ok_or(Error::NotFound("inbox"))?;
    let body = &came.source.body;
    let named = named(context, came.channel, (format.addresses)(body)).await?;
    if named.is_empty() {
        return Err(Error::NotFound("inbox"));
    }
    let Some(secret) = signing_secret(&came, &named).await else {
        return Ok(None);
    };
    let parts: Vec<(String, Vec<Item>)> = match (format.parse)(body) {
        Ok(delivery) => delivery
            .parts
            .into_iter()
            .filter_map(|part| Some((part.address?, part.items)))
            .collect(),
        // Kept whole, for each inbox that vouches for it.
        Err(malformed) => named
            .iter()
            .map(|(address, _)| (address.clone(), vec![unreadable(&malformed)]))
            .collect(),
    };

    let mut known: HashMap<String, Option<Arc<Destination>>> = named
        .iter()
        .map(|(address, to)| (address.clone(), Some(to.clone())))
        .collect();
    let mut search = Search::new(context);
    let mut arrivals = Vec::new();
    let mut strange = 0_usize;
    for (address, items) in parts {
        if !known.contains_key(&address) {
            let to = search.by_address(came.channel, &address).await?;
            known.insert(address.clone(), to);
        }
        match known.get(&address) {
            // The body has one signature, so whoever vouches for it does so with the same secret.
            Some(Some(to)) if has_secret(to, &secret) => {
                arrivals.push(arrival(to, came.channel, &came.source, items));
            }
            _ => strange += 1,
        }
    }
    if strange > 0 {
        tracing::warn!(
            channel = came.channel.as_str(),
            parts = strange,
            "parts of a delivery are for no inbox of ours, or not signed with its secret"
        );
    }
    Ok(Some(arrivals))
}

/// The inboxes that have these addresses, each with its address.
async fn named(
    context: &Context,
    channel: Channel,
    addresses: Vec<String>,
) -> Result<Vec<(String, Arc<Destination>)>, Error> {
    let mut search = Search::new(context);
    let mut named = Vec::new();
    for address in addresses {
        if let Some(to) = search.by_address(channel, &address).await? {
            named.push((address, to));
        }
    }
    Ok(named)
}

/// The first of these inboxes' secrets that the body was signed with. Each secret is tried once, since inboxes of one
/// app share it.
async fn signing_secret(
    came: &FromMeta<'_>,
    named: &[(String, Arc<Destination>)],
) -> Option<SecretString> {
    let mut tried = HashSet::new();
    for (_, to) in named {
        let Some(secret) = &to.app_secret else {
            continue;
        };
        let bytes = secret.expose_secret().as_bytes();
        if !tried.insert(Sha256::digest(bytes)) {
            continue;
        }
        if signature::verify_meta(bytes, &came.source.body, came.signature) {
            return Some(secret.clone());
        }
        // Hashing a long body takes milliseconds: let others have their turn.
        yield_now().await;
    }
    None
}

fn has_secret(to: &Destination, secret: &SecretString) -> bool {
    let secret = secret.expose_secret().as_bytes();
    to.app_secret
        .as_ref()
        .is_some_and(|own| signature::equal(own.expose_secret().as_bytes(), secret))
}

/// What came to a hook that names its inbox, with the inbox's own token. `None` if the token is wrong, and
/// [`Error::NotFound`] if there is no such inbox.
pub async fn tokened(
    context: &Context,
    channel: Channel,
    inbox: &InboxId,
    token: &str,
    source: Arc<Source>,
) -> Result<Option<Vec<Arrival>>, Error> {
    let format = format(channel).ok_or(Error::NotFound("inbox"))?;
    let to = Search::new(context).by_id(channel, inbox).await?;
    let to = to.ok_or(Error::NotFound("inbox"))?;
    let expected = context.vault.inbox_token(inbox);
    if !signature::equal(expected.as_bytes(), token.as_bytes()) {
        return Ok(None);
    }
    let items = match (format.parse)(&source.body) {
        Ok(delivery) => delivery
            .parts
            .into_iter()
            .flat_map(|part| part.items)
            .collect(),
        Err(malformed) => vec![unreadable(&malformed)],
    };
    Ok(Some(vec![arrival(&to, channel, &source, items)]))
}

fn arrival(to: &Destination, channel: Channel, source: &Arc<Source>, items: Vec<Item>) -> Arrival {
    Arrival {
        source: source.clone(),
        account: to.account.clone(),
        inbox: to.inbox.clone(),
        channel,
        proved: to.proved,
        items,
    }
}

fn unreadable(malformed: &Malformed) -> Item {
    Item::Unreadable {
        reason: malformed.reason.clone().into(),
        count: 1,
    }
}
