//! Decides which contact is meant by the identities in an update. `contacts` reads the data for this, and writes the
//! results.
//!
//! All identities that an update gives for one person belong to one contact. Only a phone number can be handed on to
//! another person: this has happened if it comes with a user id while its contact has a different user id of the same kind
//! and scope. Then the number moves to the other contact, and no contacts are joined. Messages of the history move no
//! number.
//!
//! Invariant: an identity belongs to one contact, and two contacts are joined only if a provider has given identities of both
//! for one person.

use crate::{
    domain::Channel,
    id::{AccountId, ContactId, ConversationId, InboxId},
    store::{
        contacts,
        identities::{Holder, Key, State},
        joins::Join,
    },
};
use channels::{Identity, IdentityKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The identities of a person in an update.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) account: &'a AccountId,
    pub(super) inbox: &'a InboxId,
    pub(super) channel: Channel,
    pub(super) identities: &'a [Identity],
}

impl<'a> Named<'a> {
    pub(super) fn key(&self, identity: &Identity) -> Key<'a> {
        Key {
            account: self.account,
            channel: self.channel,
            identity: identity.clone(),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key<'a>> {
        self.identities.iter().map(|identity| self.key(identity))
    }
}

/// The contact of an identity, now and in the store.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) contact: ContactId,
    pub(super) state: State,
    /// Its contact and state in the store, and whether its scope is missing there. `None` if it is not stored.
    pub(super) stored: Option<(ContactId, State, bool)>,
}

impl Holding {
    /// Whether this differs from the store.
    pub(super) fn is_changed(&self) -> bool {
        let stored = self.stored.as_ref();
        stored != Some(&(self.contact.clone(), self.state, false))
    }
}

/// The known data of a contact.
#[derive(Default)]
pub(super) struct Known {
    /// The stored contact. `None` if it is new.
    pub(super) stored: Option<contacts::Stored>,
    /// Its identities, if they are needed.
    identities: BTreeSet<Identity>,
    conversations: HashMap<InboxId, ConversationId>,
    /// The contact that it will be joined with, if this batch has shown that both are the same person.
    joined: Option<ContactId>,
}

