//! Who is who: which contact is meant by the identities that an update names, as far as the store and the batch before it
//! say. It decides; `contacts` reads what it needs and writes what it says.
//!
//! All that is named for one person is one person's. Only a phone number can be handed on to somebody else: it was, if it
//! comes with a user id while its contact has another one of the same kind and scope. Then the number moves, and nobody is
//! joined. Older messages that are handed over move no number.
//!
//! Invariant: an identity leads to one contact, and two contacts are one only if a provider named both for one person.

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

/// A person as an update names it.
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

/// Whose an identity is, and whose it was in the store.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) contact: ContactId,
    pub(super) state: State,
    /// What the store has, if it has it: whose it is, its state, and whether its scope is missing.
    pub(super) stored: Option<(ContactId, State, bool)>,
}

impl Holding {
    /// Whether the store has something else.
    pub(super) fn is_changed(&self) -> bool {
        let stored = self.stored.as_ref();
        stored != Some(&(self.contact.clone(), self.state, false))
    }
}

/// What is known of a contact.
#[derive(Default)]
pub(super) struct Known {
    /// As it is stored, unless it is new.
    pub(super) stored: Option<contacts::Stored>,
    /// Its identities, once they are needed.
    identities: BTreeSet<Identity>,
    conversations: HashMap<InboxId, ConversationId>,
    /// The contact that it is one with, if that came out in this batch.
    joined: Option<ContactId>,
}

/// The people that a batch names.
#[derive(Default)]
pub(super) struct People<'a> {
    pub(super) holdings: BTreeMap<Key<'a>, Holding>,
    pub(super) contacts: BTreeMap<ContactId, Known>,
    pub(super) joins: BTreeSet<Join>,
    /// The identities that are stored without their scope, and get it now.
    unscoped: BTreeMap<(&'a AccountId, Channel, Identity), Key<'a>>,
    /// Numbers that were handed on, by who had them.
    pub(super) lost_phones: Vec<(&'a AccountId, ContactId, Identity)>,
}

impl<'a> People<'a> {
    /// Notes whose an identity is in the store.
    pub(super) fn add(&mut self, key: Key<'a>, inbox: &InboxId, holder: Holder) {
        let id = holder.contact.id.clone();
        // One whose scope is missing is of the first that comes with one.
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

    /// Notes an identity of a contact that no update names.
    pub(super) fn add_other(&mut self, key: Key<'a>, contact: &ContactId, state: State) {
        let known = self.contacts.entry(contact.clone()).or_default();
        // One whose scope is missing is there with its scope already.
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

    /// Whether these are not simply all one contact's already, so that its other identities matter.
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

    /// The contact that is meant. `new` makes the id of one that nobody knew.
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

    /// Applies what a provider says of a person whose identities changed. None if nobody knows that person; else the
    /// contact, and whether that was news.
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
                // Without a word on the user id, who has one of his own is rather somebody else.
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
        // One whose scope was not kept may be of any.
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
