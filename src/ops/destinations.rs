//! Finds the destination of an update: the inbox with its address, and the secret that its updates are signed with.
//!
//! `hooks` checks whether an update is genuine.
//!
//! Invariant: a destination is as fresh as [`crate::cache`] promises.

pub use crate::cache::Destination;

use super::Context;
use crate::{
    cache::{FillToken, Freshness, HookAddress},
    domain::Channel,
    error::Error,
    id::InboxId,
    store::addresses,
    vault::Place,
};
use db::Session;
use secrecy::SecretString;
use std::sync::Arc;

/// Looks up the destinations of one request.
pub(super) struct Search<'a> {
    context: &'a Context,
    freshness: Freshness,
    /// `None` if destinations that are read cannot be cached.
    token: Option<FillToken>,
    /// Opened for the first destination that is not cached.
    session: Option<Session>,
}

impl<'a> Search<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        let freshness = context.cache.freshness();
        Search {
            context,
            freshness,
            token: context.cache.fill_token(freshness),
            session: None,
        }
    }

    /// The inbox that has this address.
    pub(super) async fn by_address(
        &mut self,
        channel: Channel,
        address: &str,
    ) -> Result<Option<Arc<Destination>>, Error> {
        let address = HookAddress::Provider(channel, address.to_owned());
        self.find(address).await
    }

    /// The inbox that has this id.
    pub(super) async fn by_id(
        &mut self,
        channel: Channel,
        inbox: &InboxId,
    ) -> Result<Option<Arc<Destination>>, Error> {
        self.find(HookAddress::Inbox(channel, inbox.clone())).await
    }

    async fn find(&mut self, address: HookAddress) -> Result<Option<Arc<Destination>>, Error> {
        let cache = &self.context.cache;
        if let Some(cached) = cache.destination(self.freshness, &address) {
            return Ok(Some(cached));
        }
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(self.context.db.read().await?),
        };
        let found = match &address {
            HookAddress::Provider(channel, address) => {
                addresses::find(session, *channel, address).await?
            }
            HookAddress::Inbox(channel, inbox) => {
                addresses::find_inbox(session, *channel, inbox).await?
            }
        };
        // An unknown address is not cached, since anybody can invent such addresses.
        let Some(found) = found else {
            return Ok(None);
        };
        let destination = Arc::new(open(self.context, found)?);
        if let Some(token) = self.token {
            cache.fill_destination(token, address, &destination);
        }
        Ok(Some(destination))
    }
}

pub(super) fn open(context: &Context, found: addresses::Holder) -> Result<Destination, Error> {
    let place = Place {
        account: &found.account,
        inbox: &found.inbox,
        name: "app_secret",
    };
    let app_secret = found
        .app_secret
        .map(|sealed| context.vault.open(&place, &sealed))
        .transpose()
        .map_err(|error| Error::Internal(format!("inbox {}: {error}", found.inbox)))?
        .map(SecretString::from);
    Ok(Destination {
        account: found.account,
        inbox: found.inbox,
        proved: found.proved,
        app_secret,
    })
}
