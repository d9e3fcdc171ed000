//! Where updates go: the inbox behind an address, and the secret that its updates are signed with.
//!
//! How it is looked up in the store is not here: see `ops::destinations`.

use crate::{
    domain::Channel,
    id::{AccountId, InboxId},
};
use secrecy::{ExposeSecret, SecretString};

/// Bytes that one takes without its texts of any length: itself, what the map keeps of it, and its account's state.
const DESTINATION: usize = 512;

/// By what an update names the inbox that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HookAddress {
    /// By the address that it has at its provider.
    Provider(Channel, String),
    /// By its own id.
    Inbox(Channel, InboxId),
}

/// The inbox that an update is for.
#[derive(Debug)]
pub struct Destination {
    /// Whose inbox it is.
    pub account: AccountId,
    /// Which.
    pub inbox: InboxId,
    /// Whether the channel has proved already that it works.
    pub proved: bool,
    /// What Meta signs updates with, if it is set.
    pub app_secret: Option<SecretString>,
}

/// Bytes that an entry takes, on the safe side.
pub(super) fn bytes(address: &HookAddress, destination: &Destination) -> usize {
    let address = match address {
        HookAddress::Provider(_, address) => address.len(),
        HookAddress::Inbox(_, inbox) => inbox.as_str().len(),
    };
    let secret = destination.app_secret.as_ref();
    DESTINATION + address + secret.map_or(0, |secret| secret.expose_secret().len())
}
