//! Keys, pages and the destinations of deliveries that are kept in memory, and when they may be used.
//!
//! What a page looks like, and what else is cached by whom, is not known here.
//!
//! Invariant: what is recalled was true of the store when the [`Sight`] that it was recalled by was taken. On SQLite
//! that holds to the commit, for any process's commits. On PostgreSQL it holds to the commit for this process's own,
//! and to [`LEASE`] for others'. On both, nothing is recalled that is older than what was last read from the store for
//! the same account: an older answer never follows a newer one.

mod destinations;
mod few;
mod horizon;
mod kept;
mod keys;
mod long;
mod pages;
mod whole;

pub use destinations::Name;
pub use horizon::LEASE;
pub use kept::Account;
pub use keys::KeyHash;
pub use long::{Find, Look, Walk};
pub use whole::{Rows, Whole};

use super::{
    changes::{Changes, Extent},
    keys::Known,
};
use crate::{
    id::{AccountId, KeyId},
    rendered::{Form, Rendered},
    store::inboxes::Filter,
};
use db::{Database, EngineKind, Stamp};
use destinations::Destinations;
use horizon::{File, Horizon, Lease, Seen};
use kept::{Age, Kept, Key};
use keys::Keys;
use moka::{notification::RemovalCause, ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use pages::KeptPage;
use std::sync::{
    Arc, Mutex, RwLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::time::Instant;
use whole::Origin;

/// The part of all room that is for destinations: a small one of a small thing.
const FOR_DESTINATIONS: u64 = 16;
/// The part of all room that may be taken anew before the cache is told again that an account is in use. Telling it at each
/// request would cost more than the rest of the look, and while nobody comes anew, nobody has to leave.
const TOUCH: u64 = 16;
/// The part of what an account weighs by which the cache may be wrong.
const LITTLE: u64 = 16;

/// Which page of an account's inboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    /// Of those that match.
    pub filter: Filter,
    /// So many.
    pub limit: i64,
    /// After so many.
    pub offset: i64,
}

/// The memory of one process. Cheap to clone.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    /// Bytes that there is room for.
    room: u64,
    /// Bytes that were ever taken.
    taken: AtomicU64,
    /// All accounts of which something is kept. Whose leaves takes its keys along.
    accounts: Cache<AccountId, Arc<Account>>,
    keys: Arc<Keys>,
    /// Counts what made all keys that were known before uncertain.
    keys_era: AtomicU64,
    destinations: Destinations,
    /// Counts what made everything that was kept before uncertain.
    era: Arc<AtomicU64>,
    horizon: Horizon,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the memory was good for since the start, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Pages that were there.
    pub hits: u64,
    /// Pages that had to be read from the store.
    pub misses: u64,
    /// Bytes that it takes now, on the safe side.
    pub bytes: u64,
    /// Accounts of which something is kept.
    pub accounts: u64,
    /// Destinations of deliveries that are kept.
    pub destinations: u64,
}

/// Whether memory may be used, by what was so at one moment during a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It may.
    Clear,
    /// Something may have changed: only the store knows.
    Clouded,
}

/// What a look for a page gives.
pub enum Recall {
    /// The page.
    Page(Rendered),
    /// Its rows. Hand the page in with the ticket, too: its other forms are worth keeping.
    Rows(Rows, Ticket),
    /// Read it from the store, and hand it in with the ticket before anybody is shown it.
    Ask(Ticket),
}

/// For handing in a page that is read from the store after the ticket was given.
pub struct Ticket {
    account: Option<Arc<Account>>,
    page: Page,
    asked: u64,
    reads: u64,
    /// The account's generation, if the page may be kept.
    generation: Option<u64>,
}

