//! Checks requests to hooks: which inbox they are for, and whether they are genuine.
//!
//! Invariant: an inbox gets only items of updates that were signed with its secret, or that had its token.

mod unaddressed;

use super::{
    Context,
    changes::commit,
    destinations::{Destination, Search},
    inboxes::prove,
    ingest::{Arrival, Source},
    transaction::again,
};
use crate::{
    domain::Channel,
    error::Error,
    id::InboxId,
    store::addresses::{self, Holder},
};
use channels::{Item, Malformed, Update, signature};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::task::yield_now;

/// The functions that read a channel's updates.
pub struct Format {
    /// Reads an update.
    pub parse: fn(&[u8]) -> Result<Update, Malformed>,
    /// Finds the addresses of an update without parsing it: at most 64. None if the inbox is in the URL.
    pub addresses: fn(&[u8]) -> Vec<String>,
    /// Of one that names no address: the business accounts that it names instead. None if it names one.
    pub unaddressed: fn(&[u8]) -> Option<Vec<String>>,
}

/// The format of each channel. Live chat has none, since it has no updates.
pub fn format(channel: Channel) -> Option<Format> {
    match channel {
        Channel::Whatsapp => Some(Format {
            parse: channels::whatsapp::parse,
            addresses: channels::whatsapp::addresses,
            unaddressed: channels::whatsapp::unaddressed,
        }),
        Channel::Instagram => Some(Format {
            parse: channels::instagram::parse,
            addresses: channels::instagram::addresses,
            unaddressed: channels::instagram::unaddressed,
        }),
        Channel::Telegram => Some(Format {
            parse: channels::telegram::parse,
            addresses: |_| Vec::new(),
            unaddressed: |_| None,
        }),
        Channel::Livechat => None,
    }
}

/// Handles Meta's verification. Returns whether the token is that of an inbox of this channel. If so, the inbox is proved.
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
    again(|| async {
        let mut session = context.db.write().await?;
        let changes = prove(context, &mut session, &account, &inbox).await?;
        commit(context, session, changes).await?;
        Ok(true)
    })
    .await
}

/// A request to one of Meta's hooks.
pub struct MetaRequest<'a> {
    /// The channel of the hook.
    pub channel: Channel,
    /// The value of `X-Hub-Signature-256`.
    pub signature: &'a str,
    /// The body, and headers for quarantine.
    pub source: Arc<Source>,
}

/// An update whose signature is valid for at least one inbox.
pub struct SignedUpdate {
    /// The items for each inbox whose app secret signed it. None if nothing tells for which of several inboxes they are.
    pub arrivals: Vec<Arrival>,
    /// The number of items for other addresses: for no inbox of this server, or for one with another secret.
    pub foreign: u64,
}

/// Checks an update's signature, and returns its items for the inboxes whose app secret signed it. `None` if there is no
/// such inbox, and [`Error::NotFound`] if the update has no address of this server.
///
/// Until the signature is checked, anybody may have sent the update. So only its first addresses are read, and only their
/// secrets are tried. For an update without an address see [`unaddressed`].
pub async fn check_signature(
    context: &Context,
    request: MetaRequest<'_>,
) -> Result<Option<SignedUpdate>, Error> {
    let format = format(request.channel).ok_or(Error::NotFound("inbox"))?;
    let body = &request.source.body;
    let addressed = find_addressed(context, request.channel, (format.addresses)(body)).await?;
    if addressed.is_empty() {
        let update = unaddressed::check_signature(context, &request, &format).await?;
        return update.map(Some).ok_or(Error::NotFound("inbox"));
    }
    let tried = addressed.iter().map(|one| &*one.to);
    let Some(signer) = signer(&request, tried)
        .await
        .and_then(|at| addressed.get(at))
    else {
        return Ok(None);
    };
    let parts = match (format.parse)(body) {
        Ok(update) => by_address(update, &signer.address),
        // The whole update goes to quarantine, for each inbox whose secret signed it.
        Err(malformed) => addressed
            .iter()
            .map(|one| (one.address.clone(), vec![unreadable(&malformed)]))
            .collect(),
    };

    // There is one signature, so other inboxes have signed the update only if they have the same secret.
    let secret = signer.to.app_secret.as_ref();
    let mut signed = Vec::new();
    let mut known: HashMap<String, Option<usize>> = HashMap::new();
    let mut search = Search::new(context);
    let mut foreign = 0;
    // The update proves the signer, even if it has no items for it.
    for (address, items) in [(signer.address.clone(), Vec::new())]
        .into_iter()
        .chain(parts)
    {
        let place = match known.get(&address) {
            Some(place) => *place,
            None => {
                let to = search.by_address(request.channel, &address).await?;
                let to = to.filter(|to| same_secret(to.app_secret.as_ref(), secret));
                let place = to.map(|to| {
                    signed.push(arrival(&to, request.channel, &request.source, Vec::new()));
                    signed.len() - 1
                });
                known.insert(address, place);
                place
            }
        };
        match place.and_then(|place| signed.get_mut(place)) {
            Some(arrival) => arrival.items.extend(items),
            None => foreign += items.iter().map(Item::count).sum::<u64>(),
        }
    }
    Ok(Some(SignedUpdate::new(request.channel, signed, foreign)))
}

