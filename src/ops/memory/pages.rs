//! Pages of one account.
//!
//! When one may be used, and what is remembered instead of it, is not known here.
//!
//! Invariant: no more than [`MOST`] pages are here.

use super::{Page, few::Few, kept::Age};
use crate::rendered::Rendered;

/// Pages of one account. One that asks for more loses those it had.
const MOST: usize = 256;

/// The pages.
#[derive(Default)]
#[repr(C)]
pub(super) struct Pages {
    pages: Few<Page, KeptPage>,
    /// What they take: there can be many, and it is asked for at each that is new.
    bytes: usize,
}

pub(super) struct KeptPage {
    pub(super) rendered: Rendered,
    pub(super) age: Age,
}

impl Pages {
    pub(super) fn get(&self, page: Page) -> Option<&KeptPage> {
        self.pages.get(&page)
    }

    pub(super) fn get_mut(&mut self, page: Page) -> Option<&mut KeptPage> {
        self.pages.get_mut(&page)
    }

    /// Takes it in, perhaps for one that was here, perhaps for all.
    pub(super) fn insert(&mut self, page: Page, kept: KeptPage) {
        if self.pages.len() >= MOST && self.get(page).is_none() {
            self.forget();
        }
        self.bytes += kept.rendered.bytes();
        if let Some(old) = self.pages.insert(page, kept) {
            self.bytes -= old.rendered.bytes();
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Pages::default();
    }

    /// Bytes that they take, on the safe side.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inboxes::Filter;

    #[test]
    fn too_many_make_room() {
        let page = |offset| Page {
            filter: Filter::default(),
            limit: 50,
            offset,
        };
        let kept = || KeptPage {
            rendered: Rendered::new(&[b"a"], None),
            age: Age { asked: 0, by: 0 },
        };
        let mut pages = Pages::default();
        for offset in 0..=MOST as i64 {
            pages.insert(page(offset), kept());
        }
        assert_eq!(pages.pages.len(), 1);
        assert_eq!(pages.bytes(), kept().rendered.bytes());
        pages.insert(page(MOST as i64), kept());
        assert_eq!(pages.bytes(), kept().rendered.bytes(), "one for another");
        assert!(pages.get(page(MOST as i64)).is_some());
    }
}
