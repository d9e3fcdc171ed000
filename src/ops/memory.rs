//! Keys and pages that are kept in memory, and when they may be used.
//!
//! What a page looks like, and what else is cached by whom, is not known here.
//!
//! Invariant: what is recalled was true of the store when the [`Sight`] that it was recalled by was taken. On SQLite
//! that holds to the commit, for any process's commits. On PostgreSQL it holds to the commit for this process's own,
//! and to [`LEASE`] for others'.

use super::{
    changes::{Changes, Extent},
    keys::Known,
};
use crate::{
    id::AccountId,
    rendered::Rendered,
    store::inboxes::{Filter, Marks},
};
use db::{Database, EngineKind, Stamp};
use moka::{notification::RemovalCause, ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long after PostgreSQL was last known to have told everything its silence is trusted. Shorter than the second
/// after which every node must know what any node acknowledged, by what a request may take.
pub const LEASE: Duration = Duration::from_millis(900);
/// Pages of one account. One that asks for more loses those it had.
const PAGES: usize = 256;
/// Bytes that a key, and an account without pages, take with all that surrounds them, on the safe side.
const KEY: usize = 384;
const ACCOUNT: usize = 512;
/// Parts of the map of keys, each with a lock of its own.
const SHARDS: usize = 16;
/// How exact it is who was here last: telling the cache at each request would cost more than the rest of the look.
const TOUCH: Duration = Duration::from_secs(1);

/// SHA-256 of an API key.
pub type KeyHash = [u8; 32];

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
    /// Whether there is room for anything.
    on: bool,
    start: Instant,
    /// All accounts of which something is kept. Whose leaves takes its keys along.
    accounts: Cache<AccountId, Arc<Account>>,
    keys: Arc<Keys>,
    /// Counts what made all keys that were known before uncertain.
    keys_era: AtomicU64,
    /// Counts what made everything that was kept before uncertain.
    era: Arc<AtomicU64>,
    horizon: Horizon,
}

/// Keys by their hashes.
struct Keys([RwLock<HashMap<KeyHash, Entry>>; SHARDS]);

#[derive(Clone)]
struct Entry {
    known: Arc<Known>,
    account: Arc<Account>,
}

/// What tells that nothing has changed unseen.
enum Horizon {
    File(File),
    Lease(Lease),
}

/// The embedded database says itself how far it has come.
struct File {
    db: Database,
    seen: RwLock<Seen>,
}

struct Seen {
    /// All that was committed up to here is accounted for.
    stamp: Option<Stamp>,
    /// Commits of this process that are under way: the stamp may move, and nobody knows yet by whose doing.
    flights: usize,
}

/// PostgreSQL says what was committed by anybody, but takes a moment.
struct Lease {
    start: Instant,
    /// Milliseconds after the start until which it holds.
    until: AtomicU64,
}

/// What is kept of one account.
pub struct Account {
    id: AccountId,
    /// The era in which it was made.
    era: u64,
    /// When the cache was last told that it is in use, in milliseconds after the memory's start.
    touched: AtomicU64,
    bytes: AtomicUsize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Counts this account's changes, and commits under way that change it.
    any: Count,
    /// The same of those that change more than counts.
    inboxes: Count,
    /// Whether it has made room for others: nobody tells it of changes any more.
    gone: bool,
    pages: HashMap<Page, Arc<Rendered>>,
    /// Where the pages of its long lists begin.
    marks: HashMap<Filter, Arc<Marks>>,
    keys: Vec<KeyHash>,
}

#[derive(Default)]
struct Count {
    changes: u64,
    flights: usize,
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
    Page(Arc<Rendered>),
    /// Read it from the store, and keep it with the ticket, if there is one.
    Ask(Option<Ticket>),
}

/// The right to keep a page that is read from the store after the ticket was given.
pub struct Ticket {
    account: Arc<Account>,
    generation: u64,
    page: Page,
}