/// The people of a batch.
#[derive(Default)]
pub(super) struct People<'a> {
    pub(super) holdings: BTreeMap<Key<'a>, Holding>,
    pub(super) contacts: BTreeMap<ContactId, Known>,
    pub(super) joins: BTreeSet<Join>,
    /// Identities that are stored without their scope, and get it now.
    unscoped: BTreeMap<(&'a AccountId, Channel, Identity), Key<'a>>,
    /// Numbers that were handed on, with the contacts that had them before.
    pub(super) lost_phones: Vec<(&'a AccountId, ContactId, Identity)>,
}

impl<'a> People<'a> {
    /// Adds an identity with its contact in the store.
    pub(super) fn add(&mut self, key: Key<'a>, inbox: &InboxId, holder: Holder) {
        let id = holder.contact.id.clone();
        // An identity without a scope gets the first scope that an update gives for it.
        let bare = (
            key.account,
            key.channel,
            Identity {
                scope: None,
                ..key.identity.clone()
            },
        );
        if holder.unscoped && self.unscoped.entry(bare).or_insert_with(|| key.clone()) != &key {
            return;
        }
        let known = self.contacts.entry(id.clone()).or_default();
        known.identities.insert(key.identity.clone());
        if let Some(conversation) = holder.conversation {
            known.conversations.insert(inbox.clone(), conversation);
        }
        known.stored.get_or_insert(holder.contact);
        self.holdings.entry(key).or_insert(Holding {
            contact: id.clone(),
            state: holder.state,
            stored: Some((id, holder.state, holder.unscoped)),
        });
    }

    /// Adds an identity of a contact that is not in an update.
    pub(super) fn add_other(&mut self, key: Key<'a>, contact: &ContactId, state: State) {
        let known = self.contacts.entry(contact.clone()).or_default();
        // An identity without a scope was added with its scope already.
        let same =
            |one: &Identity| one.kind == key.identity.kind && one.value == key.identity.value;
        if key.identity.scope.is_none() && known.identities.iter().any(same) {
            return;
        }
        known.identities.insert(key.identity.clone());
        self.holdings.entry(key).or_insert(Holding {
            contact: contact.clone(),
            state,
            stored: Some((contact.clone(), state, false)),
        });
    }

    /// Whether these identities do not all belong to the same contact. Then the other identities of their contacts matter.
    pub(super) fn is_mixed(&self, named: &Named<'a>) -> bool {
        let holders: BTreeSet<_> = named
            .keys()
            .map(|key| self.holdings.get(&key).map(|holding| &holding.contact))
            .collect();
        holders.len() > 1
    }

    /// The conversation of a contact in an inbox, if one is known.
    pub(super) fn conversation(
        &self,
        contact: &ContactId,
        inbox: &InboxId,
    ) -> Option<&ConversationId> {
        self.contacts.get(contact)?.conversations.get(inbox)
    }

    /// Whether the messages of a contact are told to nobody.
    pub(super) fn is_muted(&self, contact: &ContactId) -> bool {
        let known = self.contacts.get(contact);
        let stored = known.and_then(|known| known.stored.as_ref());
        stored.is_some_and(|stored| stored.muted)
    }

    /// The contact with these identities. `new` makes the id of a new contact.
    pub(super) fn meet(
        &mut self,
        named: &Named<'a>,
        historic: bool,
        new: impl FnOnce() -> ContactId,
    ) -> ContactId {
        let mut candidates = self.durable(named);
        let ids = self.user_ids(named, &candidates);
        let mut moved = BTreeSet::new();
        let mut theirs = BTreeSet::new();
        for phone in named.identities.iter().filter(|one| is_number(one)) {
            match self.holder(&named.key(phone)) {
                Some(holder) if candidates.contains(&holder) => {}
                Some(holder) if self.is_another(named, phone, &holder, &ids) => {
                    moved.insert(phone);
                }
                Some(holder) => {
                    theirs.insert(holder);
                }
                None => {}
            }
        }
        candidates.extend(theirs);
        let own = self.choose(candidates, named).unwrap_or_else(new);
        for identity in named.identities {
            let handed_on = moved.contains(identity);
            if !(historic && handed_on) {
                self.note(named, identity, &own, handed_on);
            }
        }
        own
    }

    /// Applies a change of a person's identities. Returns the contact, and whether this had an effect. `None` if there is no
    /// such contact.
    pub(super) fn rename(
        &mut self,
        named: &Named<'a>,
        former: &Named<'a>,
        at: i64,
    ) -> Option<(ContactId, bool)> {
        let applied = named.keys().all(|key| {
            let holding = self.holdings.get(&key);
            holding.is_some_and(|holding| holding.state.changed_at >= at)
        });
        if applied {
            let own = named.keys().find_map(|key| self.holder(&key))?;
            return Some((own, false));
        }
        let mut candidates = self.durable(former);
        let of_former: Vec<_> = former.keys().filter_map(|key| self.holder(&key)).collect();
        candidates.extend(of_former);
        candidates.extend(self.durable(named));
        let ids = self.user_ids(named, &BTreeSet::new());
        let mut moved = BTreeSet::new();
        let mut theirs = BTreeSet::new();
        for phone in named.identities.iter().filter(|one| is_number(one)) {
            match self.holder(&named.key(phone)) {
                None => {}
                Some(holder) if candidates.contains(&holder) => {}
                // If the update has no user id, a contact with a user id of its own is probably another person.
                Some(holder)
                    if self.is_another(named, phone, &holder, &ids)
                        || ids.is_empty() && self.has_user_id(named, &holder) =>
                {
                    moved.insert(phone);
                }
                Some(holder) => {
                    theirs.insert(holder);
                }
            }
        }
        candidates.extend(theirs);
        let own = self.choose(candidates, named)?;
        let mut replaced: Vec<Identity> = former.identities.to_vec();
        let number_changed = named.identities.iter().any(is_number);
        if number_changed && ids.is_empty() {
            // A new number brings new user ids, also if the provider does not name them.
            let known = self.contacts.get(&own).into_iter();
            let known = known.flat_map(|known| known.identities.iter());
            replaced.extend(known.filter(|one| is_user_id(one)).cloned());
        }
        let mut news = false;
        for (identities, is_former) in [(&replaced[..], true), (named.identities, false)] {
            for identity in identities {
                let handed_on = moved.contains(identity);
                self.note(named, identity, &own, handed_on);
                if let Some(holding) = self.holdings.get_mut(&named.key(identity))
                    && holding.state.changed_at < at
                {
                    holding.state = State {
                        former: is_former,
                        changed_at: at,
                    };
                    news = true;
                }
            }
        }
        Some((own, news))
    }

    /// Whether an identity is one that its contact has at present.
    pub(super) fn is_present(&self, key: &Key<'a>) -> bool {
        let holding = self.holdings.get(key);
        holding.is_none_or(|holding| !holding.state.former)
    }

    /// Whose an identity is.
    pub(super) fn holder(&self, key: &Key<'a>) -> Option<ContactId> {
        let mut id = &self.holdings.get(key)?.contact;
        while let Some(joined) = self
            .contacts
            .get(id)
            .and_then(|known| known.joined.as_ref())
        {
            id = joined;
        }
        Some(id.clone())
    }

    /// Who has those of the identities that cannot be handed on.
    fn durable(&self, named: &Named<'a>) -> BTreeSet<ContactId> {
        let durable = named.identities.iter().filter(|one| !is_number(one));
        durable
            .filter_map(|identity| self.holder(&named.key(identity)))
            .collect()
    }

    /// The user ids that are named, and those that the contacts have at present.
    fn user_ids(&self, named: &Named<'a>, of: &BTreeSet<ContactId>) -> BTreeSet<Identity> {
        let known = of.iter().flat_map(|id| self.present_user_ids(named, id));
        let said = named.identities.iter().filter(|one| is_user_id(one));
        said.cloned().chain(known).collect()
    }

    fn present_user_ids(
        &self,
        named: &Named<'a>,
        contact: &ContactId,
    ) -> impl Iterator<Item = Identity> {
        let known = self.contacts.get(contact).into_iter();
        known
            .flat_map(|known| &known.identities)
            .filter(|one| is_user_id(one) && self.is_present(&named.key(one)))
            .cloned()
    }

    fn has_user_id(&self, named: &Named<'a>, contact: &ContactId) -> bool {
        self.present_user_ids(named, contact).next().is_some()
    }

    /// Whether who has a number is somebody else than who comes with it and with these user ids.
    fn is_another(
        &self,
        named: &Named<'a>,
        phone: &Identity,
        holder: &ContactId,
        ids: &BTreeSet<Identity>,
    ) -> bool {
        if ids.is_empty() {
            return false;
        }
        if !self.is_present(&named.key(phone)) {
            return true;
        }
        let own: Vec<_> = self.present_user_ids(named, holder).collect();
        // An identity without a scope may be of any scope.
        let comparable = |one: &Identity, other: &Identity| {
            one.kind == other.kind
                && (one.scope == other.scope || one.scope.is_none() || other.scope.is_none())
        };
        own.iter().any(|one| {
            let same: Vec<_> = ids.iter().filter(|other| comparable(one, other)).collect();
            !same.is_empty() && same.iter().all(|other| other.value != one.value)
        })
    }

    /// Of contacts that are one, whoever writes in this inbox already, else the oldest. The others are to be joined.
    fn choose(&mut self, candidates: BTreeSet<ContactId>, named: &Named<'a>) -> Option<ContactId> {
        let writes = |id: &&ContactId| self.conversation(id, named.inbox).is_some();
        let own = candidates
            .iter()
            .find(writes)
            .or(candidates.first())?
            .clone();
        for other in candidates.into_iter().filter(|other| *other != own) {
            let known = self.contacts.entry(other.clone()).or_default();
            known.joined = Some(own.clone());
            let identities = known.identities.clone();
            self.contacts
                .entry(own.clone())
                .or_default()
                .identities
                .extend(identities);
            let (contact, other) = match own < other {
                true => (own.clone(), other),
                false => (other, own.clone()),
            };
            self.joins.insert(Join {
                account: named.account.clone(),
                contact,
                other,
                directed: false,
            });
        }
        Some(own)
    }

    /// Notes an identity for a contact, if it is nobody's or was handed on.
    fn note(&mut self, named: &Named<'a>, identity: &Identity, own: &ContactId, handed_on: bool) {
        let known = self.contacts.entry(own.clone()).or_default();
        known.identities.insert(identity.clone());
        let key = named.key(identity);
        let Some(holding) = self.holdings.get_mut(&key) else {
            let new = Holding {
                contact: own.clone(),
                state: State::default(),
                stored: None,
            };
            self.holdings.insert(key, new);
            return;
        };
        if handed_on {
            let before = std::mem::replace(&mut holding.contact, own.clone());
            holding.state.former = false;
            if let Some(known) = self.contacts.get_mut(&before) {
                known.identities.remove(identity);
            }
            self.lost_phones
                .push((named.account, before, identity.clone()));
        }
    }
}

fn is_number(identity: &Identity) -> bool {
    identity.kind == IdentityKind::Phone
}

fn is_user_id(identity: &Identity) -> bool {
    matches!(
        identity.kind,
        IdentityKind::UserId | IdentityKind::ParentUserId
    )
}
