//! The queue of updates: each inbox has a queue of its own, and the inboxes take turns.
//!
//! `ingest` stores the updates.
//!
//! Invariant: the updates of one inbox are taken in their order. While some are being stored, no others of the same inbox
//! are taken.

use crate::id::InboxId;
use std::collections::{HashMap, HashSet, VecDeque};

/// The queue. `None` stands for updates without an inbox.
pub(super) struct Queue<T> {
    /// The waiting updates with their weights.
    waiting: HashMap<Option<InboxId>, VecDeque<(usize, T)>>,
    /// The inboxes with waiting updates that are not busy, in the order of their turns.
    turn: VecDeque<Option<InboxId>>,
    /// The inboxes with updates that are being stored.
    busy: HashSet<Option<InboxId>>,
}

/// Updates that are stored together.
pub(super) struct Batch<T> {
    /// The updates in order.
    pub(super) taken: Vec<T>,
    /// The sum of their weights.
    pub(super) weight: usize,
    /// Their inboxes, which are busy until [`Queue::release`].
    pub(super) inboxes: Vec<Option<InboxId>>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Queue {
            waiting: HashMap::new(),
            turn: VecDeque::new(),
            busy: HashSet::new(),
        }
    }

    /// Adds an update of this weight at the end of its inbox's queue.
    pub(super) fn push(&mut self, inbox: Option<InboxId>, weight: usize, one: T) {
        let waiting = self.waiting.entry(inbox.clone()).or_default();
        if waiting.is_empty() && !self.busy.contains(&inbox) {
            self.turn.push_back(inbox);
        }
        waiting.push_back((weight, one));
    }

    /// Takes at most `most` updates that weigh at most `heaviest`, one of each inbox in turn. A heavier one is taken alone.
    /// `None` if there are none of inboxes that are not busy.
    pub(super) fn take(&mut self, most: usize, heaviest: usize) -> Option<Batch<T>> {
        let mut taken = Vec::new();
        let mut weight = 0;
        let mut inboxes = HashSet::new();
        while taken.len() < most
            && let Some(inbox) = self.turn.pop_front()
        {
            let waiting = self.waiting.entry(inbox.clone()).or_default();
            let next = waiting.front().map_or(0, |(weight, _)| *weight);
            if !taken.is_empty() && weight + next > heaviest {
                self.turn.push_front(inbox);
                break;
            }
            weight += next;
            taken.extend(waiting.pop_front().map(|(_, one)| one));
            if !waiting.is_empty() {
                self.turn.push_back(inbox.clone());
            }
            inboxes.insert(inbox);
        }
        self.turn.retain(|inbox| !inboxes.contains(inbox));
        self.busy.extend(inboxes.iter().cloned());
        let inboxes = inboxes.into_iter().collect();
        (!taken.is_empty()).then_some(Batch {
            taken,
            weight,
            inboxes,
        })
    }

    /// Marks these inboxes as no longer busy.
    pub(super) fn release(&mut self, inboxes: Vec<Option<InboxId>>) {
        for inbox in inboxes {
            self.busy.remove(&inbox);
            if self
                .waiting
                .get(&inbox)
                .is_some_and(|waiting| !waiting.is_empty())
            {
                self.turn.push_back(inbox);
            } else {
                // An inbox without waiting updates takes no memory.
                self.waiting.remove(&inbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(name: &str) -> Option<InboxId> {
        Some(InboxId::from_text(name))
    }

    fn queue(of: &[(&str, u32)]) -> Queue<u32> {
        let mut queue = Queue::new();
        for (name, one) in of {
            queue.push(inbox(name), 1, *one);
        }
        queue
    }

    #[test]
    fn inboxes_take_turns_and_each_keeps_its_order() {
        let mut queue = queue(&[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)]);
        let batch = queue.take(5, 99).expect("some wait");
        assert_eq!(batch.taken, [1, 4, 5, 2, 6]);
        assert!(queue.take(5, 99).is_none(), "a is busy");
        queue.release(batch.inboxes);
        assert_eq!(queue.take(5, 99).expect("one is left").taken, [3]);
    }

    #[test]
    fn a_heavy_update_is_taken_alone() {
        let mut queue = Queue::new();
        for (name, weight, one) in [("a", 1, 1), ("b", 9, 2), ("c", 1, 3), ("d", 4, 4)] {
            queue.push(inbox(name), weight, one);
        }
        let mut taken = Vec::new();
        while let Some(batch) = queue.take(9, 5) {
            taken.push((batch.taken, batch.weight));
        }
        assert_eq!(taken, [(vec![1], 1), (vec![2], 9), (vec![3, 4], 5)]);
    }

    #[test]
    fn a_busy_inbox_does_not_hold_up_another() {
        let mut queue = queue(&[("a", 1), ("a", 2)]);
        let first = queue.take(1, 99).expect("some wait");
        queue.push(inbox("a"), 1, 3);
        queue.push(inbox("b"), 1, 4);
        let second = queue.take(9, 99).expect("b may leave");
        assert_eq!(second.taken, [4]);
        queue.release(first.inboxes);
        assert_eq!(queue.take(9, 99).expect("a may, too").taken, [2, 3]);
    }

    #[test]
    fn nothing_stays_of_who_is_gone() {
        let mut queue = queue(&[("a", 1), ("b", 2)]);
        let batch = queue.take(9, 99).expect("some wait");
        queue.release(batch.inboxes);
        assert!(queue.waiting.is_empty() && queue.turn.is_empty() && queue.busy.is_empty());
    }
}
