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
    on_blocking_thread,
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
    iter,
    sync::Arc,
};
use tokio::task::yield_now;

/// The maximum number of items of an update. The largest of Meta's, of 3 MB, has room for no more that people wrote.
const MOST_ITEMS: usize = 10_000;

/// The maximum size of an update in quarantine, in bytes. Each inbox that it is for has its own copy.
const MOST_KEPT: usize = 64 * 1024 * 1024;

/// The length in bytes from which an update is read on a thread that may block.
const LONG: usize = 64 * 1024;

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
/// secrets are tried. For an update without an address see `unaddressed`.
pub async fn check_signature(
    context: &Context,
    request: MetaRequest<'_>,
) -> Result<Option<SignedUpdate>, Error> {
    let format = format(request.channel).ok_or(Error::NotFound("inbox"))?;
    let body = &request.source.body;
    let mut addressed = find_addressed(context, request.channel, (format.addresses)(body)).await?;
    if addressed.is_empty() {
        let update = unaddressed::check_signature(context, &request, &format).await?;
        return update.map(Some).ok_or(Error::NotFound("inbox"));
    }
    let tried = addressed.iter().map(|one| &*one.to);
    let Some(at) = signer(&request, tried).await else {
        return Ok(None);
    };
    let signer = addressed.remove(at);
    let (context, channel, source) = (context.clone(), request.channel, request.source);
    let length = source.body.len();
    let work = async move { sort(&context, channel, &source, &format, signer, addressed).await };
    by_length(length, work).await.map(Some)
}

/// The items of an update for each inbox whose secret signed it: that of `signer`. `others` are the other inboxes whose
/// addresses were found before it was parsed.
async fn sort(
    context: &Context,
    channel: Channel,
    source: &Arc<Source>,
    format: &Format,
    signer: Addressed,
    others: Vec<Addressed>,
) -> Result<SignedUpdate, Error> {
    let length = source.body.len();
    let parts = match read(format, &source.body) {
        Ok(update) => by_address(update, &signer.address),
        // The whole update goes to quarantine, for as many of these inboxes as there is room for.
        Err(malformed) => iter::once(&signer)
            .chain(&others)
            .take((MOST_KEPT / length.max(1)).max(1))
            .map(|one| (one.address.clone(), vec![unreadable(&malformed)]))
            .collect(),
    };
    // The update proves the signer, even if it has no items for it.
    let mut addresses = vec![signer.address.clone()];
    let mut items_at = vec![Vec::new()];
    let mut places = HashMap::from([(signer.address, 0)]);
    for (address, items) in parts {
        let place = *places.entry(address).or_insert_with_key(|address| {
            addresses.push(address.clone());
            items_at.push(Vec::new());
            items_at.len() - 1
        });
        items_at[place].extend(items);
    }

    // There is one signature, so other inboxes have signed the update only if they have the same secret.
    let secret = signer.to.app_secret.as_ref();
    let mut search = Search::new(context);
    let found = search.by_addresses(channel, &addresses).await?;
    let mut arrivals = Vec::new();
    let (mut foreign, mut kept) = (0, 0);
    for (to, items) in found.into_iter().zip(items_at) {
        match to.filter(|to| same_secret(to.app_secret.as_ref(), secret)) {
            Some(to) => {
                let unreadable = |item: &Item| matches!(item, Item::Unreadable { .. });
                kept += usize::from(items.iter().any(unreadable));
                arrivals.push(arrival(&to, channel, source, items));
            }
            None => foreign += items.iter().map(Item::count).sum::<u64>(),
        }
    }
    if kept > 1 && kept * length > MOST_KEPT {
        return Err(Error::TooLarge);
    }
    Ok(SignedUpdate::new(channel, arrivals, foreign))
}

/// Parses an update. If it has too many items, all of them are unreadable.
fn read(format: &Format, body: &[u8]) -> Result<Update, Malformed> {
    let mut update = (format.parse)(body)?;
    let items: usize = update.parts.iter().map(|part| part.items.len()).sum();
    if items > MOST_ITEMS {
        for part in &mut update.parts {
            part.items = vec![Item::Unreadable {
                reason: "one of more than 10,000 items in one update".into(),
                count: part.items.iter().map(Item::count).sum(),
            }];
        }
    }
    Ok(update)
}

/// The items of an update, whatever their addresses.
fn all_items(format: &Format, body: &[u8]) -> Vec<Item> {
    match read(format, body) {
        Ok(update) => {
            let parts = update.parts.into_iter();
            parts.flat_map(|part| part.items).collect()
        }
        Err(malformed) => vec![unreadable(&malformed)],
    }
}

/// Reads an update of this length in bytes: a long one on a thread that may block.
async fn by_length<T: Send + 'static>(
    length: usize,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match length > LONG {
        true => on_blocking_thread(work).await,
        false => work.await,
    }
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
    let found = search.by_addresses(channel, &addresses).await?;
    let both = addresses.into_iter().zip(found);
    let addressed = both.filter_map(|(address, to)| to.map(|to| Addressed { address, to }));
    Ok(addressed.collect())
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
    let length = source.body.len();
    let work = async move {
        let items = all_items(&format, &source.body);
        Ok(vec![arrival(&to, channel, &source, items)])
    };
    by_length(length, work).await.map(Some)
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
