//! The line in which updates wait: each inbox has its own, and they take turns.
//!
//! What becomes of those whose turn it is, is not known here.
//!
//! Invariant: what leaves together has to come back before anything else of the same inboxes leaves, so that of one inbox
//! everything leaves in the order in which it came.

use crate::id::InboxId;
use std::collections::{HashMap, HashSet, VecDeque};

/// The line. `None` is for what is for no inbox.
pub(super) struct Line<T> {
    waiting: HashMap<Option<InboxId>, VecDeque<T>>,
    /// Inboxes for which something waits, and nothing is away.
    turn: VecDeque<Option<InboxId>>,
    /// Inboxes of which something has left and not come back.
    away: HashSet<Option<InboxId>>,
}

/// What leaves together.
pub(super) struct Batch<T> {
    /// In turn.
    pub(super) taken: Vec<T>,
    /// To be given back: see [`Line::come_back`].
    pub(super) inboxes: Vec<Option<InboxId>>,
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Line {
            waiting: HashMap::new(),
            turn: VecDeque::new(),
            away: HashSet::new(),
        }
    }

    /// Puts one at the end of its inbox's line.
    pub(super) fn join(&mut self, inbox: Option<InboxId>, one: T) {
        let waiting = self.waiting.entry(inbox.clone()).or_default();
        if waiting.is_empty() && !self.away.contains(&inbox) {
            self.turn.push_back(inbox);
        }
        waiting.push_back(one);
    }

    /// Takes at most so many, one of each inbox in turn. `None` if there are none that may leave.
    pub(super) fn leave(&mut self, most: usize) -> Option<Batch<T>> {
        let mut taken = Vec::new();
        let mut inboxes = HashSet::new();
        while taken.len() < most
            && let Some(inbox) = self.turn.pop_front()
        {
            let waiting = self.waiting.entry(inbox.clone()).or_default();
            taken.extend(waiting.pop_front());
            if !waiting.is_empty() {
                self.turn.push_back(inbox.clone());
            }
            inboxes.insert(inbox);
        }
        self.turn.retain(|inbox| !inboxes.contains(inbox));
        self.away.extend(inboxes.iter().cloned());
        let inboxes = inboxes.into_iter().collect();
        (!taken.is_empty()).then_some(Batch { taken, inboxes })
    }

    /// Lets more of these inboxes leave.
    pub(super) fn come_back(&mut self, inboxes: Vec<Option<InboxId>>) {
        for inbox in inboxes {
            self.away.remove(&inbox);
            if self
                .waiting
                .get(&inbox)
                .is_some_and(|waiting| !waiting.is_empty())
            {
                self.turn.push_back(inbox);
            } else {
                // Nothing stays of an inbox for which nothing waits.
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

    fn line(of: &[(&str, u32)]) -> Line<u32> {
        let mut line = Line::new();
        for (name, one) in of {
            line.join(inbox(name), *one);
        }
        line
    }

    #[test]
    fn inboxes_take_turns_and_each_keeps_its_order() {
        let mut line = line(&[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)]);
        let batch = line.leave(5).expect("some wait");
        assert_eq!(batch.taken, [1, 4, 5, 2, 6]);
        assert!(line.leave(5).is_none(), "a is away");
        line.come_back(batch.inboxes);
        assert_eq!(line.leave(5).expect("one is left").taken, [3]);
    }

    #[test]
    fn a_busy_inbox_does_not_hold_up_another() {
        let mut line = line(&[("a", 1), ("a", 2)]);
        let first = line.leave(1).expect("some wait");
        line.join(inbox("a"), 3);
        line.join(inbox("b"), 4);
        let second = line.leave(9).expect("b may leave");
        assert_eq!(second.taken, [4]);
        line.come_back(first.inboxes);
        assert_eq!(line.leave(9).expect("a may, too").taken, [2, 3]);
    }

    #[test]
    fn nothing_stays_of_who_is_gone() {
        let mut line = line(&[("a", 1), ("b", 2)]);
        let batch = line.leave(9).expect("some wait");
        line.come_back(batch.inboxes);
        assert!(line.waiting.is_empty() && line.turn.is_empty() && line.away.is_empty());
    }
}
