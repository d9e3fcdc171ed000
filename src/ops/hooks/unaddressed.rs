//! Updates of Meta's that name no address of an inbox: what happened to a whole business account, and what the
//! dashboard's Test button sends. Whose they are follows from the business account, or else from the secret that signed
//! them.
//!
//! Invariant: whoever sends one has at most [`MOST`] secrets tried on at most [`LONGEST`] bytes, and a message of a person
//! reaches an inbox only if no other one's secret signed it, too.

use super::{Format, FromMeta, Vouched, arrival, same_secret, set_aside, signer, unreadable};
use crate::{
    error::Error,
    ops::{
        Context,
        destinations::{Destination, open},
    },
    store::addresses,
};
use channels::Item;

/// Inboxes whose secrets are tried.
const MOST: usize = 64;
/// Bytes of a body that secrets are tried on.
const LONGEST: usize = 64 * 1024;

/// What an update that names no address says to the inbox that vouches for it. `None` if no inbox does, or if it does name
/// an address.
pub(super) async fn vouched(
    context: &Context,
    came: &FromMeta<'_>,
    format: &Format,
) -> Result<Option<Vouched>, Error> {
    let body = &came.source.body;
    let short = Some(body).filter(|body| body.len() <= LONGEST);
    let Some(accounts) = short.and_then(|body| (format.unaddressed)(body)) else {
        return Ok(None);
    };
    let vouching = vouching(context, came, &accounts).await?;
    let Some(first) = vouching.first() else {
        return Ok(None);
    };
    let items: Vec<Item> = match (format.parse)(body) {
        Ok(update) => update
            .parts
            .into_iter()
            .flat_map(|part| part.items)
            .collect(),
        Err(malformed) => vec![unreadable(&malformed)],
    };
    let mut arrival = arrival(first, came.channel, &came.source, Vec::new());
    let of_one_account = vouching.iter().all(|one| one.account == arrival.account);
    let (arrivals, foreign) = match (vouching.len(), of_one_account) {
        (1, _) => {
            arrival.items = items;
            (vec![arrival], 0)
        }
        // It is the account's. Which inbox works is not proved by it.
        (_, true) => {
            arrival.proved = true;
            arrival.items = items.into_iter().map(for_account).collect();
            (vec![arrival], 0)
        }
        (_, false) => (Vec::new(), items.iter().map(Item::count).sum()),
    };
    Ok(Some(Vouched::new(came.channel, arrivals, foreign)))
}

fn for_account(item: Item) -> Item {
    match item {
        Item::Business(_) => item,
        item => set_aside(item),
    }
}

/// The inboxes whose secret signed it: those of its business accounts, or else of all that are tried.
async fn vouching(
    context: &Context,
    came: &FromMeta<'_>,
    accounts: &[String],
) -> Result<Vec<Destination>, Error> {
    let mut session = context.db.read().await?;
    let mut known = Vec::new();
    for account in accounts {
        let left = MOST - known.len();
        let of = addresses::of_business(&mut session, came.channel, account, left);
        known.extend(of.await?);
    }
    let left = MOST - known.len();
    let others = addresses::newest(&mut session, came.channel, left).await?;
    drop(session);
    for holders in [known, others] {
        let opened = holders.into_iter().map(|one| open(context, one));
        let mut tried = opened.collect::<Result<Vec<_>, _>>()?;
        if let Some(at) = signer(came, tried.iter()).await {
            let secret = tried[at].app_secret.clone();
            tried.retain(|one| same_secret(one.app_secret.as_ref(), secret.as_ref()));
            return Ok(tried);
        }
    }
    Ok(Vec::new())
}
