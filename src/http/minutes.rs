//! Counts per minute for very many clients, in a fixed amount of memory. `rates` decides what is counted.
//!
//! Each client has its own minute, which begins with its first request. In contrast to a leaky bucket, the rest of the
//! quota and the time of its reset are exact numbers that a client can be told. The disadvantage: a client can use up two
//! quotas in a row, at the end of one minute and at the beginning of the next.
//!
//! The counts are in a hash table of a fixed size. Each client can have one of a few places, which a secret hash selects.
//! If all of them are taken, the least important count is dropped: one whose minute is over, otherwise the smallest. So a
//! client with many requests is not forgotten because of others.
//!
//! Invariant: memory is bounded, and no change of the clock blocks a client for longer than a minute.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The length of a count, in seconds.
pub const MINUTE: i64 = 60;
/// The number of locks. With several, processors rarely wait for each other.
const SHARDS: usize = 16;
/// Sets per shard.
const SETS: usize = 2048;
/// Places per set. In total there are 262,144 places in 4 MB, of which unused pages take no memory yet.
const PLACES: usize = 8;

/// The counts of many clients.
pub struct Minutes {
    hasher: RandomState,
    shards: [Mutex<Vec<Set>>; SHARDS],
    /// How long a client is remembered after the end of its last minute, in seconds.
    memory: i64,
}

/// Each place has the mark of its client, or 0, and the bits of a [`Minute`]. They are plain numbers, since the system
/// provides zeroed memory without cost.
type Set = [[u64; 2]; PLACES];

#[derive(Clone, Copy)]
struct Minute {
    /// When it ends, in seconds since 1970.
    ends: u32,
    used: u32,
}

/// A client's count after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Whether the request was within the limit. If not, it was not counted.
    pub allowed: bool,
    /// How many more requests are within the limit.
    pub left: i64,
    /// When the count starts again, in seconds since 1970.
    pub ends: i64,
}

impl Minutes {
    /// Starts empty. A client is remembered for `memory` seconds after the end of its last minute, as long as there is
    /// space.
    pub fn new(memory: i64) -> Self {
        Minutes {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(vec![Set::default(); SETS])),
            memory,
        }
    }

    /// Counts a request of the client `who`, whose limit is `most` per minute. `now` is in seconds since 1970.
    pub fn take(&self, who: u128, most: i64, now: i64) -> Count {
        let mark = self.mark(who);
        let mut shard = self.shard(mark);
        let set = &mut shard[set_of(mark)];
        let (place, mut minute) = match find(set, mark) {
            Some((place, minute)) => (place, minute.by(now)),
            None => (least_loss(set, now), Minute::begun(now)),
        };
        let allowed = i64::from(minute.used) < most;
        minute.used = minute.used.saturating_add(allowed.into());
        set[place] = [mark, minute.to_bits()];
        Count {
            allowed,
            left: (most - i64::from(minute.used)).max(0),
            ends: minute.ends.into(),
        }
    }

    /// How many seconds the client has to wait, if it has made `most` requests in this minute.
    pub fn wait(&self, who: u128, most: i64, now: i64) -> Option<i64> {
        let mark = self.mark(who);
        let mut shard = self.shard(mark);
        let set = &mut shard[set_of(mark)];
        let (place, minute) = find(set, mark)?;
        if minute.is_over(now) || i64::from(minute.used) < most {
            return None;
        }
        let minute = minute.by(now);
        set[place][1] = minute.to_bits();
        Some(i64::from(minute.ends) - now)
    }

    /// Whether the client is remembered.
    pub fn remembers(&self, who: u128, now: i64) -> bool {
        let mark = self.mark(who);
        let found = find(&self.shard(mark)[set_of(mark)], mark);
        found.is_some_and(|(_, minute)| !minute.is_over(now - self.memory))
    }

    /// A hash that identifies the client. A collision is not to be expected.
    fn mark(&self, who: u128) -> u64 {
        self.hasher.hash_one(who).max(1)
    }

    fn shard(&self, mark: u64) -> MutexGuard<'_, Vec<Set>> {
        let shard = &self.shards[mark as usize % SHARDS];
        // A panic cannot leave a table of numbers half-changed.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_of(mark: u64) -> usize {
    mark as usize / SHARDS % SETS
}

fn find(set: &Set, mark: u64) -> Option<(usize, Minute)> {
    let place = set.iter().position(|[whose, _]| *whose == mark)?;
    Some((place, Minute::from_bits(set[place][1])))
}

/// The place whose count is dropped for another client.
fn least_loss(set: &Set, now: i64) -> usize {
    let loss = |place: &usize| {
        let minute = Minute::from_bits(set[*place][1]);
        if minute.ends > Minute::begun(now).ends {
            // The clock was set back since it began.
            (0, 0)
        } else if minute.is_over(now) {
            (0, minute.ends)
        } else {
            (minute.used, minute.ends)
        }
    };
    (0..PLACES).min_by_key(loss).unwrap_or(0)
}

impl Minute {
    fn begun(now: i64) -> Self {
        Minute {
            ends: u32::try_from(now + MINUTE).unwrap_or(u32::MAX),
            used: 0,
        }
    }

    /// The minute at this time: a new one, if it is over. If the clock was set back, its end is moved to a minute from now.
    fn by(self, now: i64) -> Self {
        let new = Minute::begun(now);
        if self.is_over(now) {
            new
        } else {
            let ends = self.ends.min(new.ends);
            Minute { ends, ..self }
        }
    }

    fn is_over(self, now: i64) -> bool {
        now >= self.ends.into()
    }

    fn to_bits(self) -> u64 {
        u64::from(self.ends) << 32 | u64::from(self.used)
    }

    fn from_bits(bits: u64) -> Self {
        Minute {
            ends: (bits >> 32) as u32,
            used: bits as u32,
        }
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
        assert!(minutes.remembers(1, START + 60 + 3599));
        assert!(!minutes.remembers(1, START + 60 + 3600));
        assert!(!minutes.remembers(2, START));
    }

    #[test]
    fn whoever_comes_who_has_used_much_is_not_forgotten() {
        let minutes = Minutes::new(0);
        for _ in 0..2 {
            minutes.take(0, 2, START);
        }
        for other in 1..=2 * (SHARDS * SETS * PLACES) as u128 {
            assert!(minutes.take(other, 1, START).allowed);
        }
        assert!(!minutes.take(0, 2, START + 59).allowed);
        // But not once its minute is over.
        for other in 1..=4 * (SHARDS * SETS * PLACES) as u128 {
            minutes.take(other, 1, START + 60);
        }
        assert!(!minutes.remembers(0, START));
    }

    #[test]
    fn who_comes_after_a_step_back_of_the_clock_is_not_forgotten_for_those_before() {
        let minutes = Minutes::new(0);
        let all = (SHARDS * SETS * PLACES) as u128;
        for other in 0..2 * all {
            minutes.take(other, 1, START);
        }
        let back = START - 1_000_000;
        let new = 2 * all..2 * all + 10_000;
        for who in new.clone() {
            assert!(minutes.take(who, 1, back).allowed);
        }
        for who in new {
            assert!(!minutes.take(who, 1, back).allowed);
        }
    }

    #[test]
    fn nobody_is_forgotten_while_there_is_much_room() {
        let minutes = Minutes::new(3600);
        for who in 0..10_000 {
            assert!(minutes.take(who, 1, START).allowed);
        }
        let remembered = (0..10_000).filter(|who| minutes.remembers(*who, START));
        assert_eq!(remembered.count(), 10_000);
    }
}
