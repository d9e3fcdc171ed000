//! The cache: what need not be read from the store again.
//!
//! Three things are cached: API keys (by the SHA-256 of the key), pages of inboxes as finished answers, and destinations
//! of hooks (which inbox a provider's address leads to, and the secret that its updates are signed with). Beside them it
//! keeps marks of long lists, which make pages that are not cached cheap to read. Every entry belongs to an account, and
//! remembers the account's generation at the time when it was read from the store, and the era. It is used only if both
//! are still the same. A message raises the generation of its account's pages; a change of a key or an inbox raises that
//! of everything cached of its account; nobody else's is touched. The era is everybody's, and ends when something changed
//! of which nobody knows what it was. On SQLite every request compares the stamp of the write-ahead log, which every
//! commit of any process moves, so the cache is as fresh as the store. On PostgreSQL every commit tells all nodes what it
//! changed; a node uses its cache only within 0.9 s of the last moment up to which it has certainly heard everything (the
//! lease). While a commit of this process is under way, nothing that it touches is used ([`InvalidationGuard`]), and what
//! was read from the store before a change is never cached after it ([`FillToken`]).
//!
//! Invariant: an entry that is used was true of the store at the moment of the [`Freshness`] that it was asked for with: on
//! SQLite to the commit, on PostgreSQL to the commit for this process's own and to [`LEASE`] for others'. And no page is
//! older than what was read from the store, and shown, before it was asked for.

mod account;
mod destinations;
mod entries;
mod freshness;
mod pages;
#[cfg(test)]
mod tests;

pub use account::{AccountState, Extent};
pub use destinations::{Destination, HookAddress};
pub use entries::FillToken;
pub use freshness::{Freshness, LEASE};
pub use pages::PageFill;

use crate::{
    id::AccountId,
    principal::{KeyHash, Principal},
    rendered::Rendered,
    store::inboxes::{Marks, Page},
};
use account::{Accounts, Marking};
use db::{Database, Stamp};
use entries::Entries;
use freshness::FreshnessSource;
use pages::Pages;
use std::{collections::BTreeMap, hash::Hash, sync::Arc};
use tokio::time::Instant;

/// Sixteenths of the room for each kind but pages, which have the rest.
const SIXTEENTHS: u64 = 16;
const FOR_KEYS: u64 = 2;
const FOR_MARKS: u64 = 1;
const FOR_DESTINATIONS: u64 = 1;

/// Bytes that an entry takes with what the map keeps of it and the state of its account; of marks, without themselves.
const KEY: usize = 768;
const MARKS: usize = 256;

/// From how many inboxes on counting and skipping rows costs more than the page itself.
const LONG: i64 = 200;

/// The cache of one process. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Parts>);

struct Parts {
    /// Bytes that there is room for.
    room: u64,
    source: FreshnessSource,
    accounts: Accounts,
    keys: Entries<KeyHash, Arc<Principal>>,
    pages: Pages,
    /// By the serial of the account's state. `None` where they would take more than their part of the room.
    marks: Entries<u64, Option<Arc<Marks>>>,
    destinations: Entries<HookAddress, Arc<Destination>>,
}

/// What changes.
#[derive(Debug, Default)]
pub struct Invalidation {
    /// Nobody knows what.
    pub everything: bool,
    /// These accounts.
    pub accounts: BTreeMap<AccountId, Extent>,
}

/// What the cache was good for since the start, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Pages that were cached.
    pub hits: u64,
    /// Pages that had to be read from the store.
    pub misses: u64,
    /// Bytes that it takes now, on the safe side.
    pub bytes: u64,
    /// Keys that are cached.
    pub keys: u64,
    /// Pages that are cached.
    pub pages: u64,
    /// Destinations that are cached.
    pub destinations: u64,
}

/// Marks that are being made.
pub struct MarksFill {
    marking: Marking,
    token: FillToken,
}

