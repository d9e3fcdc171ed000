//! How far an outbound message came, why it failed, and who sent it, as it is shown.

use super::content::one_of;
use crate::clock;
use channels::{named, send::outcome};
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{Object, Type, schema::ObjectBuilder},
};

/// How far an outbound message can have come: a later word follows an earlier one, and nothing leads back.
pub const MESSAGE_STATUSES: [&str; 7] = [
    "queued",
    "canceled",
    "unknown",
    "sent",
    "failed",
    "delivered",
    "read",
];

/// When an outbound message reached each status, by the clock of whoever reported it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusTimes {
    /// It was accepted here.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub queued: Option<i64>,
    /// It was canceled.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub canceled: Option<i64>,
    /// An attempt ended without an answer.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub unknown: Option<i64>,
    /// The provider took it.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub sent: Option<i64>,
    /// It failed.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub failed: Option<i64>,
    /// It came to the contact's device.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub delivered: Option<i64>,
    /// The contact opened it.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "clock::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub read: Option<i64>,
}

impl StatusTimes {
    /// Notes when a status was reached, in seconds since 1970.
    pub fn note(&mut self, status: &str, at: i64) {
        let time = match status {
            "queued" => &mut self.queued,
            "canceled" => &mut self.canceled,
            "unknown" => &mut self.unknown,
            "sent" => &mut self.sent,
            "failed" => &mut self.failed,
            "delivered" => &mut self.delivered,
            "read" => &mut self.read,
            _ => return,
        };
        *time = Some(at);
    }

    /// These, unless nothing is known.
    pub fn if_any(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryError {
    /// For programs: the same word on every channel.
    #[schema(schema_with = codes)]
    pub code: String,
    /// For people, in the provider's words where it said something.
    pub message: String,
    /// The provider's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "131047")]
    pub provider_code: Option<String>,
}

impl From<outcome::DeliveryError> for DeliveryError {
    fn from(error: outcome::DeliveryError) -> Self {
        DeliveryError {
            code: error.code.as_str().to_owned(),
            message: error.message,
            provider_code: error.provider_code,
        }
    }
}

/// Until when a business may write what it likes to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Window {
    /// Whether it may now.
    pub open: bool,
    /// Until when: 24 hours after the contact's last message.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub closes_at: i64,
}

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentBy {
    /// `key`: software with an API key. `automation`: this program, by a command or by itself. `phone`: somebody in the
    /// channel's own app, or other software there.
    #[serde(rename = "type")]
    #[schema(schema_with = senders)]
    pub kind: String,
    /// The id of the key; `phone` for a phone.
    #[schema(example = "key_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: String,
    /// Its name.
    #[schema(example = "Shop")]
    pub name: String,
}

/// How far an outbound message can have come.
pub fn statuses() -> Object {
    one_of(MESSAGE_STATUSES, "How far it came. Outbound only.")
}

/// What a sender noted with a message.
pub(super) fn metadata() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some("What its sender noted with it. It is never sent."))
        .build()
}

fn codes() -> Object {
    one_of(
        outcome::ErrorCode::ALL.map(outcome::ErrorCode::as_str),
        "For programs: the same word on every channel.",
    )
}

fn senders() -> Object {
    one_of(
        ["key", "automation", "phone"],
        "`key`: software with an API key. `automation`: this program, by a command or by itself. `phone`: somebody in the channel's own app, or other software there.",
    )
}

named! {
    /// When contacts are shown that their messages were read.
    #[derive(Default, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ReadReceipts {
        /// When the provider has taken an answer, or somebody says so.
        #[default]
        OnAnswer = "on_answer",
        /// When somebody says so.
        OnRead = "on_read",
        /// Never.
        Never = "never",
    }
}