impl Memory {
    /// For this database, with room for so many bytes. It is filled on PostgreSQL only as long as somebody
    /// keeps the lease up with [`Memory::alive`].
    pub fn new(db: &Database, bytes: u64) -> Self {
        let horizon = match db.engine() {
            EngineKind::Sqlite => Horizon::File(File {
                db: db.clone(),
                seen: RwLock::new(Seen {
                    stamp: None,
                    flights: 0,
                }),
            }),
            EngineKind::Postgres => Horizon::Lease(Lease {
                start: Instant::now(),
                until: AtomicU64::new(0),
                heard: AtomicU64::new(0),
                read: AtomicU64::new(0),
            }),
        };
        let for_destinations = bytes / FOR_DESTINATIONS;
        let keys = Arc::<Keys>::default();
        let era = Arc::new(AtomicU64::new(0));
        let accounts = {
            let (keys, era) = (keys.clone(), era.clone());
            Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|_, account: &Arc<Account>| {
                    u32::try_from(account.weight()).unwrap_or(u32::MAX)
                })
                .max_capacity(bytes - for_destinations)
                .eviction_listener(move |_, account: Arc<Account>, cause| {
                    let weighed_again = cause == RemovalCause::Replaced
                        && account.era == era.load(Ordering::Acquire);
                    if !weighed_again {
                        account.leave(&keys);
                    }
                })
                .build()
        };
        Memory(Arc::new(Inner {
            room: bytes,
            taken: AtomicU64::new(0),
            accounts,
            keys,
            keys_era: AtomicU64::new(0),
            destinations: Destinations::new(
                usize::try_from(for_destinations).unwrap_or(usize::MAX),
            ),
            era,
            horizon,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }))
    }

    /// Looks whether memory may be used. Take one for each request, before anything is recalled or read for it.
    pub fn sight(&self) -> Sight {
        let clear = match &self.0.horizon {
            Horizon::File(file) => self.is_current(file),
            Horizon::Lease(lease) => lease.holds(),
        };
        if clear && self.0.room > 0 {
            Sight::Clear
        } else {
            Sight::Clouded
        }
    }

    fn is_current(&self, file: &File) -> bool {
        let Some(now) = file.db.stamp() else {
            return false;
        };
        {
            let seen = file.seen();
            if seen.stamp == Some(now) {
                return true;
            }
            if seen.flights > 0 {
                return false;
            }
        }
        let mut seen = file.seen_mut();
        if seen.flights > 0 {
            return false;
        }
        // Somebody else may have come first, and the file may have moved on.
        let now = file.db.stamp();
        if seen.stamp != now {
            self.forget();
            seen.stamp = now;
        }
        now.is_some()
    }

    /// How often everything was forgotten so far, because of what another process did.
    pub fn era(&self) -> u64 {
        self.sight();
        self.0.era.load(Ordering::Acquire)
    }

    /// Everything that anybody could see in PostgreSQL before this moment has been passed on to this memory.
    pub fn alive(&self, at: Instant) {
        if let Horizon::Lease(lease) = &self.0.horizon {
            lease.heard.store(lease.moment(at), Ordering::Release);
            lease
                .until
                .store(lease.moment(at + LEASE), Ordering::Release);
        }
    }

    /// From here on nobody tells what PostgreSQL is told.
    pub fn deaf(&self) {
        if let Horizon::Lease(lease) = &self.0.horizon {
            lease.until.store(0, Ordering::Release);
        }
        self.forget();
    }

    /// Forgets everything.
    pub fn forget(&self) {
        self.0.keys_era.fetch_add(1, Ordering::AcqRel);
        self.0.destinations.forget();
        self.0.era.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets what these changes make untrue. They are committed.
    pub fn apply(&self, changes: &Changes) {
        if changes.everything {
            self.forget();
        }
        if changes.keys {
            self.0.keys_era.fetch_add(1, Ordering::AcqRel);
        }
        if changes.destinations() {
            self.0.destinations.forget();
        }
        for (id, extent) in changes.accounts() {
            match self.0.accounts.get(id) {
                Some(account) => account.forget(extent),
                None => self.see_off(),
            }
        }
    }

    /// Waits until an account that is just leaving the cache, and can no longer be found there, has left for good.
    fn see_off(&self) {
        self.0.accounts.run_pending_tasks();
    }

    /// Announces a commit with these changes, by the session that began at this stamp. Until the returned value is
    /// dropped nobody recalls what they touch; afterwards it is forgotten, whether the commit went well or not.
    pub fn flight(&self, began: Option<Stamp>, changes: &Changes) -> Flight {
        if let Horizon::File(file) = &self.0.horizon {
            let mut seen = file.seen_mut();
            seen.flights += 1;
            // The session holds the write lock: what moved the stamp came before it.
            if seen.stamp != began {
                self.forget();
                seen.stamp = began;
            }
        }
        let accounts = changes.accounts().into_iter();
        let accounts: Vec<_> = accounts
            .map(|(id, extent)| (self.account(id), extent))
            .collect();
        for (account, extent) in &accounts {
            for count in account.kept().counts(*extent) {
                count.flights += 1;
            }
        }
        Flight {
            memory: self.clone(),
            began,
            keys: changes.keys,
            destinations: changes.destinations(),
            everything: changes.everything,
            accounts,
        }
    }

    /// What is known of the key with this hash, and what is kept of its account. It may have expired.
    pub fn key(&self, sight: Sight, hash: &KeyHash) -> Option<(Known, Arc<Account>)> {
        if sight == Sight::Clouded {
            return None;
        }
        let account = self.0.keys.account(hash)?;
        let known = account.kept().keys.get(hash)?.known;
        let good =
            known.era == self.keys_era() && account.era == self.0.era.load(Ordering::Acquire);
        if !good {
            return None;
        }
        self.touch(&account);
        Some((known, account))
    }

    /// To be asked before a key is read from the store that is to be kept.
    pub fn keys_era(&self) -> u64 {
        self.0.keys_era.load(Ordering::Acquire)
    }

    /// Keeps what the store says of a key of this account. Returns what is kept of the account.
    pub fn keep_key(
        &self,
        sight: Sight,
        hash: KeyHash,
        account: &AccountId,
        id: &KeyId,
        known: Known,
    ) -> Option<Arc<Account>> {
        if sight == Sight::Clouded {
            return None;
        }
        let account = self.account(account);
        let mut kept = account.kept();
        if kept.gone {
            return None;
        }
        self.0.keys.insert(&hash, account.clone());
        let id = id.clone();
        kept.keys.insert(hash, Key { known, id });
        account.count_bytes(&kept);
        drop(kept);
        self.weigh(&account);
        Some(account)
    }

    /// What it was good for, and what it takes.
    pub fn figures(&self) -> Figures {
        let accounts = &self.0.accounts;
        accounts.run_pending_tasks();
        Figures {
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
            bytes: accounts.weighted_size() + self.0.destinations.bytes() as u64,
            accounts: accounts.entry_count(),
            destinations: self.0.destinations.len() as u64,
        }
    }

    /// A page of this account, if it is there. `form` is what it is wanted in.
    pub fn kept_page(&self, account: &Account, page: Page, form: Form) -> Option<Rendered> {
        let found = self.recall(&mut account.kept(), page, form)?;
        self.0.hits.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }

    /// The rows of a page of this account, if the whole list is there. Hand the page in with the ticket.
    pub fn kept_rows(&self, account: &Arc<Account>, page: Page) -> Option<(Rows, Ticket)> {
        match self.find_page(Some(account), page, Form::Plain) {
            Recall::Rows(rows, ticket) => {
                self.0.hits.fetch_add(1, Ordering::Relaxed);
                Some((rows, ticket))
            }
            // A page may have come meanwhile, and is found by whoever asks for it.
            Recall::Page(_) | Recall::Ask(_) => None,
        }
    }

    fn recall(&self, kept: &mut Kept, page: Page, form: Form) -> Option<Rendered> {
        let latest = self.latest(kept);
        let found = kept.pages.get_mut(page)?;
        if kept.any.flights > 0 || !latest(found.age) {
            return None;
        }
        found.rendered.keep(form);
        Some(found.rendered.clone())
    }

    /// Looks for a page of this account. `form` is what it is wanted in.
    pub fn page(&self, account: Option<&Arc<Account>>, page: Page, form: Form) -> Recall {
        let recall = self.find_page(account, page, form);
        let count = match recall {
            Recall::Page(_) | Recall::Rows(..) => &self.0.hits,
            Recall::Ask(_) => &self.0.misses,
        };
        count.fetch_add(1, Ordering::Relaxed);
        recall
    }

    fn find_page(&self, account: Option<&Arc<Account>>, page: Page, form: Form) -> Recall {
        let mut ticket = Ticket {
            account: account.cloned(),
            page,
            asked: self.moment(),
            reads: 0,
            generation: None,
        };
        let Some(account) = account else {
            return Recall::Ask(ticket);
        };
        let mut kept = account.kept();
        ticket.reads = kept.reads;
        if kept.any.flights > 0 {
            return Recall::Ask(ticket);
        }
        if let Some(rendered) = self.recall(&mut kept, page, form) {
            return Recall::Page(rendered);
        }
        ticket.generation = Some(kept.any.changes);
        let Some((whole, age)) = self.whole(&kept) else {
            return Recall::Ask(ticket);
        };
        drop(kept);
        Recall::Rows(whole.cut(page, Origin::Whole(age)), ticket)
    }

    /// Tells whether nothing newer can have been shown than what is so old. On PostgreSQL a read of the store may have met
    /// a change that is not heard of yet.
    fn latest(&self, kept: &Kept) -> impl Fn(Age) -> bool + use<> {
        let moments = match &self.0.horizon {
            Horizon::File(_) => None,
            Horizon::Lease(lease) => Some((
                lease.read.load(Ordering::Acquire),
                lease.heard.load(Ordering::Acquire),
            )),
        };
        let (reads, last) = (kept.reads, kept.read);
        move |age| {
            moments.is_none_or(|(read, heard)| {
                heard >= last.max(read) || (age.by == reads && age.asked > read)
            })
        }
    }

    /// Takes in a page, made of these rows, and keeps it, unless its account has changed since the ticket was given.
    pub fn keep_page(&self, ticket: Ticket, rows: &Rows, rendered: Rendered) {
        match rows.origin {
            Origin::Store => self.has_read(ticket.account.as_ref()),
            Origin::Same => self.has_read_the_same(&ticket),
            Origin::Whole(_) => {}
        }
        let (Some(account), Some(generation)) = (ticket.account, ticket.generation) else {
            return;
        };
        let mut kept = account.kept();
        if kept.any.changes != generation || kept.gone {
            return;
        }
        let age = match rows.origin {
            Origin::Whole(age) => age,
            Origin::Store | Origin::Same => kept.age(ticket.asked, ticket.reads),
        };
        kept.pages.insert(ticket.page, KeptPage { age, rendered });
        account.count_bytes(&kept);
        drop(kept);
        self.weigh(&account);
    }

    /// Something that a change of this account's list can be told from was just read from the store, and is about to be
    /// shown.
    pub fn has_read(&self, account: Option<&Arc<Account>>) {
        let Horizon::Lease(lease) = &self.0.horizon else {
            // A file tells by itself that it has changed.
            if let Some(account) = account {
                account.kept().reads += 1;
            }
            return;
        };
        let now = self.moment();
        match account {
            Some(account) => {
                let mut kept = account.kept();
                kept.reads += 1;
                kept.read = kept.read.max(now);
                // The account may have begun anew under the same name.
                if kept.gone || account.era != self.0.era.load(Ordering::Acquire) {
                    lease.read.fetch_max(now, Ordering::AcqRel);
                }
            }
            None => {
                lease.read.fetch_max(now, Ordering::AcqRel);
            }
        }
    }

    /// The same of rows that the whole list has just so: as long as that is kept, who is shown them learns nothing
    /// newer, and what is kept need not wait until everything is heard up to now.
    fn has_read_the_same(&self, ticket: &Ticket) {
        if let Some(account) = &ticket.account {
            let same_era = self.is_of_this_era(account);
            let mut kept = account.kept();
            if same_era && Some(kept.any.changes) == ticket.generation && !kept.gone {
                kept.reads += 1;
                return;
            }
        }
        self.has_read(ticket.account.as_ref());
    }

    /// Whether nothing has made everything uncertain since this was kept.
    fn is_of_this_era(&self, account: &Account) -> bool {
        self.sight() == Sight::Clear && account.era == self.0.era.load(Ordering::Acquire)
    }

    /// Now, as a [`Lease`] counts.
    fn moment(&self) -> u64 {
        match &self.0.horizon {
            Horizon::File(_) => 0,
            Horizon::Lease(lease) => lease.moment(Instant::now()),
        }
    }

    /// Has the cache weigh an account again, unless it has left: nobody tells it of changes any more.
    fn weigh(&self, account: &Arc<Account>) {
        let weight = account.weight();
        let before = account.weighed.load(Ordering::Relaxed);
        // To tell the cache costs as much as a page: a little more or less is left until it adds up.
        if weight.abs_diff(before) < before / LITTLE {
            return;
        }
        account.weighed.store(weight, Ordering::Relaxed);
        let more = weight.saturating_sub(before);
        self.0.taken.fetch_add(more, Ordering::Relaxed);
        let entry = self.0.accounts.entry_by_ref(&account.id);
        entry.and_compute_with(|current| match current {
            Some(entry) if Arc::ptr_eq(entry.value(), account) => Op::Put(account.clone()),
            _ => Op::Nop,
        });
    }

    fn touch(&self, account: &Account) {
        let taken = self.0.taken.load(Ordering::Relaxed);
        let last = account.touched.load(Ordering::Relaxed);
        if taken.saturating_sub(last) >= self.0.room / TOUCH {
            account.touched.store(taken, Ordering::Relaxed);
            self.0.accounts.get(&account.id);
        }
    }

    fn account(&self, id: &AccountId) -> Arc<Account> {
        let era = self.0.era.load(Ordering::Acquire);
        let new = || {
            Arc::new(Account {
                id: id.clone(),
                era,
                touched: AtomicU64::new(self.0.taken.load(Ordering::Relaxed)),
                weighed: AtomicU64::new(0),
                bytes: AtomicUsize::new(0),
                kept: Mutex::default(),
            })
        };
        let entry = self.0.accounts.entry_by_ref(id);
        entry
            .or_insert_with_if(new, |old| old.era < era)
            .into_value()
    }
}

