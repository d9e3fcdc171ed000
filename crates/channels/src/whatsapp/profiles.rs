//! The people that a WhatsApp change names beside its messages.
//!
//! Not the place for who wrote a message: see [`super::people`].
//!
//! Invariant: finding somebody takes the same time however many there are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::json::{self, Object};

/// What is known of somebody, under one id or several.
pub(super) struct Profile {
    pub(super) user_id: Option<Arc<str>>,
    pub(super) parent_user_id: Option<Arc<str>>,
    pub(super) wa_id: Option<Arc<str>>,
    pub(super) name: Option<Arc<str>>,
    pub(super) username: Option<Arc<str>>,
}

impl Profile {
    fn of(contact: &Object) -> Profile {
        let shown = json::inner(contact, "profile");
        Profile {
            user_id: json::id(contact, "user_id").map(Arc::from),
            parent_user_id: json::id(contact, "parent_user_id").map(Arc::from),
            wa_id: json::id(contact, "wa_id").map(Arc::from),
            name: shown
                .and_then(|shown| json::name(shown, "name"))
                .map(Arc::from),
            username: shown
                .and_then(|shown| json::username(shown, "username"))
                .map(Arc::from),
        }
    }
}

/// The profiles of the people in one change.
#[derive(Default)]
pub(super) struct Profiles {
    all: Vec<Profile>,
    /// The first with each id, by its place.
    by_user_id: HashMap<Arc<str>, usize>,
    by_wa_id: HashMap<Arc<str>, usize>,
    /// How many there are, those without an id included.
    count: usize,
}

impl Profiles {
    /// Adds one element of `contacts`.
    pub(super) fn add(&mut self, contact: &Object) {
        self.count += 1;
        let profile = Profile::of(contact);
        // One without an id can only be found while it is the only one.
        if profile.user_id.is_none() && profile.wa_id.is_none() && self.count > 1 {
            return;
        }
        let place = self.all.len();
        for (map, id) in [
            (&mut self.by_user_id, &profile.user_id),
            (&mut self.by_wa_id, &profile.wa_id),
        ] {
            if let Some(id) = id {
                map.entry(id.clone()).or_insert(place);
            }
        }
        self.all.push(profile);
    }

    /// The first profile that has either id.
    pub(super) fn find(&self, user_id: Option<&str>, wa_id: Option<&str>) -> Option<&Profile> {
        let by_user_id = user_id.and_then(|id| self.by_user_id.get(id));
        let by_wa_id = wa_id.and_then(|id| self.by_wa_id.get(id));
        let place = by_user_id.into_iter().chain(by_wa_id).min()?;
        self.all.get(*place)
    }

    /// The profile, if there is just one.
    pub(super) fn only(&self) -> Option<&Profile> {
        self.all.first().filter(|_| self.count == 1)
    }
}
