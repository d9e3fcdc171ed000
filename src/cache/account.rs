//! What the cache knows of each account's changes: the generations that its entries are compared with.
//!
//! Invariant: an account has one state as long as anything refers to it (an entry, a fill, a commit under way). So
//! nobody can change an account without every entry of it learning of that.

use crate::{id::AccountId, store::inboxes::Page};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a change makes untrue of an account's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// How many messages its inboxes hold: its pages.
    Counts,
    /// A key or an inbox: everything.
    All,
}

/// The state of one account.
pub struct AccountState {
    /// Unique in this process: pages are found by it.
    pub(super) serial: u64,
    state: Mutex<State>,
}

struct State {
    /// Changes of any extent.
    any: Changes,
    /// Those of [`Extent::All`].
    all: Changes,
    news: News,
    /// The pages that are cached, or were.
    pages: KnownPages,
    /// Whether somebody is reading all of a long list just now.
    marking: bool,
}

/// Pages of one account, in the order in which they came.
#[derive(Default)]
struct KnownPages {
    all: HashSet<Page>,
    /// Each with the bytes that it takes.
    order: VecDeque<(Page, u64)>,
    bytes: u64,
}

/// Changes of one extent.
struct Changes {
    /// The generation: it rises with each change.
    generation: u64,
    /// How many are being committed.
    under_way: usize,
}

/// The last read of the store that showed something that was not cached. On PostgreSQL it may have seen a change that is
/// not heard of yet; then other pages are older than what was shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct News {
    pub(super) number: u64,
    /// When it was read, as [`super::freshness::FreshnessSource::now`] tells.
    pub(super) at: u64,
}

impl AccountState {
    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave it half-changed: everything below is assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing of this extent has changed since this generation, and nothing is being changed.
    pub(super) fn is_unchanged(&self, extent: Extent, since: u64) -> bool {
        self.state().is_unchanged(extent, since)
    }

    /// The generation of its pages, and the last news.
    pub(super) fn now(&self) -> (u64, News) {
        let state = self.state();
        (state.any.generation, state.news)
    }

    /// The last news, if its pages have not changed since this generation.
    pub(super) fn news_if_unchanged(&self, since: u64) -> Option<News> {
        let state = self.state();
        let unchanged = state.is_unchanged(Extent::Counts, since);
        unchanged.then_some(state.news)
    }

    /// The store was read, and showed something that was not cached. Returns the number of that news.
    pub(super) fn note_news(&self, at: u64) -> u64 {
        let news = &mut self.state().news;
        news.number += 1;
        news.at = news.at.max(at);
        news.number
    }

    /// Notes that a page is cached, which takes so many bytes. Returns the pages that have to leave so that those of this account
    /// take no more than `room`: the ones that came first.
    pub(super) fn note_page(&self, page: Page, bytes: u64, room: u64) -> Vec<Page> {
        let known = &mut self.state().pages;
        let mut leave = Vec::new();
        if !known.all.insert(page) {
            return leave;
        }
        known.order.push_back((page, bytes));
        known.bytes += bytes;
        while known.bytes > room
            && let Some((first, bytes)) = known.order.pop_front()
        {
            known.bytes -= bytes;
            known.all.remove(&first);
            leave.push(first);
        }
        leave
    }

    /// A change is about to be committed.
    fn begin_change(&self, extent: Extent) {
        for changes in self.state().of(extent) {
            changes.under_way += 1;
        }
    }

    /// For one that reads all of the account's list. `None` if somebody does, or inboxes are being changed.
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

    /// What a change of this extent counts in.
    fn of(&mut self, extent: Extent) -> impl Iterator<Item = &mut Changes> {
        let all = (extent == Extent::All).then_some(&mut self.all);
        std::iter::once(&mut self.any).chain(all)
    }
}

/// The right to read all of an account's list: one at a time is enough.
pub(super) struct Marking(pub(super) Arc<AccountState>);

impl Drop for Marking {
    fn drop(&mut self) {
        self.0.state().marking = false;
    }
}

/// The states of all accounts that anything refers to.
pub(super) struct Accounts {
    states: Mutex<States>,
    /// The generation of the last change of [`Extent::All`] of any account. Whoever does not know yet which account it will
    /// read of, takes it beforehand.
    generation: AtomicU64,
}

struct States {
    by_id: HashMap<AccountId, Weak<AccountState>>,
    /// When there are so many, those that nothing refers to any more are removed.
    sweep_at: usize,
    serials: u64,
}

/// Fewer are not worth sweeping.
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
        // A panic cannot leave a map half-changed here.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation of the last change of a key or an inbox of any account.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The state of this account.
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
        // What happened to it while nothing referred to it, is not known: as if it had changed at the last change of all.
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
                news: News::default(),
                pages: KnownPages::default(),
                marking: false,
            }),
        });
        states.by_id.insert(id.clone(), Arc::downgrade(&state));
        state
    }

    /// A change of this account is about to be committed.
    pub(super) fn begin_change(&self, id: &AccountId, extent: Extent) -> Arc<AccountState> {
        let state = self.get(id);
        state.begin_change(extent);
        state
    }

    /// That attempt is over. Returns the pages that are cached no longer.
    pub(super) fn end_change(&self, account: &AccountState, extent: Extent) -> HashSet<Page> {
        let mut state = account.state();
        for changes in state.of(extent) {
            changes.under_way -= 1;
        }
        self.change(&mut state, extent)
    }

    /// An account has changed. Returns its state, and the pages that are cached no longer, if anything refers to it.
    pub(super) fn note_change(
        &self,
        id: &AccountId,
        extent: Extent,
    ) -> Option<(Arc<AccountState>, HashSet<Page>)> {
        let states = self.states();
        let Some(account) = states.by_id.get(id).and_then(Weak::upgrade) else {
            // Somebody may be reading one of its keys without knowing yet whose it is.
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
