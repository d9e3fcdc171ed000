//! A long list, whole: every page of it, under every filter, is a piece of these bytes.
//!
//! When it is worth reading all of a list, and how long that holds, is not decided here.
//!
//! Invariant: all rows are of one snapshot, in the order of the list, and a cut is what the store would have given then.

use super::{Page, kept::Age};
use crate::{domain::Inbox, store::inboxes::Filter};
use std::{collections::HashMap, ops::Range};

/// The rows of a page as JSON objects with commas between them, and how many there are of them in all.
#[derive(Debug)]
pub struct Rows {
    /// The objects.
    pub json: Vec<u8>,
    /// How many match.
    pub total: i64,
    pub(super) origin: Origin,
}

/// Where rows come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// The store, just now.
    Store,
    /// The store, just now, and they are what the whole list has: who is shown them, learns nothing newer.
    Same,
    /// The whole list, which is so old.
    Whole(Age),
}

impl Rows {
    /// These, as they were read from the store.
    pub fn read(inboxes: &[Inbox], total: i64) -> serde_json::Result<Self> {
        let mut json = Vec::with_capacity(inboxes.len() * ROW);
        for inbox in inboxes {
            if !json.is_empty() {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, inbox)?;
        }
        let origin = Origin::Store;
        Ok(Rows {
            json,
            total,
            origin,
        })
    }
}

/// Bytes that a row takes, more or less.
const ROW: usize = 192;

/// All of an account's list.
#[derive(Debug, Default)]
pub struct Whole {
    /// Each row followed by a comma.
    json: Vec<u8>,
    /// Where each of them ends, behind its comma.
    ends: Vec<usize>,
    /// Which of them match, under each filter that leaves any out.
    matching: HashMap<Filter, Vec<u32>>,
}

impl Whole {
    /// Bytes that a list of so many will take at least.
    pub fn least(rows: i64) -> u64 {
        const LEAST: u64 = 128;
        u64::try_from(rows).unwrap_or(0).saturating_mul(LEAST)
    }

    /// The next row.
    pub fn add(&mut self, inbox: &Inbox) -> serde_json::Result<()> {
        let number = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        serde_json::to_writer(&mut self.json, inbox)?;
        self.json.push(b',');
        self.ends.push(self.json.len());
        for filter in Filter::all_of(inbox.channel, inbox.status) {
            if filter != Filter::default() {
                self.matching.entry(filter).or_default().push(number);
            }
        }
        Ok(())
    }

    /// Gives back what was reserved for more rows.
    pub fn finish(mut self) -> Self {
        self.json.shrink_to_fit();
        self.ends.shrink_to_fit();
        for matching in self.matching.values_mut() {
            matching.shrink_to_fit();
        }
        self
    }

    /// Bytes of memory that it takes, once it is finished.
    pub fn bytes(&self) -> usize {
        let matching: usize = self.matching.values().map(Vec::len).sum();
        self.json.len() + self.ends.len() * size_of::<usize>() + matching * size_of::<u32>()
    }

    /// A page.
    pub(super) fn cut(&self, page: Page, origin: Origin) -> Rows {
        let (mut json, total) = if page.filter == Filter::default() {
            let places = places(page, self.ends.len());
            let bytes = self.start(places.start)..self.start(places.end);
            (self.json[bytes].to_vec(), self.ends.len())
        } else {
            let matching = self
                .matching
                .get(&page.filter)
                .map_or(&[][..], Vec::as_slice);
            let numbers = &matching[places(page, matching.len())];
            let mut json = Vec::with_capacity(numbers.len() * ROW);
            for number in numbers {
                let number = *number as usize;
                json.extend_from_slice(&self.json[self.start(number)..self.start(number + 1)]);
            }
            (json, matching.len())
        };
        // The last comma.
        json.pop();
        Rows {
            json,
            total: total as i64,
            origin,
        }
    }

    /// Where row `number` starts, and the one before it ends.
    fn start(&self, number: usize) -> usize {
        match number {
            0 => 0,
            number => self.ends[number - 1],
        }
    }
}

/// Which of `all` rows are on a page.
fn places(page: Page, all: usize) -> Range<usize> {
    let [offset, limit] = [page.offset, page.limit].map(|n| usize::try_from(n).unwrap_or(0));
    let first = offset.min(all);
    first..first.saturating_add(limit).min(all)
}
