//! What happens after a stand-in took a message: statuses as the channel has them, and then an answer of its recipient.
//!
//! Invariant: a person answers so often and no more, so that a program that answers every message does not go on for ever.

use super::{
    hooks::Hooks,
    provider::{Event, Took},
};
use crate::{clock::Clock, domain::Channel};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// How often one person answers, and how many people do.
const ANSWERS: u32 = 20;
const PEOPLE: usize = 1000;
/// How long after the one before it a report comes, and how long a person thinks.
const REPORT: Duration = Duration::from_millis(300);
const THOUGHT: Duration = Duration::from_secs(2);
/// The numbers of the stand-ins' messages begin after those that are there at the start.
const FIRST: u32 = 1000;

/// Reports to the hooks of the demonstration's server.
pub(super) struct Reporter {
    hooks: Hooks,
    clock: Clock,
    /// The number of the next message, of either side.
    next: AtomicU32,
    /// How many messages each person has got.
    got: Mutex<HashMap<(Channel, u64), u32>>,
}

impl Reporter {
    pub(super) fn new(hooks: Hooks, clock: Clock) -> Self {
        Reporter {
            hooks,
            clock,
            next: AtomicU32::new(FIRST),
            got: Mutex::default(),
        }
    }

    /// A number for a message that no other has.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Now, in seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Reports what becomes of a message, and then has its recipient answer.
    pub(super) async fn report(self: Arc<Self>, took: Took) {
        let reports = took.reports().iter().map(|event| (REPORT, *event));
        let answer = self.answer(&took).map(|event| (THOUGHT, event));
        for (wait, event) in reports.chain(answer) {
            sleep(wait).await;
            let update = took.update(event, self.number(), self.now());
            if let Err(error) = self.hooks.post(took.channel, &update).await {
                // Most likely the server is stopping.
                tracing::info!(%error, "a stand-in could not report what became of a message");
                return;
            }
        }
    }

    /// The recipient's answer to a message, if there is one more.
    fn answer(&self, took: &Took) -> Option<Event> {
        // It is right after every statement.
        let mut got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (took.channel, took.to);
        if got.len() >= PEOPLE && !got.contains_key(&who) {
            return None;
        }
        let count = got.entry(who).or_default();
        *count = count.saturating_add(1);
        (*count <= ANSWERS).then_some(Event::Answer {
            is_last: *count == ANSWERS,
        })
    }
}
