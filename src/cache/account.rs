//! What the cache knows about changes of each account: the generations that its entries are compared with.
//!
//! Invariant: an account has one state as long as anything refers to it (an entry, a fill, or a commit under way). So
//! every entry of an account sees every change of it.

use crate::{id::AccountId, store::inboxes::Page};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

/// What a change makes untrue of an account's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Pages only: the number of messages of an inbox has changed.
    Counts,
    /// All entries: a key or an inbox has changed.
    All,
}

/// The state of one account.
pub struct AccountState {
    /// A number that is unique in this process. It is a part of the pages' cache key.
    pub(super) serial: u64,
    state: Mutex<State>,
    /// Whether the last page of messages or conversations that was read took long.
    slow: AtomicBool,
    /// Held while such a page is read, so that they are read one after the other.
    turn: AsyncMutex<()>,
}

struct State {
    /// Changes of any extent.
    any: Changes,
    /// Changes of [`Extent::All`].
    all: Changes,
    last_read: UncachedRead,
    /// The pages that are cached, or were.
    pages: KnownPages,
    /// Whether the marks of a long list are being read now.
    marking: bool,
}

/// The cached pages of one account, oldest first.
#[derive(Default)]
struct KnownPages {
    all: HashSet<Page>,
    /// Each page with its size in bytes.
    order: VecDeque<(Page, u64)>,
    bytes: u64,
}

/// Changes of one extent.
struct Changes {
    /// The generation. It rises with each change.
    generation: u64,
    /// How many such changes are being committed now.
    under_way: usize,
}

/// The last read of the store that returned something that was not cached. On PostgreSQL it may have seen a change
/// whose notification has not arrived yet. Then cached pages may be older than what was shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct UncachedRead {
    pub(super) number: u64,
    /// When it was read, as returned by [`super::freshness::FreshnessSource::now`].
    pub(super) at: u64,
}

impl AccountState {
    /// Whether the account's last page took long, so that its next one may, too.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// Records whether a page took long.
    pub fn note_slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// Waits for the turn to read a page that takes long.
    pub async fn turn(&self) -> AsyncMutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state half-changed: the code below only assigns values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if nothing of this extent has changed since this generation, and no such change is being committed.
    pub(super) fn is_unchanged(&self, extent: Extent, since: u64) -> bool {
        self.state().is_unchanged(extent, since)
    }

    /// The current generation of the account's pages, and the last uncached read.
    pub(super) fn now(&self) -> (u64, UncachedRead) {
        let state = self.state();
        (state.any.generation, state.last_read)
    }

    /// The last uncached read, or `None` if the account's pages have changed since this generation.
    pub(super) fn last_read_if_unchanged(&self, since: u64) -> Option<UncachedRead> {
        let state = self.state();
        let unchanged = state.is_unchanged(Extent::Counts, since);
        unchanged.then_some(state.last_read)
    }

    /// Records that the store was read and returned something that was not cached. Returns the number of this read.
    pub(super) fn note_uncached_read(&self, at: u64) -> u64 {
        let read = &mut self.state().last_read;
        read.number += 1;
        read.at = read.at.max(at);
        read.number
    }

    /// Records a cached page with its size. Returns the pages that must be evicted, the oldest first, so that this account's
    /// pages take at most `room` bytes.
    pub(super) fn note_page(&self, page: Page, bytes: u64, room: u64) -> Vec<Page> {
        let known = &mut self.state().pages;
        let mut evicted = Vec::new();
        if !known.all.insert(page) {
            return evicted;
        }
        known.order.push_back((page, bytes));
        known.bytes += bytes;
        while known.bytes > room
            && let Some((first, bytes)) = known.order.pop_front()
        {
            known.bytes -= bytes;
            known.all.remove(&first);
            evicted.push(first);
        }
        evicted
    }

    /// Records that a change is about to be committed.
    fn begin_change(&self, extent: Extent) {
        for changes in self.state().of(extent) {
            changes.under_way += 1;
        }
    }

    /// Reserves the reading of the account's whole list. `None` if somebody is reading it already, or inboxes are being
    /// changed.
    pub(super) fn begin_marking(self: &Arc<Self>) -> Option<Marking> {
        let mut state = self.state();
        if state.marking || state.all.under_way > 0 {
            return None;
        }
        state.marking = true;
        Some(Marking(self.clone()))
    }
}

