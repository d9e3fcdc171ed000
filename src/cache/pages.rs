//! Cached pages of the list of inboxes.
//!
//! Invariant: a page that is used is no older than anything that was read from the store for its account and shown
//! before. On SQLite the stamp is enough for that. On PostgreSQL a read of the store may see a change whose
//! notification has not arrived yet. [`UncachedRead`] records such reads.

use super::{
    account::{AccountState, Extent, UncachedRead},
    entries::{Entries, FillToken},
    freshness::FreshnessSource,
};
use crate::{rendered::Rendered, store::inboxes::Page};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The size of a page in bytes without its text, with the overhead of the maps and its account's state.
const PAGE: usize = 384;
/// The pages of one account may take this fraction of the room: a half. Otherwise a client that reads 100,000 inboxes page
/// by page would evict the pages of all others.
const PART: u64 = 2;

pub(super) struct Pages {
    /// By the serial number of the account's state, and the page.
    entries: Entries<(u64, Page), CachedPage>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct CachedPage {
    rendered: Arc<Rendered>,
    /// When the read of this page began, as returned by [`FreshnessSource::now`].
    asked: u64,
    /// The number of this read, if nothing else was read at the same time.
    read: Option<u64>,
}

/// A page that is being read from the store.
pub struct PageFill {
    account: Arc<AccountState>,
    page: Page,
    token: FillToken,
    /// True if the page may be cached.
    fresh: bool,
    asked: u64,
    last_read: UncachedRead,
}

impl Pages {
    pub(super) fn new(room: u64) -> Self {
        let weigh = |_: &_, page: &CachedPage| bytes(&page.rendered);
        Pages {
            entries: Entries::new(room, Extent::Counts, weigh),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(super) fn get(
        &self,
        source: &FreshnessSource,
        account: &AccountState,
        page: Page,
    ) -> Option<Arc<Rendered>> {
        let key = (account.serial, page);
        let entry = self.entries.get_unchecked(&key, source.era())?;
        let last = account.last_read_if_unchanged(entry.read.generation)?;
        let page = entry.value;
        let not_older = page.read == Some(last.number)
            || page.asked > last.at
            || source.has_received_all_up_to(last.at);
        if !not_older {
            return None;
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(page.rendered)
    }

    pub(super) fn begin(
        &self,
        source: &FreshnessSource,
        account: Arc<AccountState>,
        page: Page,
        fresh: bool,
    ) -> PageFill {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let era = source.era();
        let (generation, last_read) = account.now();
        PageFill {
            account,
            page,
            token: FillToken { era, generation },
            fresh,
            asked: source.now(),
            last_read,
        }
    }

    pub(super) fn fill(&self, source: &FreshnessSource, fill: PageFill, rendered: &Arc<Rendered>) {
        let PageFill {
            account,
            page,
            token,
            fresh,
            asked,
            last_read,
        } = fill;
        let key = (account.serial, page);
        let era = source.era();
        // A read that returns the same as the cached page shows nothing new, so it is not recorded. Otherwise
        // clients that constantly request several pages would keep each other from using the cache.
        let cached = self.entries.get(&key, era);
        let same = cached.filter(|cached| cached.value.rendered.is_same(rendered));
        let read = match same {
            Some(same) => same.value.read,
            None => {
                let number = account.note_uncached_read(source.now());
                (number == last_read.number + 1).then_some(number)
            }
        };
        if fresh {
            let (bytes, room) = (bytes(rendered) as u64, self.entries.room() / PART);
            let evicted = account.note_page(page, bytes, room);
            self.evict(&account, evicted);
            let cached = CachedPage {
                rendered: rendered.clone(),
                asked,
                read,
            };
            self.entries.fill(key, cached, account, token, era);
        }
    }

    pub(super) fn evict(&self, account: &AccountState, pages: impl IntoIterator<Item = Page>) {
        for page in pages {
            self.entries.evict(&(account.serial, page));
        }
    }

    /// The number of pages, and their size in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.entries.size()
    }

    /// The number of hits and misses.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.hits), count(&self.misses))
    }
}

fn bytes(rendered: &Rendered) -> usize {
    PAGE + rendered.bytes()
}
