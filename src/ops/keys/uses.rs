//! Uses of API keys, noted in memory and written to the store some at a time.
//!
//! Invariant: memory is bounded, and each key that is in use has its turn to be written.

use crate::{
    error::Error,
    id::{AccountId, KeyId},
    ops::{
        Context,
        changes::{Changes, commit},
    },
    store::keys,
};
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Uses that wait to be written. Beyond that one is noted when its key is used again.
const USES: usize = 65_536;
/// Uses in one transaction: deliveries wait for it.
const FLUSH: usize = 256;
/// Transactions of one flush.
const FLUSHES: usize = 4;

/// Uses of keys that are not in the store yet. Cheap to clone.
#[derive(Clone, Default)]
pub struct Uses(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is no room. With very many keys that is so nearly always, and each request asks.
    full: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    uses: BTreeMap<KeyId, (AccountId, i64)>,
    /// The last that was written: those after it are next, so that each has its turn.
    written: Option<KeyId>,
}

impl Uses {
    /// Whether there was room for it.
    pub(super) fn note(&self, account: &AccountId, key: &KeyId, at: i64) -> bool {
        let uses = &mut self.held().uses;
        let room = uses.len() < USES;
        if room {
            uses.insert(key.clone(), (account.clone(), at));
        }
        self.say_whether_full(uses.len());
        room
    }

    fn say_whether_full(&self, waiting: usize) {
        self.0.full.store(waiting >= USES, Ordering::Relaxed);
    }

    pub(super) fn are_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave a map half-changed here.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes those whose turn it is to the store. However many keys are in use, that is little work. What cannot be
    /// written is kept for the next time.
    pub async fn flush(&self, context: &Context) -> Result<(), Error> {
        for _ in 0..FLUSHES {
            if self.flush_some(context).await? < FLUSH {
                break;
            }
        }
        Ok(())
    }

    /// Writes all.
    pub async fn flush_all(&self, context: &Context) -> Result<(), Error> {
        while self.flush_some(context).await? > 0 {}
        Ok(())
    }

    /// Writes some in one transaction. Returns how many.
    async fn flush_some(&self, context: &Context) -> Result<usize, Error> {
        let uses = self.held().next();
        let Some((_, last, _)) = uses.last() else {
            return Ok(0);
        };
        let mut session = context.db.write().await?;
        keys::touch(&mut session, &uses).await?;
        commit(context, session, Changes::none()).await?;
        let mut held = self.held();
        held.written = Some(last.clone());
        for (_, key, at) in &uses {
            if held.uses.get(key).is_some_and(|(_, last)| last == at) {
                held.uses.remove(key);
            }
        }
        self.say_whether_full(held.uses.len());
        Ok(uses.len())
    }
}

impl Waiting {
    fn next(&self) -> Vec<(AccountId, KeyId, i64)> {
        let written = self.written.as_ref();
        let after = written.map_or(Unbounded, Excluded);
        let later = self.uses.range((after, Unbounded));
        let earlier = written.map(|last| self.uses.range(..=last));
        later
            .chain(earlier.into_iter().flatten())
            .take(FLUSH)
            .map(|(key, (account, at))| (account.clone(), key.clone(), *at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::collections::HashSet;

    #[test]
    fn however_many_keys_are_in_use_each_has_its_turn() {
        let clock = Clock::manual(1_700_000_000);
        let account = AccountId::new(&clock);
        let keys: Vec<_> = (0..3 * FLUSH).map(|_| KeyId::new(&clock)).collect();
        let uses = Uses::default();
        let mut written = HashSet::new();
        for _ in 0..3 {
            // Whoever was written is in use again at once.
            for key in &keys {
                assert!(uses.note(&account, key, clock.now()));
            }
            let next = uses.held().next();
            assert_eq!(next.len(), FLUSH);
            uses.held().written = next.last().map(|(_, key, _)| key.clone());
            written.extend(next.into_iter().map(|(_, key, _)| key));
        }
        assert_eq!(written.len(), keys.len());
        let (few, used) = (Uses::default(), clock.now());
        assert!(few.note(&account, &keys[0], used));
        few.held().written = Some(keys[1].clone());
        assert_eq!(
            few.held().next(),
            [(account.clone(), keys[0].clone(), used)]
        );
        for _ in 0..USES - 1 {
            assert!(few.note(&account, &KeyId::new(&clock), used));
        }
        assert!(few.are_full());
        assert!(!few.note(&account, &KeyId::new(&clock), used), "no room");
    }
}