/// A commit under way.
pub struct Flight {
    memory: Memory,
    began: Option<Stamp>,
    keys: bool,
    destinations: bool,
    everything: bool,
    accounts: Vec<(Arc<Account>, Extent)>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.everything {
            self.memory.forget();
        }
        if self.keys {
            self.memory.0.keys_era.fetch_add(1, Ordering::AcqRel);
        }
        if self.destinations {
            self.memory.0.destinations.forget();
        }
        for (account, extent) in &self.accounts {
            account.forget(*extent);
            for count in account.kept().counts(*extent) {
                count.flights -= 1;
            }
            match self.memory.0.accounts.get(&account.id) {
                Some(same) if Arc::ptr_eq(&same, account) => {}
                // Everything was forgotten meanwhile, or there was no room, and this account began anew.
                Some(other) => other.forget(*extent),
                None => self.memory.see_off(),
            }
        }
        if let Horizon::File(file) = &self.memory.0.horizon {
            let now = file.db.stamp();
            let mut seen = file.seen_mut();
            seen.flights -= 1;
            // Anything else than one commit more than there was: another process's is among them.
            if let (Some(began), Some(now)) = (self.began, now)
                && seen.stamp == Some(began)
                && now.follows(&began)
            {
                seen.stamp = Some(now);
            }
        }
    }
}