impl SignedUpdate {
    fn new(channel: Channel, arrivals: Vec<Arrival>, foreign: u64) -> Self {
        if foreign > 0 {
            tracing::warn!(
                channel = channel.as_str(),
                items = foreign,
                "parts of an update are for no inbox of this server, or not signed with its secret"
            );
        }
        SignedUpdate { arrivals, foreign }
    }
}

/// The items of an update, by address. Items without an address are for `own`, unless the update also has other addresses.
/// Then they could be for any of them, and must not end up in the wrong inbox. They go to the quarantine of `own`.
pub(super) fn by_address(update: Update, own: &str) -> Vec<(String, Vec<Item>)> {
    let alone = update
        .parts
        .iter()
        .filter_map(|part| part.address.as_deref())
        .all(|address| address == own);
    let parts = update.parts.into_iter();
    let addressed = parts.map(|part| match part.address {
        Some(address) => (address, part.items),
        None if alone => (own.to_owned(), part.items),
        None => {
            let items = part.items.into_iter().map(set_aside);
            (own.to_owned(), items.collect())
        }
    });
    addressed.collect()
}

fn set_aside(item: Item) -> Item {
    match item {
        Item::Ignored { .. } | Item::Unreadable { .. } => item,
        _ => Item::Unreadable {
            reason: "without an address, in an update for several".into(),
            count: 1,
        },
    }
}

/// An inbox whose address is in an update.
struct Addressed {
    address: String,
    to: Arc<Destination>,
}

/// The inboxes that have these addresses.
async fn find_addressed(
    context: &Context,
    channel: Channel,
    addresses: Vec<String>,
) -> Result<Vec<Addressed>, Error> {
    let mut search = Search::new(context);
    let mut addressed = Vec::new();
    for address in addresses {
        if let Some(to) = search.by_address(channel, &address).await? {
            addressed.push(Addressed { address, to });
        }
    }
    Ok(addressed)
}

/// The place of the first of these inboxes whose secret signed the body. Each secret is tried once, since the inboxes of one
/// app share it.
async fn signer<'a>(
    request: &MetaRequest<'_>,
    inboxes: impl Iterator<Item = &'a Destination>,
) -> Option<usize> {
    let mut tried = HashSet::new();
    for (at, to) in inboxes.enumerate() {
        let Some(secret) = &to.app_secret else {
            continue;
        };
        let secret = secret.expose_secret().as_bytes();
        if !tried.insert(Sha256::digest(secret)) {
            continue;
        }
        if signature::verify_meta(secret, &request.source.body, request.signature) {
            return Some(at);
        }
        // Hashing a long body takes milliseconds, so other tasks may run in between.
        yield_now().await;
    }
    None
}

fn same_secret(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    signature::equal(
        one.expose_secret().as_bytes(),
        other.expose_secret().as_bytes(),
    )
}

/// Checks an update to a hook with the inbox in its URL and the inbox's token in a header, and returns its items. `None` if
/// the token is wrong, and [`Error::NotFound`] if there is no such inbox.
pub async fn check_token(
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
        Ok(update) => update
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
        // A test update must not prove the inbox.
        proved: to.proved || source.test,
        items,
    }
}

fn unreadable(malformed: &Malformed) -> Item {
    Item::Unreadable {
        reason: malformed.reason.clone().into(),
        count: 1,
    }
}
