//! The cache: keeps what would otherwise be read from the store again for each request.
//!
//! It holds three kinds of entries: API keys (by the SHA-256 of the key), pages of the list of inboxes as finished
//! answers, and the destinations of updates (the inbox that a provider's address leads to, and the secret that its
//! updates are signed with). It also holds the marks of long lists: the places where their pages begin. With them, a page
//! that is not cached is cheap to read.
//!
//! Every entry belongs to an account. It records the account's generation and the era at which it was read from the
//! store, and is used only while both are still the same. A new message raises the generation of its account's pages. A
//! change of a key or an inbox raises the generation of everything that is cached of its account. Entries of other
//! accounts stay valid. The era is shared by all accounts. It counts how often all entries were
//! invalidated, because something was changed and it is not known what.
//!
//! On SQLite every request compares the stamp of the write-ahead log, which changes with every commit of any process.
//! So the cache is as fresh as the store. On PostgreSQL every commit notifies all nodes of what it changed. A node uses
//! its cache only within 0.9 s of the last moment for which it has certainly received every notification (the lease).
//!
//! While this process is committing a change, it uses no entry that the change affects ([`InvalidationGuard`]). What
//! was read from the store before a change is never cached after it ([`FillToken`]).
//!
//! Invariants: an entry that is used was true in the store at the moment when its [`Freshness`] was checked. On SQLite
//! that is exact. On PostgreSQL it is exact for commits of this process; commits of others may be missing for up to
//! [`LEASE`]. And a page is never older than anything that was read from the store and shown before the page was
//! requested.

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

/// The room is divided into sixteenths. Each kind of entry gets its part of them, and pages get the rest.
const SIXTEENTHS: u64 = 16;
const FOR_KEYS: u64 = 2;
const FOR_MARKS: u64 = 1;
const FOR_DESTINATIONS: u64 = 1;

/// The size of a key's entry in bytes, with the map's overhead and its account's state. For marks, the overhead alone.
const KEY: usize = 768;
const MARKS: usize = 256;

/// The length of a list, in inboxes, from which counting and skipping rows costs more than reading the page itself.
const LONG: i64 = 200;

/// The cache of one process. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Parts>);

struct Parts {
    /// The size limit of the whole cache, in bytes.
    room: u64,
    source: FreshnessSource,
    accounts: Accounts,
    keys: Entries<KeyHash, Arc<Principal>>,
    pages: Pages,
    /// Marks by the serial number of the account's state. `None` if they would take more than their part of the room.
    marks: Entries<u64, Option<Arc<Marks>>>,
    destinations: Entries<HookAddress, Arc<Destination>>,
}

/// What a commit changes.
#[derive(Debug, Default)]
pub struct Invalidation {
    /// True if it is not known what was changed.
    pub all: bool,
    /// The accounts that were changed, and how much of each.
    pub accounts: BTreeMap<AccountId, Extent>,
}

/// Statistics of the cache. Hits and misses count from the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Pages that were answered from the cache.
    pub hits: u64,
    /// Pages that had to be read from the store.
    pub misses: u64,
    /// Bytes that the cache takes now. Estimated, and rather too high than too low.
    pub bytes: u64,
    /// Cached keys.
    pub keys: u64,
    /// Cached pages.
    pub pages: u64,
    /// Cached destinations.
    pub destinations: u64,
}

/// Marks that are being read from the store.
pub struct MarksFill {
    marking: Marking,
    token: FillToken,
}

impl Cache {
    /// Creates a cache of at most `bytes` bytes for this database. With 0 it caches nothing. On PostgreSQL it is used
    /// only while [`Cache::renew_lease`] is called often enough.
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

    /// Checks whether the cache may be used now. A request checks once, before it reads anything.
    pub fn freshness(&self) -> Freshness {
        match self.0.room {
            0 => Freshness::Unknown,
            _ => self.0.source.check(),
        }
    }

    /// Checks the database for commits of other processes, and returns the current era. Each such commit begins a new one.
    pub fn refreshed_era(&self) -> u64 {
        self.0.source.check();
        self.0.source.era()
    }

