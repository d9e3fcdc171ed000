//! The objects of the API as plain data, with their names and their JSON.
//!
//! Invariant: a key that does not apply is absent, never `null`, and keys come in the documented order.

pub mod contact;
mod content;

mod delivery;

pub use content::{Content, Sender, directions, kinds};
pub use delivery::{
    DeliveryError, MESSAGE_STATUSES, ReadReceipts, SentBy, StatusTimes, Window, statuses,
};

use crate::{
    clock,
    id::{AccountId, InboxId, KeyId},
};
use channels::{IdentityKind, named};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, str::FromStr};
use utoipa::{ToSchema, openapi::Object};

named! {
    /// The type of an inbox.
    #[derive(PartialOrd, Ord, Hash, Serialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Channel {
        /// WhatsApp Cloud API.
        Whatsapp = "whatsapp",
        /// Instagram messaging.
        Instagram = "instagram",
        /// The chat on the business's own website.
        Livechat = "livechat",
        /// A Telegram bot.
        Telegram = "telegram",
    }
}

/// The error message for a wrong name of a [`Channel`].
pub const CHANNEL_RULE: &str = "must be one of whatsapp, instagram, livechat, telegram";

impl FromStr for Channel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Channel::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or(CHANNEL_RULE)
    }
}

named! {
    /// Whether an inbox is in use.
    #[derive(Hash, Serialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum InboxStatus {
        /// The channel has proved that it works.
        Active = "active",
        /// The business has switched the inbox off.
        Inactive = "inactive",
        /// The channel has not yet proved that it works.
        Pending = "pending",
    }
}

impl FromStr for InboxStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        InboxStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or("must be one of active, inactive, pending")
    }
}

/// A connected address of a business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Inbox {
    /// Unique inbox identifier.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: InboxId,
    /// Display name of the inbox.
    #[schema(example = "Customer Support")]
    pub name: String,
    /// Channel type.
    #[serde(rename = "type")]
    pub channel: Channel,
    /// Current status.
    pub status: InboxStatus,
    /// WhatsApp phone number, E.164 with `+`. Present for type whatsapp only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "+62812345678", nullable = false)]
    pub phone_number: Option<String>,
    /// Instagram account ID. Present for type instagram only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ig_789", nullable = false)]
    pub instagram_account_id: Option<String>,
    /// When the inbox was created: RFC 3339, UTC, whole seconds.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub created_at: i64,
    /// Number of messages stored in this inbox, of both directions and all types. Always exact.
    #[schema(example = 15420, minimum = 0)]
    pub messages_count: i64,
}

/// A business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The account's name.
    pub name: String,
    /// When the account was created, in seconds since 1970.
    #[serde(serialize_with = "clock::serialize")]
    pub created_at: i64,
}

named! {
    /// A permission of an API key.
    #[derive(PartialOrd, Ord, Serialize, clap::ValueEnum)]
    #[serde(rename_all = "lowercase")]
    pub enum Scope {
        /// Every GET, except an inbox's setup.
        Read = "read",
        /// Manage inboxes.
        Write = "write",
        /// Nothing yet: for the management of API keys over the API, which does not exist yet.
        Admin = "admin",
        /// Send messages, and everything else that reaches a contact.
        Send = "send",
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

/// An API key without its secret, which is shown only when the key is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// The key's id.
    pub id: KeyId,
    /// A name that says what the key is for.
    pub name: String,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// When the key was created, in seconds since 1970.
    #[serde(serialize_with = "clock::serialize")]
    pub created_at: i64,
    /// When the key expires, in seconds since 1970. `None` if it never does.
    #[serde(serialize_with = "clock::serialize_option")]
    pub expires_at: Option<i64>,
    /// Requests per minute. 0 means no limit; `None` means the server's default limit.
    pub rate_limit: Option<i64>,
    /// When the key was revoked, in seconds since 1970. `None` if it was not.
    #[serde(serialize_with = "clock::serialize_option")]
    pub revoked_at: Option<i64>,
    /// When the key was last used, in seconds since 1970, accurate to a minute. `None` if never.
    #[serde(serialize_with = "clock::serialize_option")]
    pub last_used_at: Option<i64>,
}

/// A message, with the edits, reactions and status changes since it was written.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Message<'a> {
    /// Unique message identifier.
    #[schema(value_type = String, example = "msg_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: Cow<'a, str>,
    /// The inbox of the message.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub inbox_id: Cow<'a, str>,
    /// The conversation of the message.
    #[schema(value_type = String, example = "conv_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub conversation_id: Cow<'a, str>,
    /// The provider's id of the message. Absent as long as the provider has not given it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub provider_id: Option<Cow<'a, str>>,
    /// `inbound` (from the contact) or `outbound` (from the business).
    #[schema(schema_with = directions)]
    pub direction: Cow<'a, str>,
    /// What it is. `unsupported` is what this version does not know.
    #[serde(rename = "type")]
    #[schema(schema_with = kinds)]
    pub kind: Cow<'a, str>,
    /// The current content.
    #[schema(value_type = Content)]
    pub content: Cow<'a, RawValue>,
    /// Bytes of the whole content as JSON. Present only where it has more than 65,536 and only its beginning is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, nullable = false, minimum = 65537)]
    pub content_size: Option<usize>,
    /// `true` where the message is too long for a list, which then has the beginning of its content, or the latest of
    /// its edits and reactions. `GET /messages/{id}` has the rest. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(value_type = Option<bool>, nullable = false)]
    pub truncated: bool,
    /// Who wrote it.
    #[schema(value_type = Sender)]
    pub sender: Cow<'a, RawValue>,
    /// The id of the message that this one replies to, if that message is stored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub reply_to: Option<Cow<'a, str>>,
    /// What it answers, as the provider tells it, whether or not that is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quoted: Option<Quoted<'a>>,
    /// How far it came. Outbound only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = delivery::statuses)]
    pub status: Option<Cow<'a, str>>,
    /// When the message reached each status. Outbound only, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status_times: Option<StatusTimes>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<DeliveryError>,
    /// Who sent it. Outbound only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SentBy>, nullable = false)]
    pub sent_by: Option<Cow<'a, RawValue>>,
    /// What its sender noted with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = delivery::metadata)]
    pub metadata: Option<Cow<'a, RawValue>>,
    /// The content before each edit, oldest first. Absent if the message was never edited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit<'a>>,
    /// The current reactions. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// When its sender deleted it. The message is kept and still counted.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub deleted_at: Option<i64>,
    /// When the message was written, by the provider's clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub timestamp: i64,
    /// When the message was received here, by the server's clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:01Z")]
    pub received_at: i64,
}

