//! What is kept of lists that are too long to keep their pages: where pages begin (marks), and the whole list.
//!
//! Marks hold until an inbox is made, changed or deleted. The whole list holds no longer than any page, and is worth
//! reading only where nothing changes for a while: once as many rows were read one page at a time as it has.
//!
//! Invariant: the whole list is recalled under the same rules as a page.

use super::{
    Account, Memory, Page,
    kept::{Age, Count, Kept},
    whole::{Origin, Rows, Whole},
};
use crate::store::inboxes::Marks;
use std::sync::Arc;

/// From how many inboxes on a walk to a page, and counting all, costs more than the page.
const LONG: i64 = 200;
/// The part of the memory that one list may take.
const PART: u64 = 2;

/// What is kept of one account's list.
#[derive(Default)]
pub(super) struct Long {
    marks: Option<Arc<Marks>>,
    whole: Option<(Arc<Whole>, Age)>,
    /// Rows of pages that were read from the store since anything changed.
    read: i64,
    /// Whether somebody is walking along all of it just now: one is enough.
    walked: bool,
}

impl Long {
    pub(super) fn bytes(&self) -> usize {
        let marks = self.marks.as_ref().map_or(0, |marks| marks.bytes());
        marks + self.whole.as_ref().map_or(0, |(whole, _)| whole.bytes())
    }

    /// Something changed.
    pub(super) fn forget_whole(&mut self) {
        self.whole = None;
        self.read = 0;
    }

    /// More than counts changed.
    pub(super) fn forget(&mut self) {
        self.forget_whole();
        self.marks = None;
    }
}

/// What was known of a list before the store is read for a page of it.
pub struct Look {
    account: Arc<Account>,
    since: Since,
    /// Where pages begin, if that is known and nothing is changing it.
    pub marks: Option<Arc<Marks>>,
}

/// How often the account had changed, and how often the store had been read for it.
#[derive(Clone, Copy)]
struct Since {
    any: u64,
    inboxes: u64,
    reads: u64,
    asked: u64,
}

/// The right to walk along all of a list, and to keep what was found.
pub struct Walk {
    account: Arc<Account>,
    since: Since,
    /// What is wanted.
    pub find: Find,
}

/// What a [`Walk`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// Where pages begin.
    Marks,
    /// Everything, if it takes no more bytes than these.
    Whole(usize),
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.account.kept().long.walked = false;
    }
}

impl Memory {
    /// The whole list, if it is kept and may be shown.
    pub(super) fn whole(&self, kept: &Kept) -> Option<(Arc<Whole>, Age)> {
        let (whole, age) = kept.long.whole.as_ref()?;
        self.latest(kept)(*age).then(|| (whole.clone(), *age))
    }

    /// To be asked before the store is read for a page of this account's list.
    pub fn look(&self, account: &Arc<Account>) -> Look {
        let asked = self.moment();
        let kept = account.kept();
        let still = kept.inboxes.flights == 0;
        Look {
            account: account.clone(),
            since: Since::now(&kept, asked),
            marks: kept.long.marks.clone().filter(|_| still),
        }
    }

    /// Whether no inbox of the account was changed since the look was taken.
    pub fn still(&self, look: &Look) -> bool {
        let same_era = self.is_of_this_era(&look.account);
        let kept = look.account.kept();
        same_era && !kept.gone && unchanged(&kept.inboxes, look.since.inboxes)
    }

    /// Takes in the rows of a page that was read from the store after the look. They may turn out to be what the whole list has.
    pub fn compare(&self, look: &Look, page: Page, rows: Rows) -> Rows {
        let kept = look.account.kept();
        if kept.gone || kept.any.changes != look.since.any {
            return rows;
        }
        let Some((whole, _)) = kept.long.whole.clone() else {
            return rows;
        };
        drop(kept);
        let same = whole.cut(page, Origin::Same);
        if same.total == rows.total && same.json == rows.json {
            same
        } else {
            rows
        }
    }

    /// After a page of `rows` was read from the store, out of `total` under its filter: whether it is time to walk along
    /// the whole list, and for what.
    pub fn walk(&self, look: &Look, rows: usize, total: i64) -> Option<Walk> {
        let asked = self.moment();
        let mut kept = look.account.kept();
        let all = match &kept.long.marks {
            Some(marks) => marks.total(Default::default()),
            None => total,
        };
        kept.long.read = kept.long.read.saturating_add(rows as i64);
        let busy = kept.gone || kept.long.walked || kept.inboxes.flights > 0;
        if all <= LONG || busy {
            return None;
        }
        let room = self.0.room / PART;
        let find = if kept.long.marks.is_none() {
            Find::Marks
        } else if kept.long.read >= all
            && kept.any.flights == 0
            && kept.long.whole.is_none()
            && Whole::least(all) <= room
        {
            // If it comes to nothing, the next one has to be worth it again.
            kept.long.read = 0;
            Find::Whole(usize::try_from(room).unwrap_or(usize::MAX))
        } else {
            return None;
        };
        kept.long.walked = true;
        Some(Walk {
            account: look.account.clone(),
            since: Since::now(&kept, asked),
            find,
        })
    }

    /// Keeps marks, unless inboxes of their account have changed since the walk began.
    pub fn keep_marks(&self, walk: &Walk, marks: Marks) {
        let mut kept = walk.account.kept();
        if kept.gone || !unchanged(&kept.inboxes, walk.since.inboxes) {
            return;
        }
        kept.long.marks = Some(Arc::new(marks));
        walk.account.count_bytes(&kept);
        drop(kept);
        self.weigh(&walk.account);
    }

    /// Keeps the whole list, unless its account has changed since the walk began.
    pub fn keep_whole(&self, walk: &Walk, whole: Whole) {
        self.has_read(Some(&walk.account));
        let mut kept = walk.account.kept();
        if kept.gone || !unchanged(&kept.any, walk.since.any) {
            return;
        }
        let age = kept.age(walk.since.asked, walk.since.reads);
        kept.long.whole = Some((Arc::new(whole), age));
        walk.account.count_bytes(&kept);
        drop(kept);
        self.weigh(&walk.account);
    }
}

impl Since {
    fn now(kept: &Kept, asked: u64) -> Self {
        Since {
            any: kept.any.changes,
            inboxes: kept.inboxes.changes,
            reads: kept.reads,
            asked,
        }
    }
}

fn unchanged(count: &Count, since: u64) -> bool {
    count.flights == 0 && count.changes == since
}