/// The right to keep where pages begin, as it was read after the ticket was given.
pub struct MarksTicket {
    account: Arc<Account>,
    changes: u64,
    filter: Filter,
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
            }),
        };
        let keys = Arc::new(Keys(Default::default()));
        let era = Arc::new(AtomicU64::new(0));
        let accounts = {
            let (keys, era) = (keys.clone(), era.clone());
            Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|_, account: &Arc<Account>| {
                    let bytes = ACCOUNT + account.bytes.load(Ordering::Relaxed);
                    u32::try_from(bytes).unwrap_or(u32::MAX)
                })
                .max_capacity(bytes)
                .eviction_listener(move |_, account: Arc<Account>, cause| {
                    let weighed_again = cause == RemovalCause::Replaced
                        && account.era == era.load(Ordering::Acquire);
                    if !weighed_again {
                        keys.leave(&account);
                    }
                })
                .build()
        };
        Memory(Arc::new(Inner {
            on: bytes > 0,
            start: Instant::now(),
            accounts,
            keys,
            keys_era: AtomicU64::new(0),
            era,
            horizon,
        }))
    }

    /// Looks whether memory may be used. Take one for each request, before anything is recalled or read for it.
    pub fn sight(&self) -> Sight {
        let clear = self.0.on
            && match &self.0.horizon {
                Horizon::File(file) => self.is_current(file),
                Horizon::Lease(lease) => lease.holds(),
            };
        if clear { Sight::Clear } else { Sight::Clouded }
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

    /// Everything that PostgreSQL was told before this moment has been passed on to this memory.
    pub fn alive(&self, at: Instant) {
        if let Horizon::Lease(lease) = &self.0.horizon {
            lease.extend(at + LEASE);
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
        for (id, extent) in changes.accounts() {
            if let Some(account) = self.0.accounts.get(id) {
                account.forget(extent);
            }
        }
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
            everything: changes.everything,
            accounts,
        }
    }

    /// What is known of the key with this hash, and of its account. It may have expired.
    pub fn key(&self, sight: Sight, hash: &KeyHash) -> Option<(Arc<Known>, Arc<Account>)> {
        if sight == Sight::Clouded {
            return None;
        }
        let Entry { known, account } = self.0.keys.shard(hash).get(hash)?.clone();
        (known.era == self.keys_era() && account.era == self.0.era.load(Ordering::Acquire))
            .then_some((known, account))
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
        id: &AccountId,
        known: &Arc<Known>,
    ) -> Option<Arc<Account>> {
        if sight == Sight::Clouded {
            return None;
        }
        let account = self.account(id);
        let mut kept = account.kept();
        if kept.gone {
            return None;
        }
        let entry = Entry {
            known: known.clone(),
            account: account.clone(),
        };
        self.0.keys.shard_mut(&hash).insert(hash, entry);
        if !kept.keys.contains(&hash) {
            kept.keys.push(hash);
            account.bytes.fetch_add(KEY, Ordering::Relaxed);
        }
        drop(kept);
        self.weigh(&account);
        Some(account)
    }

    /// Looks for a page of this account.
    pub fn page(&self, account: Option<&Arc<Account>>, page: Page) -> Recall {
        let Some(account) = account else {
            return Recall::Ask(None);
        };
        let kept = account.kept();
        if kept.any.flights > 0 {
            return Recall::Ask(None);
        }
        let Some(found) = kept.pages.get(&page) else {
            return Recall::Ask(Some(Ticket {
                generation: kept.any.changes,
                account: account.clone(),
                page,
            }));
        };
        let found = found.clone();
        drop(kept);
        self.touch(account);
        Recall::Page(found)
    }

    /// Keeps a page, unless its account has changed since the ticket was given.
    pub fn keep_page(&self, ticket: Ticket, rendered: Arc<Rendered>) {
        let Ticket {
            account,
            generation,
            page,
        } = ticket;
        let mut kept = account.kept();
        if kept.any.changes != generation || kept.gone {
            return;
        }
        if kept.pages.len() >= PAGES {
            account.drop_pages(&mut kept);
        }
        account.bytes.fetch_add(rendered.bytes(), Ordering::Relaxed);
        kept.pages.insert(page, rendered);
        drop(kept);
        self.weigh(&account);
    }

    /// Where the pages of this account's list begin, if that is known and nothing is changing it; and the ticket to
    /// keep it, or to see whether it was true throughout.
    pub fn marks(
        &self,
        account: &Arc<Account>,
        filter: Filter,
    ) -> (Option<Arc<Marks>>, MarksTicket) {
        let kept = account.kept();
        let still = kept.inboxes.flights == 0;
        let marks = kept.marks.get(&filter).filter(|_| still).cloned();
        let ticket = MarksTicket {
            account: account.clone(),
            changes: kept.inboxes.changes,
            filter,
        };
        (marks, ticket)
    }

    /// Whether no inbox of the account was changed since the ticket was given.
    pub fn still(&self, ticket: &MarksTicket) -> bool {
        let account = &ticket.account;
        let same_era =
            self.sight() == Sight::Clear && account.era == self.0.era.load(Ordering::Acquire);
        let kept = account.kept();
        same_era
            && !kept.gone
            && kept.inboxes.flights == 0
            && kept.inboxes.changes == ticket.changes
    }

    /// Keeps marks, unless inboxes of their account have changed since the ticket was given.
    pub fn keep_marks(&self, ticket: MarksTicket, marks: Marks) {
        let account = ticket.account;
        let mut kept = account.kept();
        if kept.inboxes.changes != ticket.changes || kept.gone {
            return;
        }
        account.bytes.fetch_add(marks.bytes(), Ordering::Relaxed);
        kept.marks.insert(ticket.filter, Arc::new(marks));
        drop(kept);
        self.weigh(&account);
    }

    /// Has the cache weigh an account again, unless it has left: nobody tells it of changes any more.
    fn weigh(&self, account: &Arc<Account>) {
        let entry = self.0.accounts.entry_by_ref(&account.id);
        entry.and_compute_with(|current| match current {
            Some(entry) if Arc::ptr_eq(entry.value(), account) => Op::Put(account.clone()),
            _ => Op::Nop,
        });
    }

    fn touch(&self, account: &Account) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = account.touched.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= TOUCH.as_millis() as u64 {
            account.touched.store(now, Ordering::Relaxed);
            self.0.accounts.get(&account.id);
        }
    }

    fn account(&self, id: &AccountId) -> Arc<Account> {
        let era = self.0.era.load(Ordering::Acquire);
        let new = || {
            Arc::new(Account {
                id: id.clone(),
                era,
                touched: AtomicU64::new(0),
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
        for (account, extent) in &self.accounts {
            account.forget(*extent);
            for count in account.kept().counts(*extent) {
                count.flights -= 1;
            }
            // Everything was forgotten meanwhile, or there was no room, and this account began anew.
            if let Some(other) = self.memory.0.accounts.get(&account.id)
                && !Arc::ptr_eq(&other, account)
            {
                other.forget(*extent);
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

impl Keys {
    fn lock(&self, hash: &KeyHash) -> &RwLock<HashMap<KeyHash, Entry>> {
        &self.0[usize::from(hash[0]) % SHARDS]
    }

    fn shard(&self, hash: &KeyHash) -> RwLockReadGuard<'_, HashMap<KeyHash, Entry>> {
        // A panic cannot leave a map half-changed here.
        self.lock(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_mut(&self, hash: &KeyHash) -> RwLockWriteGuard<'_, HashMap<KeyHash, Entry>> {
        self.lock(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An account makes room for others.
    fn leave(&self, account: &Arc<Account>) {
        let mut kept = account.kept();
        kept.gone = true;
        kept.marks = HashMap::new();
        account.drop_pages(&mut kept);
        for hash in std::mem::take(&mut kept.keys) {
            let mut shard = self.shard_mut(&hash);
            // It may have come back meanwhile, as another.
            if shard
                .get(&hash)
                .is_some_and(|entry| Arc::ptr_eq(&entry.account, account))
            {
                shard.remove(&hash);
            }
        }
    }
}

impl Kept {
    /// What counts changes of this extent.
    fn counts(&mut self, extent: Extent) -> impl Iterator<Item = &mut Count> {
        let inboxes = (extent == Extent::Inboxes).then_some(&mut self.inboxes);
        std::iter::once(&mut self.any).chain(inboxes)
    }
}

impl Account {
    fn forget(&self, extent: Extent) {
        let mut kept = self.kept();
        for count in kept.counts(extent) {
            count.changes += 1;
        }
        if extent == Extent::Inboxes {
            kept.marks = HashMap::new();
        }
        self.drop_pages(&mut kept);
    }

    fn drop_pages(&self, kept: &mut Kept) {
        kept.pages = HashMap::new();
        let marks: usize = kept.marks.values().map(|marks| marks.bytes()).sum();
        let bytes = KEY * kept.keys.len() + marks;
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic cannot leave it half-changed in a way that matters: no page is changed in place.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    fn seen(&self) -> RwLockReadGuard<'_, Seen> {
        // A panic cannot leave two numbers half-changed.
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen_mut(&self) -> RwLockWriteGuard<'_, Seen> {
        self.seen.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    fn extend(&self, until: Instant) {
        let millis = until.duration_since(self.start).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.until.store(millis, Ordering::Release);
    }

    fn holds(&self) -> bool {
        let now = self.start.elapsed().as_millis();
        now < u128::from(self.until.load(Ordering::Acquire))
    }
}
