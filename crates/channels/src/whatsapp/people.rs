//! The people of a WhatsApp message: its sender and its contact.
//!
//! [`super::message`] reads the direction of a message.
//!
//! Invariant: a person is identified by ids of WhatsApp, never by a displayed number. Two spellings of a number belong to
//! the same person only if WhatsApp gives both for one person.

use std::sync::Arc;

use super::profiles::Profile;
use super::scope::{Origin, Scope};
use crate::json::{self, Object};
use crate::{Contact, Direction, Identity, IdentityKind, Sender};

/// The contact of the conversation, and the sender of the message.
pub(super) fn parties(
    message: &Object,
    direction: Direction,
    origin: &Origin,
    scope: &Scope,
) -> Option<(Contact, Sender)> {
    let (sender, person) = match direction {
        Direction::Inbound => {
            let mut author = author(message, scope)?;
            // A thread of the history belongs to the customer, even if its number is spelled differently.
            if let Origin::History { thread: Some(id) } = origin
                && json::phone(id).is_some()
                && author.identities.iter().all(|one| one.value != *id)
            {
                let thread = Identity::new(IdentityKind::Phone, id.clone());
                author.identities.push(thread);
            }
            (named(&author), Some(author))
        }
        Direction::Outbound => {
            let sender = Sender {
                phone: json::id(message, "from").and_then(|from| json::phone(&from)),
                ..Sender::default()
            };
            (sender, recipient(message, origin, scope))
        }
    };
    let contact = match group(message) {
        Some(group) => Contact {
            identities: vec![Identity::new(IdentityKind::GroupId, group)],
            group: true,
            ..Contact::default()
        },
        None => person?,
    };
    Some((contact, sender))
}

fn named(person: &Contact) -> Sender {
    Sender {
        name: person.name.clone(),
        phone: person.phone.clone(),
        username: person.username.clone(),
    }
}

fn group(message: &Object) -> Option<String> {
    json::id(message, "group_id").or_else(|| {
        let to_group = json::id(message, "recipient_type").is_some_and(|kind| kind == "group");
        to_group.then(|| json::id(message, "to")).flatten()
    })
}

pub(super) fn author(message: &Object, scope: &Scope) -> Option<Contact> {
    let given = Given {
        user_id: id(message, "from_user_id"),
        parent_user_id: id(message, "from_parent_user_id"),
        wa_id: id(message, "from"),
    };
    person(given, scope)
}

fn recipient(message: &Object, origin: &Origin, scope: &Scope) -> Option<Contact> {
    let thread = match origin {
        Origin::History { thread } => thread.clone(),
        _ => None,
    };
    let given = Given {
        user_id: id(message, "to_user_id").or_else(|| id(message, "recipient_user_id")),
        parent_user_id: id(message, "to_parent_user_id")
            .or_else(|| id(message, "recipient_parent_user_id")),
        wa_id: thread.or_else(|| id(message, "to")),
    };
    person(given, scope)
}

fn id(message: &Object, key: &str) -> Option<Arc<str>> {
    json::id(message, key).map(Arc::from)
}

/// The ids of a person in one place.
#[derive(Default)]
pub(super) struct Given {
    pub(super) user_id: Option<Arc<str>>,
    pub(super) parent_user_id: Option<Arc<str>>,
    pub(super) wa_id: Option<Arc<str>>,
}

impl Given {
    /// The identities, the most durable first. A user id is specific to a business account, and changes with the number.
    /// The number is the same for all accounts.
    pub(super) fn identities(self, scope: &Scope) -> impl Iterator<Item = Identity> {
        let account = scope.account.clone();
        let user = self.user_id;
        let user = user.map(|id| Identity::within(account, IdentityKind::UserId, id));
        let parent = self.parent_user_id;
        let parent = parent.map(|id| Identity::new(IdentityKind::ParentUserId, id));
        let phone = self.wa_id.map(|id| Identity::new(IdentityKind::Phone, id));
        user.into_iter().chain(parent).chain(phone)
    }
}

/// A person with the ids of the message and of the profiles. Each of them may lack an id. Both may have a number that they
/// spell differently, as in Brazil, Mexico and Argentina.
fn person(given: Given, scope: &Scope) -> Option<Contact> {
    let known = profile(given.user_id.as_deref(), given.wa_id.as_deref(), scope);
    let shown = given.wa_id.clone().or_else(|| known?.wa_id.clone());
    let profiled = known.map(|known| Given {
        user_id: known.user_id.clone(),
        parent_user_id: known.parent_user_id.clone(),
        wa_id: known.wa_id.clone(),
    });
    let mut identities: Vec<_> = given.identities(scope).collect();
    identities.extend(
        profiled
            .into_iter()
            .flat_map(|known| known.identities(scope)),
    );
    identities.sort_by_key(|identity| identity.kind);
    // The id of the message stays the first one of its kind.
    let mut each: Vec<Identity> = Vec::with_capacity(identities.len());
    for identity in identities {
        if each.iter().all(|one| one.value != identity.value) {
            each.push(identity);
        }
    }
    (!each.is_empty()).then(|| Contact {
        identities: each,
        group: false,
        name: known.and_then(|known| known.name.clone()),
        phone: shown.as_deref().and_then(json::phone),
        username: known.and_then(|known| known.username.clone()),
    })
}

/// The profile of a person with these ids.
///
/// Profiles are not in the order of the messages. If there is only one profile, it belongs to the only author, even if the
/// ids differ (`wa_id` and `from` may be spelled differently), and to every message without an id.
fn profile<'a>(
    user_id: Option<&str>,
    wa_id: Option<&str>,
    scope: &'a Scope,
) -> Option<&'a Profile> {
    scope.profiles.find(user_id, wa_id).or_else(|| {
        let nameless = user_id.is_none() && wa_id.is_none();
        let only = scope.profiles.only();
        only.filter(|_| scope.one_author || nameless)
    })
}
