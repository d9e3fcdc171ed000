//! Credentials of inboxes. They are sealed before they are stored, and opened when they are read.
//!
//! Which credentials an inbox can have depends on its type, and is not decided here.
//!
//! Invariant: a stored credential opens only under the server's key, and only in its own row.

use super::Context;
use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, InboxId},
    input::Given,
    store::secrets,
    vault::Place,
};
use db::Session;
use secrecy::{ExposeSecret, SecretString};

/// The credential with which the provider is called, if the channel has one.
pub(super) fn to_call(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Telegram => Some("bot_token"),
        Channel::Whatsapp | Channel::Instagram => Some("access_token"),
        Channel::Livechat => None,
    }
}

/// What tells a credential from another one of the same name. It does not show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The credential's name.
    pub(super) name: &'static str,
    hash: blake3::Hash,
}

impl Fingerprint {
    /// Of this credential.
    pub(super) fn of(name: &'static str, secret: &str) -> Self {
        Fingerprint {
            name,
            hash: blake3::hash(secret.as_bytes()),
        }
    }
}

/// The credentials of a change, by their names: absent ones stay as they are, and `null` removes one.
pub type Credentials = Vec<(&'static str, Given<SecretString>)>;

/// Stores these credentials, and removes those that are `null`.
pub(super) async fn put_all(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    given: &[(&'static str, Given<SecretString>)],
) -> Result<(), Error> {
    for (name, secret) in given {
        match secret {
            Given::Absent => {}
            Given::Value(secret) => {
                let place = Place {
                    account,
                    inbox,
                    name,
                };
                let sealed = context.vault.seal(&place, secret.expose_secret());
                secrets::put(session, account, inbox, name, &sealed).await?;
            }
            Given::Null => secrets::delete(session, account, inbox, name).await?,
        }
    }
    Ok(())
}

/// A credential of an inbox, if it is set.
pub(super) async fn find(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    name: &'static str,
) -> Result<Option<String>, Error> {
    let sealed = secrets::find(session, account, inbox, name).await?;
    let place = Place {
        account,
        inbox,
        name,
    };
    sealed
        .map(|sealed| context.vault.open(&place, &sealed))
        .transpose()
        .map_err(|error| Error::Internal(format!("inbox {inbox}: {error}")))
}