impl State {
    fn is_unchanged(&self, extent: Extent, since: u64) -> bool {
        let changes = match extent {
            Extent::Counts => &self.any,
            Extent::All => &self.all,
        };
        changes.under_way == 0 && changes.generation <= since
    }

    /// The counters that a change of this extent raises.
    fn of(&mut self, extent: Extent) -> impl Iterator<Item = &mut Changes> {
        let all = (extent == Extent::All).then_some(&mut self.all);
        std::iter::once(&mut self.any).chain(all)
    }
}

/// The reservation for reading an account's whole list. One reader at a time is enough.
pub(super) struct Marking(pub(super) Arc<AccountState>);

impl Drop for Marking {
    fn drop(&mut self) {
        self.0.state().marking = false;
    }
}

/// The states of all accounts that anything refers to.
pub(super) struct Accounts {
    states: Mutex<States>,
    /// The generation of the last change of [`Extent::All`] in any account. A reader that does not know yet which
    /// account it will read from uses this one.
    generation: AtomicU64,
}

struct States {
    by_id: HashMap<AccountId, Weak<AccountState>>,
    /// At this number of states, those that nothing refers to any more are removed.
    sweep_at: usize,
    serials: u64,
}

/// Below this number of states, removing unused ones is not worth the time.
const FEW: usize = 1024;

impl Accounts {
    pub(super) fn new() -> Self {
        Accounts {
            states: Mutex::new(States {
                by_id: HashMap::new(),
                sweep_at: FEW,
                serials: 0,
            }),
            generation: AtomicU64::new(0),
        }
    }

    fn states(&self) -> MutexGuard<'_, States> {
        // A panic cannot leave the map half-changed here.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation of the last change of a key or an inbox in any account.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The state of an account, created if it has none.
    pub(super) fn get(&self, id: &AccountId) -> Arc<AccountState> {
        let mut states = self.states();
        if let Some(state) = states.by_id.get(id).and_then(Weak::upgrade) {
            return state;
        }
        if states.by_id.len() >= states.sweep_at {
            states.by_id.retain(|_, state| state.strong_count() > 0);
            states.sweep_at = FEW.max(2 * states.by_id.len());
        }
        states.serials += 1;
        // Changes of the account are not recorded while nothing refers to it. So it is treated as if it had changed at
        // the last change of any account.
        let generation = self.generation();
        let changes = || Changes {
            generation,
            under_way: 0,
        };
        let state = Arc::new(AccountState {
            serial: states.serials,
            state: Mutex::new(State {
                any: changes(),
                all: changes(),
                last_read: UncachedRead::default(),
                pages: KnownPages::default(),
                marking: false,
            }),
            slow: AtomicBool::new(false),
            turn: AsyncMutex::new(()),
        });
        states.by_id.insert(id.clone(), Arc::downgrade(&state));
        state
    }

    /// Records that a change of this account is about to be committed.
    pub(super) fn begin_change(&self, id: &AccountId, extent: Extent) -> Arc<AccountState> {
        let state = self.get(id);
        state.begin_change(extent);
        state
    }

    /// Records that the attempt to commit is over. Returns the pages that must be evicted.
    pub(super) fn end_change(&self, account: &AccountState, extent: Extent) -> HashSet<Page> {
        let mut state = account.state();
        for changes in state.of(extent) {
            changes.under_way -= 1;
        }
        self.change(&mut state, extent)
    }

    /// Records a change of an account. Returns its state and the pages that must be evicted, or `None` if nothing
    /// refers to the account.
    pub(super) fn note_change(
        &self,
        id: &AccountId,
        extent: Extent,
    ) -> Option<(Arc<AccountState>, HashSet<Page>)> {
        let states = self.states();
        let Some(account) = states.by_id.get(id).and_then(Weak::upgrade) else {
            // Somebody may be reading one of its keys, and not know yet that it belongs to this account.
            if extent == Extent::All {
                self.next_generation();
            }
            return None;
        };
        drop(states);
        let pages = self.change(&mut account.state(), extent);
        Some((account, pages))
    }

    fn change(&self, state: &mut State, extent: Extent) -> HashSet<Page> {
        state.any.generation += 1;
        if extent == Extent::All {
            state.all.generation = self.next_generation();
        }
        mem::take(&mut state.pages).all
    }
}
