//! Inboxes: listing, creating, changing, deleting; what is set about them, and the addresses by which they are found.
//!
//! Invariant: an inbox's status follows from when it was proved and switched off, and its address is its own on the whole
//! server.

mod create;
mod delete;
mod input;
mod list;
mod rules;
mod update;

pub use create::create;
pub use delete::delete;
pub use input::{ChannelChange, InboxChange, NewInbox};
pub use list::list;
pub use update::update;

use super::{
    Context,
    changes::Changes,
    events::{Event, What},
    found,
};
use crate::{
    domain::{Channel, Inbox, InboxStatus},
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId},
    store::{addresses, inboxes},
};
use db::Session;
use serde::{Deserialize, Serialize};

/// One of them.
pub async fn get(context: &Context, account: &AccountId, id: &InboxId) -> Result<Inbox, Error> {
    let mut session = context.db.read().await?;
    found(inboxes::find(&mut session, account, id).await?, "inbox")
}

/// What is set about a channel and is no secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Settings {
    /// WhatsApp: the number's id at Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// WhatsApp: the business account's id at Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_account_id: Option<String>,
    /// Telegram: the bot's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_id: Option<String>,
    /// Telegram: the bot's display name, once it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_name: Option<String>,
    /// Telegram: the bot's user name, without `@`, once it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_username: Option<String>,
    /// Live chat: where the widget may be embedded. `None` means anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
}

/// What a transaction changes in which this happens to an inbox.
pub(super) fn inbox_event(
    account: &AccountId,
    inbox: &InboxId,
    id: EventId,
    what: What,
) -> Changes {
    Changes::of(vec![Event {
        id,
        account: account.clone(),
        inbox: inbox.clone(),
        what,
    }])
}

/// The one definition of an inbox's status; the schema's generated column says the same.
fn status(proved_at: Option<i64>, switched_off_at: Option<i64>) -> InboxStatus {
    match (switched_off_at, proved_at) {
        (Some(_), _) => InboxStatus::Inactive,
        (None, Some(_)) => InboxStatus::Active,
        (None, None) => InboxStatus::Pending,
    }
}

/// The address by which updates find an inbox, and the field that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChannelAddress<'a> {
    field: &'static str,
    address: &'a str,
}

fn channel_address<'a>(inbox: &'a Inbox, settings: &'a Settings) -> Option<ChannelAddress<'a>> {
    let (field, address) = match inbox.channel {
        Channel::Whatsapp => (
            "channel.phone_number_id",
            settings.phone_number_id.as_deref(),
        ),
        Channel::Instagram => (
            "instagram_account_id",
            inbox.instagram_account_id.as_deref(),
        ),
        Channel::Telegram => ("channel.bot_token", settings.bot_id.as_deref()),
        Channel::Livechat => ("id", Some(inbox.id.as_str())),
    };
    Some(ChannelAddress {
        field,
        address: address?,
    })
}

async fn claim_address(
    session: &mut Session,
    account: &AccountId,
    inbox: &Inbox,
    settings: &Settings,
) -> Result<(), Error> {
    let Some(ChannelAddress { field, address }) = channel_address(inbox, settings) else {
        return Err(Error::Internal(format!(
            "inbox {} has no address",
            inbox.id
        )));
    };
    let business = settings.business_account_id.as_deref();
    let (channel, id) = (inbox.channel, &inbox.id);
    if addresses::claim(session, channel, address, account, id, business).await? {
        return Ok(());
    }
    Err(Error::Conflict(
        Reason::AddressTaken,
        format!(
            "This {} address is already connected to an inbox of this server ({field})",
            inbox.channel.as_str()
        ),
    ))
}

/// The settings of an inbox, from their column.
pub(super) fn read_settings(text: &str) -> Result<Settings, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("an inbox's settings are damaged: {error}")))
}

/// The same the other way round.
pub(super) fn write_settings(settings: &Settings) -> Result<String, Error> {
    serde_json::to_string(settings).map_err(|error| Error::Internal(error.to_string()))
}
