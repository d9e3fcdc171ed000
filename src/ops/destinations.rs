//! Where deliveries go: the inbox that a provider means, and the secret that its deliveries are signed with.
//!
//! Whether a delivery is genuine is not decided here, but in `hooks`.
//!
//! Invariant: what is found is as fresh as [`super::memory`] promises; whatever memory cannot vouch for is read from
//! the store.

use super::{
    Context,
    memory::{Name, Sight},
};
use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, InboxId},
    store::addresses,
    vault::Place,
};
use db::Session;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Where a delivery goes.
#[derive(Debug)]
pub struct Destination {
    /// Whose inbox it is.
    pub account: AccountId,
    /// Which.
    pub inbox: InboxId,
    /// Whether the channel has proved already that it works.
    pub proved: bool,
    /// What Meta signs deliveries with, if it is set.
    pub app_secret: Option<SecretString>,
}

impl Destination {
    /// Bytes that its texts take.
    pub fn bytes(&self) -> usize {
        let secret = self.app_secret.as_ref();
        self.account.as_str().len()
            + self.inbox.as_str().len()
            + secret.map_or(0, |secret| secret.expose_secret().len())
    }
}

/// Looks destinations up, for one request.
pub(super) struct Search<'a> {
    context: &'a Context,
    sight: Sight,
    era: u64,
    /// Opened for the first that memory does not have.
    session: Option<Session>,
}

impl<'a> Search<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Search {
            context,
            sight: context.memory.sight(),
            era: context.memory.destinations_era(),
            session: None,
        }
    }

    /// The inbox that has this address.
    pub(super) async fn by_address(
        &mut self,
        channel: Channel,
        address: &str,
    ) -> Result<Option<Arc<Destination>>, Error> {
        self.find(Name::Address(channel, address.to_owned())).await
    }

    /// The inbox that has this id.
    pub(super) async fn by_id(
        &mut self,
        channel: Channel,
        inbox: &InboxId,
    ) -> Result<Option<Arc<Destination>>, Error> {
        self.find(Name::Inbox(channel, inbox.clone())).await
    }

    async fn find(&mut self, name: Name) -> Result<Option<Arc<Destination>>, Error> {
        let memory = &self.context.memory;
        if let Some(kept) = memory.destination(self.sight, &name) {
            return Ok(Some(kept));
        }
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(self.context.db.read().await?),
        };
        let found = match &name {
            Name::Address(channel, address) => addresses::find(session, *channel, address).await?,
            Name::Inbox(channel, inbox) => addresses::find_inbox(session, *channel, inbox).await?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let destination = Arc::new(open(self.context, found)?);
        memory.keep_destination(self.sight, self.era, name, &destination);
        Ok(Some(destination))
    }
}

fn open(context: &Context, found: addresses::Holder) -> Result<Destination, Error> {
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
