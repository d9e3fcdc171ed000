//! Uses of API keys: recorded in memory, and written to the store in batches.
//!
//! Invariant: memory is bounded, and the use of every key is written eventually.

use crate::{
    error::Error,
    id::{AccountId, KeyId},
    ops::{
        Context,
        changes::{Changes, commit},
        transaction::again,
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

/// How many uses may wait to be written. A use beyond that is recorded when its key is used again.
const USES: usize = 65_536;
/// Uses per transaction. Few enough that updates do not wait long for it.
const FLUSH: usize = 256;
/// Transactions per flush.
const FLUSHES: usize = 4;

/// Uses of keys that are not yet in the store. Cheap to clone.
#[derive(Clone, Default)]
pub struct Uses(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// True if there is no room for another use. With very many keys it is full almost always, so requests check this
    /// flag before they take the lock.
    full: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    uses: BTreeMap<KeyId, (AccountId, i64)>,
    /// The key that was written last. The keys after it are next, so that every key has its turn.
    written: Option<KeyId>,
}

impl Uses {
    /// Records a use. `at` is in seconds since 1970. Returns false if there is no room.
    pub(super) fn note(&self, account: &AccountId, key: &KeyId, at: i64) -> bool {
        let uses = &mut self.held().uses;
        let room = uses.len() < USES;
        if room {
            uses.insert(key.clone(), (account.clone(), at));
        }
        self.update_full(uses.len());
        room
    }

    fn update_full(&self, waiting: usize) {
        self.0.full.store(waiting >= USES, Ordering::Relaxed);
    }

    pub(super) fn are_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave the map half-changed here.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a limited number of uses to the store. What cannot be written is kept for the next time.
    pub async fn flush(&self, context: &Context) -> Result<(), Error> {
        for _ in 0..FLUSHES {
            if self.flush_some(context).await? < FLUSH {
                break;
            }
        }
        Ok(())
    }

    /// Writes all uses to the store.
    pub async fn flush_all(&self, context: &Context) -> Result<(), Error> {
        while self.flush_some(context).await? > 0 {}
        Ok(())
    }

    /// Writes one batch in one transaction. Returns how many uses it had.
    async fn flush_some(&self, context: &Context) -> Result<usize, Error> {
        let uses = self.held().next();
        let Some((_, last, _)) = uses.last() else {
            return Ok(0);
        };
        again(|| async {
            let mut session = context.db.write().await?;
            keys::touch(&mut session, &uses).await?;
            commit(context, session, Changes::none()).await
        })
        .await?;
        let mut held = self.held();
        held.written = Some(last.clone());
        for (_, key, at) in &uses {
            if held.uses.get(key).is_some_and(|(_, last)| last == at) {
                held.uses.remove(key);
            }
        }
        self.update_full(held.uses.len());
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
            // Keys that were written are used again at once.
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
