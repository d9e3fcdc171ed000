//! Destinations of updates: the inbox for an address, and the secret that its updates are signed with.
//!
//! `ops::destinations` looks them up in the store.

use crate::{
    domain::Channel,
    id::{AccountId, InboxId},
};
use secrecy::{ExposeSecret, SecretString};

/// The size of an entry in bytes without its texts, with the map's overhead and its account's state.
const DESTINATION: usize = 512;

/// How an update names the inbox that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HookAddress {
    /// By the inbox's address at its provider.
    Provider(Channel, String),
    /// By the inbox's id.
    Inbox(Channel, InboxId),
}

/// The inbox that an update is for.
#[derive(Debug)]
pub struct Destination {
    /// The account that owns the inbox.
    pub account: AccountId,
    /// The inbox's id.
    pub inbox: InboxId,
    /// True if the channel has already proved that it works.
    pub proved: bool,
    /// The secret that Meta signs updates with, if it is set.
    pub app_secret: Option<SecretString>,
}

/// The size of an entry in bytes. Estimated, and rather too high than too low.
pub(super) fn bytes(address: &HookAddress, destination: &Destination) -> usize {
    let address = match address {
        HookAddress::Provider(_, address) => address.len(),
        HookAddress::Inbox(_, inbox) => inbox.as_str().len(),
    };
    let secret = destination.app_secret.as_ref();
    DESTINATION + address + secret.map_or(0, |secret| secret.expose_secret().len())
}
