//! Contacts and their identities, as updates have them.
//!
//! Which stored contact this is, and whether two contacts are the same person, is decided by the caller.
//!
//! Invariant: a contact has at least one identity.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Moment, named};

named! {
    /// The kind of an identity. The most durable kind comes first.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum IdentityKind {
        /// A person's id. Nobody else ever gets it.
        UserId = "user_id",
        /// A person's id for a group of WhatsApp business accounts.
        ParentUserId = "parent_user_id",
        /// A person's id for one Instagram account.
        Id = "id",
        /// A group chat of Telegram.
        ChatId = "chat_id",
        /// A group chat of WhatsApp.
        GroupId = "group_id",
        /// An anonymous visitor of a website.
        Visitor = "visitor",
        /// A phone number, as WhatsApp writes it. It can be handed on to another person.
        Phone = "phone",
    }
}

/// An identity of a person or a group chat. Its texts are shared by all messages with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its kind.
    pub kind: IdentityKind,
    /// Where it is valid: a WhatsApp business account, an Instagram account, or an inbox. `None` if it is valid everywhere.
    pub scope: Option<Arc<str>>,
    /// The id. Never empty, and without control characters.
    pub value: Arc<str>,
}

impl Identity {
    /// An identity that is valid everywhere.
    pub fn new(kind: IdentityKind, value: impl Into<Arc<str>>) -> Identity {
        Identity {
            kind,
            scope: None,
            value: value.into(),
        }
    }

    /// An identity that is valid within a scope, if the scope is known.
    pub fn within(
        scope: Option<Arc<str>>,
        kind: IdentityKind,
        value: impl Into<Arc<str>>,
    ) -> Identity {
        Identity {
            kind,
            scope,
            value: value.into(),
        }
    }
}

/// The contact of a conversation: a person or a group chat. Its texts are shared by all messages with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its identities without duplicates, the most durable first. Never empty.
    pub identities: Vec<Identity>,
    /// Whether it is a group chat.
    pub group: bool,
    /// Display name.
    pub name: Option<Arc<str>>,
    /// Phone number, E.164 with `+`.
    pub phone: Option<String>,
    /// User name, without `@`.
    pub username: Option<Arc<str>>,
}

impl Contact {
    /// The most durable id.
    pub fn provider_id(&self) -> &str {
        self.identities.first().map_or("", |first| &first.value)
    }
}

/// A report that the identities of a person have changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Renamed {
    /// The person with the new identities.
    pub contact: Contact,
    /// The identities that they replace. Never empty.
    pub former: Vec<Identity>,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// A report that a contact has blocked or unblocked the business.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// The contact.
    pub contact: Contact,
    /// True if the business can no longer write to the contact.
    pub blocked: bool,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
    /// The number of the update. Of two updates in the same second, the later one has the greater number.
    pub update: i64,
}
