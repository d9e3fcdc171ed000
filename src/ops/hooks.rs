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
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};

/// How a channel's deliveries are read.
pub struct Format {
    /// Reads one.
    pub parse: fn(&[u8]) -> Result<Delivery, Malformed>,
    /// Finds the addresses in one that cannot be read. None where the URL names the inbox.
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
pub async fn vouched(context: &Context, came: FromMeta<'_>) -> Result<Option<Vec<Arrival>>, Error> {
    let format = format(came.channel).ok_or(Error::NotFound("inbox"))?;
    let body = &came.source.body;
    let parts: Vec<(String, Vec<Item>)> = match (format.parse)(body) {
        Ok(delivery) => delivery
            .parts
            .into_iter()
            .filter_map(|part| Some((part.address?, part.items)))
            .collect(),
        // Kept whole, for each inbox that vouches for it.
        Err(malformed) => (format.addresses)(body)
            .into_iter()
            .map(|address| (address, vec![unreadable(&malformed)]))
            .collect(),
    };

    let known = destinations(context, &came, parts.iter().map(|(address, _)| address)).await?;
    if known.values().all(Option::is_none) {
        return Err(Error::NotFound("inbox"));
    }
    let all = parts.len();
    let arrivals: Vec<_> = parts
        .into_iter()
        .filter_map(|(address, items)| match known.get(&address) {
            Some(Some((to, true))) => Some(arrival(to, came.channel, &came.source, items)),
            _ => None,
        })
        .collect();
    if arrivals.is_empty() {
        return Ok(None);
    }
    if arrivals.len() < all {
        tracing::warn!(
            channel = came.channel.as_str(),
            parts = all - arrivals.len(),
            "parts of a delivery are for no inbox of ours, or not signed with its secret"
        );
    }
    Ok(Some(arrivals))
}

/// Addresses that are looked up for a delivery that no inbox has vouched for: whoever sends it may be anybody.
const UNVOUCHED: usize = 64;

/// Where each address leads, and whether that inbox's secret signed the delivery.
async fn destinations<'a>(
    context: &Context,
    came: &FromMeta<'_>,
    addresses: impl Iterator<Item = &'a String>,
) -> Result<HashMap<String, Option<(Arc<Destination>, bool)>>, Error> {
    let mut known = HashMap::new();
    // Inboxes of one app share its secret: the body is hashed once for each secret, not for each inbox.
    let mut verdicts = HashMap::new();
    let mut vouched = false;
    let mut search = Search::new(context);
    for address in addresses {
        if known.contains_key(address) {
            continue;
        }
        if !vouched && known.len() >= UNVOUCHED {
            break;
        }
        let judged = match search.by_address(came.channel, address).await? {
            None => None,
            Some(to) => {
                let genuine = match &to.app_secret {
                    None => false,
                    Some(secret) => {
                        let secret = secret.expose_secret().as_bytes();
                        let verdict = verdicts.entry(Sha256::digest(secret));
                        *verdict.or_insert_with(|| {
                            signature::verify_meta(secret, &came.source.body, came.signature)
                        })
                    }
                };
                vouched |= genuine;
                Some((to, genuine))
            }
        };
        known.insert(address.clone(), judged);
    }
    Ok(known)
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
        reason: malformed.reason.clone(),
        raw: String::new(),
    }
}
