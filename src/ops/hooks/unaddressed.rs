//! Meta's updates without the address of an inbox: changes of a whole business account, and the updates of the dashboard's
//! Test button. The business account, or otherwise the secret that signed them, shows whose they are.
//!
//! Invariant: for one such update at most [`MOST`] secrets are tried on at most [`LONGEST`] bytes. An inbox gets a person's
//! message only if no other inbox has the same secret.

use super::{
    Format, MetaRequest, SignedUpdate, all_items, arrival, same_secret, set_aside, signer,
};
use crate::{
    error::Error,
    ops::{
        Context,
        destinations::{Destination, open},
    },
    store::addresses,
};
use channels::Item;

/// The maximum number of inboxes whose secrets are tried.
const MOST: usize = 64;
/// The maximum length of a body on which secrets are tried, in bytes.
const LONGEST: usize = 64 * 1024;

/// Checks the signature of an update without an address, and returns its items. `None` if no inbox's secret signed it, or
/// if it has an address.
pub(super) async fn check_signature(
    context: &Context,
    request: &MetaRequest<'_>,
    format: &Format,
) -> Result<Option<SignedUpdate>, Error> {
    let body = &request.source.body;
    let short = Some(body).filter(|body| body.len() <= LONGEST);
    let Some(accounts) = short.and_then(|body| (format.unaddressed)(body)) else {
        return Ok(None);
    };
    let signed = signed(context, request, &accounts).await?;
    let Some(first) = signed.first() else {
        return Ok(None);
    };
    let items = all_items(format, body);
    let mut arrival = arrival(first, request.channel, &request.source, Vec::new());
    let of_one_account = signed.iter().all(|one| one.account == arrival.account);
    let (arrivals, foreign) = match (signed.len(), of_one_account) {
        (1, _) => {
            arrival.items = items;
            (vec![arrival], 0)
        }
        // The update is for the account. It does not prove a certain inbox.
        (_, true) => {
            arrival.proved = true;
            arrival.items = items.into_iter().map(for_account).collect();
            (vec![arrival], 0)
        }
        (_, false) => (Vec::new(), items.iter().map(Item::count).sum()),
    };
    Ok(Some(SignedUpdate::new(request.channel, arrivals, foreign)))
}

fn for_account(item: Item) -> Item {
    match item {
        Item::Business(_) => item,
        item => set_aside(item),
    }
}

/// The inboxes whose secret signed the update: those of its business accounts, otherwise any that are tried.
async fn signed(
    context: &Context,
    request: &MetaRequest<'_>,
    accounts: &[String],
) -> Result<Vec<Destination>, Error> {
    let mut session = context.db.read().await?;
    let mut known = Vec::new();
    for account in accounts {
        let left = MOST - known.len();
        let of = addresses::of_business(&mut session, request.channel, account, left);
        known.extend(of.await?);
    }
    let left = MOST - known.len();
    let others = addresses::newest(&mut session, request.channel, left).await?;
    drop(session);
    for holders in [known, others] {
        let opened = holders.into_iter().map(|one| open(context, one));
        let mut tried = opened.collect::<Result<Vec<_>, _>>()?;
        if let Some(at) = signer(request, tried.iter()).await {
            let secret = tried[at].app_secret.clone();
            tried.retain(|one| same_secret(one.app_secret.as_ref(), secret.as_ref()));
            return Ok(tried);
        }
    }
    Ok(Vec::new())
}
