//! Which inbox a provider's request is about, and whether it really comes from the provider.

use super::{Context, ingest::Arrival};
use crate::{
    domain::Channel,
    error::Error,
    store::{
        addresses::{self, Destination},
        inboxes,
    },
    vault::Place,
};
use channels::{Delivery, Item, signature};
use std::collections::HashMap;

/// Answers Meta's verification: whether the token is that of an inbox of this channel. If so, that inbox is proved.
pub async fn verify(context: &Context, channel: Channel, token: &str) -> Result<bool, Error> {
    let Some(inbox) = context.vault.verify_token_inbox(token) else {
        return Ok(false);
    };
    let mut session = context.db.read().await?;
    let account = addresses::find_inbox(&mut session, channel, &inbox).await?;
    drop(session);
    let Some(account) = account else {
        return Ok(false);
    };
    let mut session = context.db.write().await?;
    inboxes::prove(&mut session, &account, &inbox, context.clock.now()).await?;
    session.commit().await?;
    Ok(true)
}

/// A delivery whose signature is still to be checked.
pub struct Signed<'a> {
    /// Through which channel it came.
    pub channel: Channel,
    /// What it says, or why it cannot be read.
    pub delivery: Result<Delivery, Unreadable>,
    /// What was signed.
    pub body: &'a [u8],
    /// The value of `X-Hub-Signature-256`.
    pub signature: &'a str,
}

/// A delivery that cannot be read.
pub struct Unreadable {
    /// Why.
    pub reason: String,
    /// The addresses that could be found in it all the same.
    pub addresses: Vec<String>,
}

/// The parts of a delivery whose own inbox's app secret signed it. `None` if no inbox's did, and
/// [`Error::NotFound`] if none of them is for an inbox of this server.
pub async fn vouched(context: &Context, signed: Signed<'_>) -> Result<Option<Vec<Arrival>>, Error> {
    let parts: Vec<(String, Vec<Item>)> = match signed.delivery {
        Ok(delivery) => delivery
            .parts
            .into_iter()
            .filter_map(|part| Some((part.address?, part.items)))
            .collect(),
        // Kept whole, for the first inbox that vouches for it.
        Err(unreadable) => unreadable
            .addresses
            .into_iter()
            .map(|address| {
                let item = Item::Unreadable {
                    reason: unreadable.reason.clone(),
                    raw: String::from_utf8_lossy(signed.body).into_owned(),
                };
                (address, vec![item])
            })
            .take(1)
            .collect(),
    };

    let mut known = HashMap::new();
    let mut session = context.db.read().await?;
    for (address, _) in &parts {
        if !known.contains_key(address)
            && let Some(to) = addresses::find(&mut session, signed.channel, address).await?
        {
            let genuine = is_genuine(context, &to, signed.body, signed.signature)?;
            known.insert(address.clone(), (to, genuine));
        }
    }
    drop(session);
    if known.is_empty() {
        return Err(Error::NotFound("inbox"));
    }

    let arrivals: Vec<_> = parts
        .into_iter()
        .filter_map(|(address, items)| match known.get(&address) {
            Some((to, true)) => Some(Arrival {
                account: to.account.clone(),
                inbox: to.inbox.clone(),
                channel: signed.channel,
                proved: to.proved,
                items,
            }),
            _ => {
                tracing::warn!(
                    channel = signed.channel.as_str(),
                    address,
                    "a part of a delivery is for no inbox of ours, or not signed with its secret"
                );
                None
            }
        })
        .collect();
    Ok((!arrivals.is_empty()).then_some(arrivals))
}

fn is_genuine(
    context: &Context,
    to: &Destination,
    body: &[u8],
    signature: &str,
) -> Result<bool, Error> {
    let Some(sealed) = &to.app_secret else {
        return Ok(false);
    };
    let place = Place {
        account: &to.account,
        inbox: &to.inbox,
        name: "app_secret",
    };
    let secret = context
        .vault
        .open(&place, sealed)
        .map_err(|error| Error::Internal(format!("inbox {}: {error}", to.inbox)))?;
    Ok(signature::verify_meta(secret.as_bytes(), body, signature))
}
