//! Inboxes: lists, creates, changes and deletes them.
//!
//! Invariant: the status of an inbox follows from when it was proved and when it was switched off, and no other inbox of
//! the server has its address.

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
pub(super) use rules::PhoneNumber;
pub use update::update;

use super::{
    Context,
    changes::Changes,
    events::{Event, What},
    found,
};
use crate::{
    clock,
    domain::{Channel, DeliveryError, Inbox, InboxStatus, ReadReceipts},
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId},
    store::{addresses, inboxes},
};
use db::Session;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One inbox.
pub async fn get(context: &Context, account: &AccountId, id: &InboxId) -> Result<Inbox, Error> {
    let mut session = context.db.read().await?;
    found(inboxes::find(&mut session, account, id).await?, "inbox")
}

/// The settings of an inbox's channel that are not secret.
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
    /// Live chat: the origins of pages that may embed the widget. `None` means every page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
    /// How many messages are sent in a second at most, if the business has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<i64>,
    /// When contacts are shown that their messages were read, if the business has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_receipts: Option<ReadReceipts>,
    /// Since when nothing is sent, and why, if the provider refuses everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_stopped: Option<SendingStopped>,
}

/// The provider takes nothing from an inbox.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct SendingStopped {
    /// Since when.
    #[serde(
        serialize_with = "clock::serialize",
        deserialize_with = "clock::deserialize"
    )]
    #[schema(value_type = String, format = DateTime)]
    pub since: i64,
    /// Why, as the provider says.
    pub error: DeliveryError,
}

/// The changes of a transaction in which this event happens to an inbox.
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

/// Records that the channel works, if this was not known yet. Returns what this changes.
pub(super) async fn prove(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    id: &InboxId,
) -> Result<Changes, Error> {
    // The id is made inside the transaction, so that ids and commits have the same order.
    let change = EventId::new(&context.clock);
    let first = inboxes::prove(session, account, id, context.clock.now(), &change).await?;
    Ok(match first {
        true => inbox_event(account, id, change, What::InboxChanged),
        false => Changes::none(),
    })
}

/// The definition of an inbox's status. The generated column in the schema has the same.
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

/// The settings of an inbox, for their column.
pub(super) fn write_settings(settings: &Settings) -> Result<String, Error> {
    serde_json::to_string(settings).map_err(|error| Error::Internal(error.to_string()))
}
