//! Who is meant: what somebody is known by, and what a provider says of who is who.
//!
//! Which contact that is, and whether two contacts are one, is not decided here.
//!
//! Invariant: a contact has at least one identity.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Moment;

/// What an identity is. The order is that of how durable they are: the most durable kind comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// A person's id. Nobody else ever gets it.
    UserId,
    /// A person's id for a group of WhatsApp business accounts.
    ParentUserId,
    /// A person's id for one Instagram account.
    Id,
    /// A group chat of Telegram.
    ChatId,
    /// A group chat of WhatsApp.
    GroupId,
    /// An anonymous visitor of a website.
    Visitor,
    /// A phone number, as WhatsApp writes it. It can be handed on to somebody else.
    Phone,
}

impl IdentityKind {
    /// All of them.
    pub const ALL: [IdentityKind; 7] = [
        IdentityKind::UserId,
        IdentityKind::ParentUserId,
        IdentityKind::Id,
        IdentityKind::ChatId,
        IdentityKind::GroupId,
        IdentityKind::Visitor,
        IdentityKind::Phone,
    ];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            IdentityKind::UserId => "user_id",
            IdentityKind::ParentUserId => "parent_user_id",
            IdentityKind::Id => "id",
            IdentityKind::ChatId => "chat_id",
            IdentityKind::GroupId => "group_id",
            IdentityKind::Visitor => "visitor",
            IdentityKind::Phone => "phone",
        }
    }
}

/// Something that somebody is known by. Its texts are shared by all messages that it is named in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// What it is.
    pub kind: IdentityKind,
    /// For whom it names somebody: a WhatsApp business account, an Instagram account, an inbox. `None` if it names the
    /// same person for everybody.
    pub scope: Option<Arc<str>>,
    /// The id. Never empty, and without control characters.
    pub value: Arc<str>,
}

impl Identity {
    /// One that names the same person for everybody.
    pub fn new(kind: IdentityKind, value: impl Into<Arc<str>>) -> Identity {
        Identity {
            kind,
            scope: None,
            value: value.into(),
        }
    }

    /// One that names somebody within a scope, as far as that is known.
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

/// The other side of a conversation. Its texts are shared by all messages that it is named in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// All that it is known by here, each once, the most durable first. Never empty.
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
    /// The most durable id that came.
    pub fn provider_id(&self) -> &str {
        self.identities.first().map_or("", |first| &first.value)
    }
}

/// A provider says that somebody has other identities now.
#[derive(Debug, Clone, PartialEq)]
pub struct Renamed {
    /// What holds from now on.
    pub contact: Contact,
    /// What it takes the place of. Never empty.
    pub former: Vec<Identity>,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// A contact blocked the business, or no longer does.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// Who did it.
    pub contact: Contact,
    /// Whether the contact can no longer be written to.
    pub blocked: bool,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
    /// The number of the update: of two in the same second, the later one has the greater.
    pub update: i64,
}
