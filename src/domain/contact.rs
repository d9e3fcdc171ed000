//! A contact as the business keeps it.
//!
//! How a conversation shows its contact is in the parent.

use super::{Identity, conversation_statuses};
use crate::{
    clock,
    id::{ContactId, ConversationId, InboxId},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{
        ArrayBuilder, Object, ObjectBuilder, Type,
        schema::{AdditionalProperties, Schema, SchemaType},
    },
};

/// A customer, or a group chat, with what you and its provider say of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContactDetails {
    /// Unique contact identifier.
    #[schema(value_type = String, example = "contact_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: ContactId,
    /// Display name: yours, or what the provider says.
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
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// Your own id for the contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_id: Option<String>,
    /// What you noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
    /// Values of your own, by name.
    #[schema(schema_with = attributes)]
    pub attributes: Box<RawValue>,
    /// The fields that are only what a visitor of a website has said of itself. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = claimed)]
    pub claimed: Vec<&'static str>,
    /// Whether its messages are told to nobody.
    pub muted: bool,
    /// True for a group chat.
    pub is_group: bool,
    /// All that providers know the contact by. Any of them leads to this contact.
    #[schema(value_type = Vec<Identity>)]
    pub identities: Box<RawValue>,
    /// When the contact was added, or first written with.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub created_at: i64,
    /// Its newest conversations, 20 at most, the newest first. Absent in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub conversations: Option<Vec<ContactConversation>>,
    /// Ids of contacts that were joined with this one. They lead to it now. Absent in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub former_ids: Option<Vec<String>>,
}

/// A conversation of a contact.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContactConversation {
    /// Unique conversation identifier.
    #[schema(value_type = String, example = "conv_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: ConversationId,
    /// The inbox of the conversation.
    #[schema(value_type = String, example = "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub inbox_id: InboxId,
    /// Whether it still waits for somebody.
    #[schema(schema_with = conversation_statuses)]
    pub status: String,
    /// Number of messages in the conversation.
    #[schema(example = 2, minimum = 0)]
    pub messages_count: i64,
    /// When its last message was received here.
    #[serde(serialize_with = "clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub updated_at: i64,
}

fn attributes() -> Object {
    let value = ObjectBuilder::new().schema_type(SchemaType::Array(vec![
        Type::String,
        Type::Number,
        Type::Boolean,
    ]));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::RefOr(value.into())))
        .description(Some("Values of your own, by name."))
        .build()
}

fn claimed() -> Schema {
    let field = super::content::one_of(["name"], "A field.");
    ArrayBuilder::new()
        .items(field)
        .description(Some(
            "The fields that are only what a visitor of a website has said of itself. Absent if there are none.",
        ))
        .into()
}