impl Cache {
    /// For this database, with room for so many bytes; with 0 nothing is cached. On PostgreSQL it is used only as long as
    /// somebody keeps the lease up with [`Cache::renew_lease`].
    pub fn new(db: &Database, bytes: u64) -> Self {
        let part = |sixteenths| bytes * sixteenths / SIXTEENTHS;
        let for_pages = SIXTEENTHS - FOR_KEYS - FOR_MARKS - FOR_DESTINATIONS;
        Cache(Arc::new(Parts {
            room: bytes,
            source: FreshnessSource::new(db),
            accounts: Accounts::new(),
            keys: Entries::new(part(FOR_KEYS), Extent::All, |_, _| KEY),
            pages: Pages::new(part(for_pages)),
            marks: Entries::new(part(FOR_MARKS), Extent::All, marks_bytes),
            destinations: Entries::new(
                part(FOR_DESTINATIONS),
                Extent::All,
                |address, to: &Arc<_>| destinations::bytes(address, to),
            ),
        }))
    }

    /// Looks whether the cache may be used now. One look is enough for a request, before anything is asked for.
    pub fn freshness(&self) -> Freshness {
        match self.0.room {
            0 => Freshness::Unknown,
            _ => self.0.source.look(),
        }
    }

    /// How often everything was forgotten so far, because of what another process did.
    pub fn era(&self) -> u64 {
        self.0.source.look();
        self.0.source.era()
    }

    /// On PostgreSQL: this process was told of everything that anybody could see in the store before this moment.
    pub fn renew_lease(&self, at: Instant) {
        self.0.source.renew_lease(at);
    }

    /// On PostgreSQL: this process is told nothing from here on.
    pub fn end_lease(&self) {
        self.0.source.end_lease();
    }

    /// Forgets everything.
    pub fn forget(&self) {
        self.0.source.begin_era();
    }

    /// Forgets what these changes make untrue. They are committed.
    pub fn invalidate(&self, changes: &Invalidation) {
        if changes.everything {
            self.forget();
        }
        for (id, extent) in &changes.accounts {
            if let Some((account, pages)) = self.0.accounts.note_change(id, *extent) {
                self.0.pages.evict(&account, pages);
            }
        }
    }

    /// Announces a commit that changes this, by the session that began at this stamp. Until the returned value is
    /// dropped nobody uses what it touches; then it is forgotten, whether the commit went well or not.
    pub fn guard(&self, began: Option<Stamp>, changes: Invalidation) -> InvalidationGuard {
        self.0.source.commit_begins(began);
        let begin = |(id, extent)| (self.0.accounts.begin_change(&id, extent), extent);
        InvalidationGuard {
            cache: self.clone(),
            began,
            everything: changes.everything,
            accounts: changes.accounts.into_iter().map(begin).collect(),
        }
    }

    /// The state of this account.
    pub fn account(&self, id: &AccountId) -> Arc<AccountState> {
        self.0.accounts.get(id)
    }

    /// To be taken before a key or a destination is read from the store that is to be cached. `None` if it cannot be.
    pub fn fill_token(&self, freshness: Freshness) -> Option<FillToken> {
        (freshness == Freshness::Fresh).then(|| FillToken {
            era: self.0.source.era(),
            generation: self.0.accounts.generation(),
        })
    }

    /// The principal whose key has this hash, and the state of its account. The key may have expired.
    pub fn key(
        &self,
        freshness: Freshness,
        hash: &KeyHash,
    ) -> Option<(Arc<Principal>, Arc<AccountState>)> {
        let entry = self.found(freshness, &self.0.keys, hash)?;
        Some((entry.0, entry.1))
    }

    /// Caches a key that was read after the token was taken.
    pub fn fill_key(&self, token: FillToken, principal: &Arc<Principal>) {
        let account = self.account(principal.account());
        let (hash, era) = (principal.key().hash, self.0.source.era());
        self.0
            .keys
            .fill(hash, principal.clone(), account, token, era);
    }

    /// The destination of updates that name it so.
    pub fn destination(
        &self,
        freshness: Freshness,
        address: &HookAddress,
    ) -> Option<Arc<Destination>> {
        let (destination, _) = self.found(freshness, &self.0.destinations, address)?;
        Some(destination)
    }

    /// Caches a destination that was read after the token was taken.
    pub fn fill_destination(
        &self,
        token: FillToken,
        address: HookAddress,
        destination: &Arc<Destination>,
    ) {
        let account = self.account(&destination.account);
        let (destination, era) = (destination.clone(), self.0.source.era());
        self.0
            .destinations
            .fill(address, destination, account, token, era);
    }