    /// Renews the lease. PostgreSQL only: the caller has received every notification of what could be seen in the store
    /// before `at`.
    pub fn renew_lease(&self, at: Instant) {
        self.0.source.renew_lease(at);
    }

    /// Ends the lease. PostgreSQL only: the caller receives no notifications from now on.
    pub fn end_lease(&self) {
        self.0.source.end_lease();
    }

    /// Invalidates every entry.
    pub fn invalidate_all(&self) {
        self.0.source.invalidate_all();
    }

    /// Invalidates the entries that these committed changes affect.
    pub fn invalidate(&self, changes: &Invalidation) {
        if changes.all {
            self.invalidate_all();
        }
        for (id, extent) in &changes.accounts {
            if let Some((account, pages)) = self.0.accounts.note_change(id, *extent) {
                self.0.pages.evict(&account, pages);
            }
        }
    }

    /// To be called before a commit that makes these changes, with the stamp at which its session began. Until the
    /// returned guard is dropped, the affected entries are not used. Then they are invalidated, whether the
    /// commit succeeded or not.
    pub fn guard(&self, began: Option<Stamp>, changes: Invalidation) -> InvalidationGuard {
        self.0.source.commit_begins(began);
        let begin = |(id, extent)| (self.0.accounts.begin_change(&id, extent), extent);
        InvalidationGuard {
            cache: self.clone(),
            began,
            all: changes.all,
            accounts: changes.accounts.into_iter().map(begin).collect(),
        }
    }

    /// The state of an account, created if it has none yet.
    pub fn account(&self, id: &AccountId) -> Arc<AccountState> {
        self.0.accounts.get(id)
    }

    /// Returns a token that must be taken before a key or a destination is read from the store, so that it can be
    /// cached. `None` if it cannot be cached.
    pub fn fill_token(&self, freshness: Freshness) -> Option<FillToken> {
        (freshness == Freshness::Fresh).then(|| FillToken {
            era: self.0.source.era(),
            generation: self.0.accounts.generation(),
        })
    }

    /// The principal of the key with this hash, and the state of its account. The key may have expired.
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

    /// The destination of updates for this address.
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

    /// The marks of an account's lists. `None` if they are not cached.
    pub fn marks(&self, freshness: Freshness, account: &AccountState) -> Option<Arc<Marks>> {
        let (marks, _) = self.found(freshness, &self.0.marks, &account.serial)?;
        marks
    }

    /// To be called before the marks of an account are read from the store. `total` is the length of its list. `None`
    /// if marks should not be read: the list is short, the marks are cached or being read already, or they could not be
    /// cached.
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

    /// Caches marks that were read after `fill` was made.
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

    /// A cached page of an account's inboxes.
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

    /// To be called before a page is read from the store.
    pub fn begin_page(
        &self,
        freshness: Freshness,
        account: Arc<AccountState>,
        page: Page,
    ) -> PageFill {
        let fresh = freshness == Freshness::Fresh;
        self.0.pages.begin(&self.0.source, account, page, fresh)
    }

    /// Caches a page that was read from the store. Must be called before the page is shown to anybody, even if it
    /// cannot be cached.
    pub fn fill_page(&self, fill: PageFill, rendered: &Arc<Rendered>) {
        self.0.pages.fill(&self.0.source, fill, rendered);
    }

    /// To be called after an inbox of this account was read from the store, and before it is shown.
    pub fn note_read(&self, account: &AccountId) {
        self.account(account)
            .note_uncached_read(self.0.source.now());
    }

    /// The statistics of the cache.
    pub fn figures(&self) -> Figures {
        let (hits, misses) = self.0.pages.counts();
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

/// Marks a commit as under way. See [`Cache::guard`].
pub struct InvalidationGuard {
    cache: Cache,
    began: Option<Stamp>,
    all: bool,
    accounts: Vec<(Arc<AccountState>, Extent)>,
}

impl Drop for InvalidationGuard {
    fn drop(&mut self) {
        let cache = &self.cache;
        if self.all {
            cache.invalidate_all();
        }
        for (account, extent) in &self.accounts {
            let pages = cache.0.accounts.end_change(account, *extent);
            cache.0.pages.evict(account, pages);
        }
        cache.0.source.commit_ended(self.began);
    }
}
