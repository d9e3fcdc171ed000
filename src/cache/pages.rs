//! Cached pages of the list of inboxes.
//!
//! Invariant: a page that is used is no older than anything that was read from the store for its account and shown
//! before. On SQLite the stamp is enough for that. On PostgreSQL a read of the store may see a change whose
//! notification has not arrived yet. [`News`] records such reads.

use super::{
    account::{AccountState, Extent, News},
    entries::{Entries, FillToken},
    freshness::FreshnessSource,
};
use crate::{rendered::Rendered, store::inboxes::Page};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Bytes that a page takes without its text: itself, what the maps keep of it, and the state of its account.
const PAGE: usize = 384;
/// The part of the room that pages of one account may take: a client that walks along 100,000 inboxes must not push
/// everybody else's pages out.
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
    /// The number of the news that this read was, if nothing else was read at the same time.
    news: Option<u64>,
}

/// A page that is being read from the store.
pub struct PageFill {
    account: Arc<AccountState>,
    page: Page,
    token: FillToken,
    /// True if the page may be cached.
    fresh: bool,
    asked: u64,
    news: News,
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
        let news = account.news_if_unchanged(entry.read.generation)?;
        let page = entry.value;
        let not_older = page.news == Some(news.number)
            || page.asked > news.at
            || source.has_heard_all_up_to(news.at);
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
        let (generation, news) = account.now();
        PageFill {
            account,
            page,
            token: FillToken { era, generation },
            fresh,
            asked: source.now(),
            news,
        }
    }

    pub(super) fn fill(&self, source: &FreshnessSource, fill: PageFill, rendered: &Arc<Rendered>) {
        let PageFill {
            account,
            page,
            token,
            fresh,
            asked,
            news,
        } = fill;
        let key = (account.serial, page);
        let era = source.era();
        // A read that returns the same as the cached page shows nothing new, so it does not count as news. Otherwise
        // clients that constantly request several pages would keep each other from using the cache.
        let cached = self.entries.get(&key, era);
        let same = cached.filter(|cached| cached.value.rendered.is_same(rendered));
        let news = match same {
            Some(same) => same.value.news,
            None => {
                let number = account.note_news(source.now());
                (number == news.number + 1).then_some(number)
            }
        };
        if fresh {
            let (bytes, room) = (bytes(rendered) as u64, self.entries.room() / PART);
            let leave = account.note_page(page, bytes, room);
            self.evict(&account, leave);
            let cached = CachedPage {
                rendered: rendered.clone(),
                asked,
                news,
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
    pub(super) fn looks(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.hits), count(&self.misses))
    }
}

fn bytes(rendered: &Rendered) -> usize {
    PAGE + rendered.bytes()
}
