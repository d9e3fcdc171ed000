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

/// The maximum number of addresses in one statement.
const AT_ONCE: usize = 1000;

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

    /// The inbox that has each of these addresses.
    pub(super) async fn by_addresses(
        &mut self,
        channel: Channel,
        addresses: &[String],
    ) -> Result<Vec<Option<Arc<Destination>>>, Error> {
        let address = |place: usize| HookAddress::Provider(channel, addresses[place].clone());
        let cache = &self.context.cache;
        let cached = |place| cache.destination(self.freshness, &address(place));
        let mut found: Vec<_> = (0..addresses.len()).map(cached).collect();
        let unknown = (0..found.len()).filter(|place| found[*place].is_none());
        let unknown: Vec<_> = unknown.collect();
        for places in unknown.chunks(AT_ONCE) {
            let asked = places.iter().map(|place| addresses[*place].as_str());
            let asked: Vec<_> = asked.collect();
            let session = self.session().await?;
            let holders = addresses::find_each(session, channel, &asked).await?;
            for (place, holder) in places.iter().zip(holders) {
                found[*place] = self.open(address(*place), holder)?;
            }
        }
        Ok(found)
    }

    /// The inbox that has this id.
    pub(super) async fn by_id(
        &mut self,
        channel: Channel,
        inbox: &InboxId,
    ) -> Result<Option<Arc<Destination>>, Error> {
        let address = HookAddress::Inbox(channel, inbox.clone());
        if let Some(cached) = self.context.cache.destination(self.freshness, &address) {
            return Ok(Some(cached));
        }
        let found = addresses::find_inbox(self.session().await?, channel, inbox).await?;
        self.open(address, found)
    }

    async fn session(&mut self) -> Result<&mut Session, Error> {
        Ok(match &mut self.session {
            Some(session) => session,
            none => none.insert(self.context.db.read().await?),
        })
    }

    /// Opens the destination with an address and caches it. An unknown address is not cached, since anybody can invent such
    /// addresses.
    fn open(
        &self,
        address: HookAddress,
        found: Option<addresses::Holder>,
    ) -> Result<Option<Arc<Destination>>, Error> {
        let Some(found) = found else {
            return Ok(None);
        };
        let cache = &self.context.cache;
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
