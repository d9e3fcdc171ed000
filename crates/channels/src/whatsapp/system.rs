//! What WhatsApp itself says in a thread: that somebody has another number, or another user id.
//!
//! Invariant: nothing is read from the words of a system message, which are for people and in any language.

use std::sync::Arc;

use super::people::Given;
use super::scope::Scope;
use crate::json::{self, Object};
use crate::{Contact, Identity, Item, Moment, Renamed};

/// Reads a change of a number or a user id. `None` if it is something else, or does not say what changed.
///
/// With the number the user id changes, too. Older messages say only the new number, under another key.
pub(super) fn renamed(message: &Object, timestamp: Option<Moment>, scope: &Scope) -> Option<Item> {
    let system = json::inner(message, "system")?;
    let id = |object: &Object, key: &str| json::id(object, key).map(Arc::<str>::from);
    let number_changed = match json::id(system, "type")?.as_str() {
        "user_changed_number" | "customer_changed_number" => true,
        "user_changed_user_id" => false,
        _ => return None,
    };
    let from = id(message, "from").or_else(|| id(system, "customer"));
    let wa_id = id(system, "wa_id").or_else(|| id(system, "new_wa_id"));
    // If only the user id changed, the number is still what it was.
    let (number, former_number) = match number_changed {
        true => (wa_id, from),
        false => (wa_id.or(from), None),
    };
    let now = Given {
        user_id: id(system, "user_id"),
        parent_user_id: id(system, "parent_user_id"),
        wa_id: number,
    };
    let before = |user: &str, parent: &str, object, wa_id| Given {
        user_id: id(object, user),
        parent_user_id: id(object, parent),
        wa_id,
    };
    let said = before(
        "previous_user_id",
        "previous_parent_user_id",
        system,
        former_number,
    );
    let author = before("from_user_id", "from_parent_user_id", message, None);
    let phone = now.wa_id.as_deref().and_then(json::phone);
    let identities: Vec<Identity> = now.identities(scope).collect();
    let mut former: Vec<Identity> = Vec::new();
    for identity in said.identities(scope).chain(author.identities(scope)) {
        if !identities.contains(&identity) && !former.contains(&identity) {
            former.push(identity);
        }
    }
    (!identities.is_empty() && !former.is_empty()).then(|| {
        Item::Renamed(Box::new(Renamed {
            contact: Contact {
                identities,
                phone,
                ..Contact::default()
            },
            former,
            timestamp,
        }))
    })
}
