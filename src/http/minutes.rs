//! Counting within a minute, for very many at once. What is counted, and what follows from it, is said in `rates`.
//!
//! Everybody has a minute of their own, which begins with their first try. Unlike in a leaking bucket, what is left of it
//! and when it is over are exact numbers, which a client can be told. The price is that the end of one minute and the
//! beginning of the next can be used up together.
//!
//! Invariant: memory is bounded, whoever comes, and no step of the clock holds anybody up for longer than a minute.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long one count lasts, in seconds.
pub const MINUTE: i64 = 60;
/// Locks, so that cores seldom wait for each other.
const SHARDS: usize = 16;
/// How many are remembered in each: 262,144 in all, in some 12 MB.
const ROOM: usize = 16 * 1024;

/// The minutes of many.
pub struct Minutes {
    shards: [Mutex<HashMap<u128, Minute>>; SHARDS],
    /// How long somebody is remembered after the end of the last minute, in seconds.
    memory: i64,
}

#[derive(Clone, Copy)]
struct Minute {
    /// The first second, since 1970, that is no part of it.
    ends: i64,
    used: i64,
}

/// How a count stands after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Whether the try was within the limit. One that was not is not counted.
    pub allowed: bool,
    /// How many more are.
    pub left: i64,
    /// When all are again, in seconds since 1970.
    pub ends: i64,
}

impl Minutes {
    /// With nobody in it. Who comes is remembered for `memory` seconds after the end of the last minute.
    pub fn new(memory: i64) -> Self {
        Minutes {
            shards: Default::default(),
            memory,
        }
    }

    /// Counts a try of `who`, of which there may be `most` a minute. `now` is in seconds since 1970.
    pub fn take(&self, who: u128, most: i64, now: i64) -> Count {
        let mut shard = self.shard(who);
        if shard.len() >= ROOM && !shard.contains_key(&who) {
            // Whoever is forgotten begins a new minute: better than to refuse somebody for want of room.
            let any = shard.keys().next().copied();
            any.and_then(|any| shard.remove(&any));
        }
        let fresh = Minute {
            ends: now + MINUTE,
            used: 0,
        };
        let minute = shard.entry(who).or_insert(fresh);
        if now >= minute.ends {
            *minute = fresh;
        }
        // After a step back of the clock the end would be too far away.
        minute.ends = minute.ends.min(fresh.ends);
        let allowed = minute.used < most;
        minute.used += i64::from(allowed);
        Count {
            allowed,
            left: (most - minute.used).max(0),
            ends: minute.ends,
        }
    }

    /// Seconds that `who` has to wait, if `most` tries were made in this minute.
    pub fn wait(&self, who: u128, most: i64, now: i64) -> Option<i64> {
        let mut shard = self.shard(who);
        let minute = shard.get_mut(&who)?;
        minute.ends = minute.ends.min(now + MINUTE);
        let over = now < minute.ends && minute.used >= most;
        over.then(|| minute.ends - now)
    }

    /// Whether `who` is remembered.
    pub fn remembers(&self, who: u128) -> bool {
        self.shard(who).contains_key(&who)
    }

    /// Forgets who was not here for long.
    pub fn tidy(&self, now: i64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, minute| now < minute.ends + self.memory);
        }
    }

    fn shard(&self, who: u128) -> MutexGuard<'_, HashMap<u128, Minute>> {
        // Both halves, since of an IPv6 network only the upper one says anything.
        let mixed = who ^ who >> 64;
        let shard = &self.shards[(mixed % SHARDS as u128) as usize];
        // A panic cannot leave a map of numbers half-changed.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_736_928_000;

    #[test]
    fn a_minute_begins_with_the_first_try_and_counts_down() {
        let minutes = Minutes::new(0);
        let count = |allowed, left| Count {
            allowed,
            left,
            ends: START + 60,
        };
        assert_eq!(minutes.take(1, 2, START), count(true, 1));
        assert_eq!(minutes.take(1, 2, START + 30), count(true, 0));
        assert_eq!(minutes.take(1, 2, START + 59), count(false, 0));
        assert_eq!(minutes.take(2, 2, START).left, 1, "another's is untouched");
        let next = minutes.take(1, 2, START + 60);
        assert_eq!((next.allowed, next.left, next.ends), (true, 1, START + 120));
    }

    #[test]
    fn another_limit_counts_what_was_used_already() {
        let minutes = Minutes::new(0);
        for _ in 0..5 {
            minutes.take(1, 10, START);
        }
        let lower = minutes.take(1, 3, START);
        assert_eq!((lower.allowed, lower.left), (false, 0));
        let higher = minutes.take(1, 100, START);
        assert_eq!((higher.allowed, higher.left), (true, 94));
    }

    #[test]
    fn a_clock_that_steps_back_holds_nobody_up_for_longer_than_a_minute() {
        let minutes = Minutes::new(0);
        let back = START - 1_000_000;
        minutes.take(1, 1, START);
        let refused = minutes.take(1, 1, back);
        assert_eq!((refused.allowed, refused.ends), (false, back + 60));
        assert!(minutes.take(1, 1, back + 60).allowed);
        minutes.take(2, 1, START);
        assert_eq!(minutes.wait(2, 1, back), Some(60));
        assert_eq!(minutes.wait(2, 1, back + 60), None);
    }

    #[test]
    fn who_was_not_here_for_long_is_forgotten() {
        let minutes = Minutes::new(3600);
        minutes.take(1, 1, START);
        minutes.tidy(START + 60 + 3599);
        assert!(minutes.remembers(1));
        minutes.tidy(START + 60 + 3600);
        assert!(!minutes.remembers(1));
    }

    #[test]
    fn memory_is_bounded() {
        let minutes = Minutes::new(3600);
        let all = (SHARDS * ROOM) as u128;
        for who in 0..2 * all {
            assert!(minutes.take(who, 1, START).allowed);
            assert!(minutes.take(who << 64, 1, START).allowed || who == 0);
        }
        for shard in &minutes.shards {
            assert_eq!(shard.lock().unwrap().len(), ROOM);
        }
    }
}