/// What a message answers, as the provider tells it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Quoted<'a> {
    /// The provider's id of the message, if it is one and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub provider_id: Option<Cow<'a, str>>,
    /// Its text, or the part of it that is quoted, if the provider sends that along.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub text: Option<Box<RawValue>>,
    /// The story that it is, as the provider describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub story: Option<Box<RawValue>>,
}

/// An earlier content of a message.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Edit<'a> {
    /// What it was: see the message's `type`.
    #[serde(rename = "type")]
    #[schema(schema_with = kinds)]
    pub kind: Cow<'a, str>,
    /// The content until then.
    #[schema(value_type = Content)]
    pub content: Cow<'a, RawValue>,
    /// When it was replaced.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub edited_at: i64,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// The provider's id of the person who reacted.
    pub by: String,
    /// When the reaction was made.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: i64,
}

/// A customer, or a group chat.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Contact<'a> {
    /// Unique contact identifier.
    #[schema(value_type = String, example = "contact_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: Cow<'a, str>,
    /// Display name, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<Cow<'a, str>>,
    /// Phone number, E.164 with `+`, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub phone: Option<Cow<'a, str>>,
    /// User name without `@`, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<Cow<'a, str>>,
    /// True for a group chat.
    pub is_group: bool,
    /// All that the contact is known by. Any of them leads to this contact.
    #[schema(value_type = Vec<Identity>)]
    pub identities: Cow<'a, RawValue>,
    /// When the contact blocked this inbox. Absent if it has not.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub blocked_at: Option<i64>,
}

// The store keeps it as it is shown: `store::contacts` writes it.
/// Something that a contact is known by.
#[derive(Debug, Serialize, ToSchema)]
pub struct Identity {
    /// The channel on which it is.
    #[schema(schema_with = channel_names)]
    pub channel: String,
    /// What it is. WhatsApp: `phone`, `user_id`, `parent_user_id`, `group_id`. Instagram: `id`. Telegram: `user_id`,
    /// `chat_id`. Live chat: `visitor`, `user_id`.
    #[schema(schema_with = identity_kinds)]
    pub kind: String,
    /// The id, as the provider writes it.
    #[schema(example = "628111111111")]
    pub value: String,
    /// The WhatsApp business account, Instagram account or live-chat inbox for which the id was made. Absent if it is
    /// the same for everybody, or the account was not kept when the id was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub scope: Option<String>,
    /// `true` where the provider said that another one has taken its place. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(value_type = Option<bool>, nullable = false)]
    pub former: bool,
}

fn channel_names() -> Object {
    content::one_of(
        Channel::ALL.map(Channel::as_str),
        "The channel on which it is.",
    )
}

fn identity_kinds() -> Object {
    content::one_of(
        IdentityKind::ALL.map(IdentityKind::as_str),
        "WhatsApp: `phone`, `user_id`, `parent_user_id`, `group_id`. Instagram: `id`. Telegram: `user_id`, `chat_id`. Live chat: `visitor`, `user_id`.",
    )
}

/// All messages between one contact and one inbox.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Conversation<'a> {
    /// Unique conversation identifier.
    #[schema(value_type = String, example = "conv_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: Cow<'a, str>,
    /// The inbox of the conversation.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub inbox_id: Cow<'a, str>,
    /// The contact of the conversation.
    pub contact: Contact<'a>,
    /// Whether it still waits for somebody.
    #[schema(schema_with = conversation_statuses)]
    pub status: Cow<'a, str>,
    /// Until when you may write what you like, and only templates after that. whatsapp and instagram, once the contact has
    /// written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub window: Option<Window>,
    /// Since when the contact waits for an answer: when it wrote the first message that nobody has answered. Absent if it
    /// does not wait.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub waiting_since: Option<i64>,
    /// Number of messages from the contact that your team has not read. It counts up to 1,000.
    #[schema(example = 1, minimum = 0, maximum = 1000)]
    pub unread_count: i64,
    /// When the contact wrote last. Absent if it has not written since the connection.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub last_inbound_at: Option<i64>,
    /// Number of messages in the conversation.
    #[schema(example = 2, minimum = 0)]
    pub messages_count: i64,
    /// The newest message, by the provider's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_message: Option<Message<'a>>,
    /// When the conversation began.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub created_at: i64,
    /// When its last message was received here, or its status or what your team has read of it was changed.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub updated_at: i64,
}

/// What a conversation's status can be.
pub const CONVERSATION_STATUSES: [&str; 2] = ["open", "resolved"];

fn conversation_statuses() -> Object {
    content::one_of(
        CONVERSATION_STATUSES,
        "Whether somebody still has to answer.",
    )
}
