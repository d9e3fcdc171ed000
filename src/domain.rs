//! The nouns of the API, as plain data: what they are called and how they look as JSON.
//!
//! Invariant: a key that does not apply is absent, never `null`, and keys come in the documented order.

use crate::{
    clock,
    id::{AccountId, ContactId, ConversationId, InboxId, KeyId, MessageId},
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// The kind of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// WhatsApp Cloud API.
    Whatsapp,
    /// Instagram messaging.
    Instagram,
    /// The chat on the business's own website.
    Livechat,
    /// A Telegram bot.
    Telegram,
}

impl Channel {
    /// All of them, in the order in which the documentation lists them.
    pub const ALL: [Channel; 4] = [
        Channel::Whatsapp,
        Channel::Instagram,
        Channel::Livechat,
        Channel::Telegram,
    ];

    /// Its name in tables, URLs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Whatsapp => "whatsapp",
            Channel::Instagram => "instagram",
            Channel::Livechat => "livechat",
            Channel::Telegram => "telegram",
        }
    }
}

/// What a [`Channel`]'s name must be.
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

/// Whether an inbox is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InboxStatus {
    /// The channel has proved that it works.
    Active,
    /// The business has switched it off.
    Inactive,
    /// The channel has not proved yet that it works.
    Pending,
}

impl InboxStatus {
    /// Its name in tables, URLs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            InboxStatus::Active => "active",
            InboxStatus::Inactive => "inactive",
            InboxStatus::Pending => "pending",
        }
    }
}

impl FromStr for InboxStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "active" => Ok(InboxStatus::Active),
            "inactive" => Ok(InboxStatus::Inactive),
            "pending" => Ok(InboxStatus::Pending),
            _ => Err("must be one of active, inactive, pending"),
        }
    }
}

/// One connected address of a business.
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
    /// When it was created: RFC 3339, UTC, whole seconds.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub created_at: i64,
    /// Total messages stored in this inbox: both directions, all kinds. Exact at every moment.
    #[schema(example = 15420, minimum = 0)]
    pub messages_count: i64,
}

/// A business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// When it was created.
    #[serde(serialize_with = "clock::serialize")]
    pub created_at: i64,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every GET, except an inbox's setup.
    Read,
    /// Manage inboxes, send.
    Write,
    /// Manage keys.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

/// An API key, without the key itself, which is known only to whoever was shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[serde(serialize_with = "clock::serialize")]
    pub created_at: i64,
    /// When it stops working, if ever.
    #[serde(serialize_with = "clock::serialize_option")]
    pub expires_at: Option<i64>,
    /// Requests a minute that it may make; 0 is no limit, and without a value the server's own limit counts.
    pub rate_limit: Option<i64>,
    /// When it was revoked, if it was.
    #[serde(serialize_with = "clock::serialize_option")]
    pub revoked_at: Option<i64>,
    /// When it was last used, exact to a minute.
    #[serde(serialize_with = "clock::serialize_option")]
    pub last_used_at: Option<i64>,
}

/// One message, with what happened to it since.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Message {
    /// Its id.
    #[schema(value_type = String, example = "msg_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: MessageId,
    /// The inbox that it is in.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub inbox_id: InboxId,
    /// The conversation that it is in.
    #[schema(value_type = String, example = "conv_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub conversation_id: ConversationId,
    /// `inbound` (from the contact) or `outbound` (from the business).
    #[schema(example = "inbound")]
    pub direction: String,
    /// `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contacts`, `interactive`, `order`, `system` or `unsupported`.
    #[serde(rename = "type")]
    #[schema(example = "text")]
    pub kind: String,
    /// What it says now; the keys depend on the type.
    #[schema(value_type = Object, example = json!({"text": "Is the blue one still available?"}))]
    pub content: Map<String, Value>,
    /// Who wrote it: `name`, `phone`, `username`, as far as they are known.
    #[schema(value_type = Object, example = json!({"name": "Ayu", "phone": "+628111111111"}))]
    pub sender: Map<String, Value>,
    /// The message that it answers, if that is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub reply_to: Option<MessageId>,
    /// Outbound only: `queued`, `sent`, `delivered`, `read` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<String>,
    /// Why it failed, in the provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// What it said before each edit, oldest first. Absent if it was never edited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// The reactions that stand. Absent if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// When its sender withdrew it. It stays, and stays counted.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub deleted_at: Option<i64>,
    /// When it was written, by the provider's clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub timestamp: i64,
    /// When it came here, by our clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:01Z")]
    pub received_at: i64,
}

/// What a message said before an edit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Edit {
    /// What it was: see the message's `type`.
    #[serde(rename = "type")]
    #[schema(example = "text")]
    pub kind: String,
    /// What it said.
    #[schema(value_type = Object)]
    pub content: Map<String, Value>,
    /// When that was replaced.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub edited_at: i64,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Who reacted: the provider's id.
    pub by: String,
    /// When.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: i64,
}

/// A person outside, or a group chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Contact {
    /// Its id.
    #[schema(value_type = String, example = "contact_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: ContactId,
    /// Display name, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Phone number, E.164 with `+`, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub phone: Option<String>,
    /// User name without `@`, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// Whether it is a group chat.
    pub is_group: bool,
    /// Since when it blocks the business. Absent if it does not.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub blocked_at: Option<i64>,
}

/// The thread between one contact and one inbox.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conversation {
    /// Its id.
    #[schema(value_type = String, example = "conv_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: ConversationId,
    /// The inbox that it is in.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub inbox_id: InboxId,
    /// The contact.
    pub contact: Contact,
    /// `open` or `resolved`.
    #[schema(example = "open")]
    pub status: String,
    /// How many messages it holds.
    #[schema(example = 2, minimum = 0)]
    pub messages_count: i64,
    /// Its newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_message: Option<Message>,
    /// When it began.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub created_at: i64,
    /// When its last message came here.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub updated_at: i64,
}