    /// The marks of this account's lists.
    pub fn marks(&self, freshness: Freshness, account: &AccountState) -> Option<Arc<Marks>> {
        let (marks, _) = self.found(freshness, &self.0.marks, &account.serial)?;
        marks
    }

    /// For making the marks of an account that has a list of so many inboxes. `None` if that is not worth it: the list is
    /// short, somebody is making them already, or they could not be cached.
    pub fn begin_marks(
        &self,
        freshness: Freshness,
        account: &Arc<AccountState>,
        total: i64,
    ) -> Option<MarksFill> {
        let known = self.found(freshness, &self.0.marks, &account.serial);
        if total <= LONG || known.is_some() {
            return None;
        }
        let token = self.fill_token(freshness)?;
        let marking = account.begin_marking()?;
        Some(MarksFill { marking, token })
    }

    /// Caches marks.
    pub fn fill_marks(&self, fill: MarksFill, marks: Marks) {
        let (account, era) = (fill.marking.0.clone(), self.0.source.era());
        let fits = (MARKS + marks.bytes()) as u64 <= self.0.marks.room();
        let marks = fits.then(|| Arc::new(marks));
        self.0
            .marks
            .fill(account.serial, marks, account, fill.token, era);
    }

    fn found<K, V>(
        &self,
        freshness: Freshness,
        entries: &Entries<K, V>,
        key: &K,
    ) -> Option<(V, Arc<AccountState>)>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        if freshness == Freshness::Unknown {
            return None;
        }
        let entry = entries.get(key, self.0.source.era())?;
        Some((entry.value, entry.account))
    }

    /// A page of this account's inboxes.
    pub fn page(
        &self,
        freshness: Freshness,
        account: &AccountState,
        page: Page,
    ) -> Option<Arc<Rendered>> {
        match freshness {
            Freshness::Fresh => self.0.pages.get(&self.0.source, account, page),
            Freshness::Unknown => None,
        }
    }

    /// To be taken before a page is read from the store.
    pub fn begin_page(
        &self,
        freshness: Freshness,
        account: Arc<AccountState>,
        page: Page,
    ) -> PageFill {
        let fresh = freshness == Freshness::Fresh;
        self.0.pages.begin(&self.0.source, account, page, fresh)
    }

    /// Takes in a page that was read from the store. To be called before it is shown to anybody, even if it will not
    /// be cached.
    pub fn fill_page(&self, fill: PageFill, rendered: &Arc<Rendered>) {
        self.0.pages.fill(&self.0.source, fill, rendered);
    }

    /// An inbox of this account was read from the store, past the cache, and is about to be shown.
    pub fn note_read(&self, account: &AccountId) {
        self.account(account).note_news(self.0.source.now());
    }

    /// What it was good for, and what it takes.
    pub fn figures(&self) -> Figures {
        let (hits, misses) = self.0.pages.looks();
        let (keys, of_keys) = self.0.keys.size();
        let (pages, of_pages) = self.0.pages.size();
        let (_, of_marks) = self.0.marks.size();
        let (destinations, of_destinations) = self.0.destinations.size();
        Figures {
            hits,
            misses,
            bytes: of_keys + of_pages + of_marks + of_destinations,
            keys,
            pages,
            destinations,
        }
    }
}

fn marks_bytes(_: &u64, marks: &Option<Arc<Marks>>) -> usize {
    MARKS + marks.as_ref().map_or(0, |marks| marks.bytes())
}

/// A commit under way.
pub struct InvalidationGuard {
    cache: Cache,
    began: Option<Stamp>,
    everything: bool,
    accounts: Vec<(Arc<AccountState>, Extent)>,
}

impl Drop for InvalidationGuard {
    fn drop(&mut self) {
        let cache = &self.cache;
        if self.everything {
            cache.forget();
        }
        for (account, extent) in &self.accounts {
            let pages = cache.0.accounts.end_change(account, *extent);
            cache.0.pages.evict(account, pages);
        }
        cache.0.source.commit_ended(self.began);
    }
}
