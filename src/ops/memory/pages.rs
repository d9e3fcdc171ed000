//! Pages of one account.
//!
//! When one may be used, and what is remembered instead of it, is not known here.
//!
//! Invariant: each page is here once at most, and no more than [`MOST`] pages are.

use super::{Page, kept::Age};
use crate::rendered::Rendered;
use std::{collections::HashMap, sync::Arc};

/// Pages of one account. One that asks for more loses those it had.
const MOST: usize = 256;

/// The pages.
#[derive(Default)]
pub(super) struct Pages {
    /// The one that came first. Nearly every account asks for one page only, which is found here without a look into another
    /// part of memory: with a million accounts that is a part of what a request costs.
    first: Option<(Page, KeptPage)>,
    others: HashMap<Page, KeptPage>,
}

pub(super) struct KeptPage {
    pub(super) rendered: Arc<Rendered>,
    pub(super) age: Age,
}

impl Pages {
    pub(super) fn get(&self, page: Page) -> Option<&KeptPage> {
        match &self.first {
            Some((first, kept)) if *first == page => Some(kept),
            _ if self.others.is_empty() => None,
            _ => self.others.get(&page),
        }
    }

    /// Takes it in, perhaps for one that was here, perhaps for all.
    pub(super) fn insert(&mut self, page: Page, kept: KeptPage) {
        if self.len() >= MOST && self.get(page).is_none() {
            self.forget();
        }
        match &mut self.first {
            Some((first, old)) if *first == page => *old = kept,
            Some(_) => {
                self.others.insert(page, kept);
            }
            None => self.first = Some((page, kept)),
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Pages::default();
    }

    /// Bytes that they take, on the safe side.
    pub(super) fn bytes(&self) -> usize {
        let first = self.first.iter().map(|(_, kept)| kept);
        let all = first.chain(self.others.values());
        all.map(|kept| kept.rendered.bytes()).sum()
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inboxes::Filter;

    fn page(offset: i64) -> Page {
        Page {
            filter: Filter::default(),
            limit: 50,
            offset,
        }
    }

    fn kept(text: &'static str) -> KeptPage {
        KeptPage {
            rendered: Arc::new(Rendered::new(text.as_bytes().into(), None)),
            age: Age { asked: 0, by: 0 },
        }
    }

    #[test]
    fn the_latest_of_each_page_is_found() {
        let mut pages = Pages::default();
        for text in ["old", "new"] {
            for offset in 0..3 {
                pages.insert(page(offset), kept(text));
            }
        }
        assert_eq!(pages.len(), 3);
        for offset in 0..3 {
            let found = pages.get(page(offset)).expect("it was kept");
            let body = found.rendered.body(crate::rendered::Form::Plain);
            assert_eq!(body.bytes, "new");
        }
        assert!(pages.get(page(3)).is_none());
    }

    #[test]
    fn too_many_make_room() {
        let mut pages = Pages::default();
        for offset in 0..=MOST as i64 {
            pages.insert(page(offset), kept("a"));
        }
        assert_eq!(pages.len(), 1);
        assert_eq!(pages.bytes(), kept("a").rendered.bytes());
        assert!(pages.get(page(MOST as i64)).is_some());
    }
}
