//! Time and randomness. Only this module reads them, so that tests can repeat a run.
//!
//! Invariant: UUIDs made here sort in the order in which they were made, even if the clock steps back.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};
use uuid::{ContextV7, Uuid};

/// The source of the program's time. Cheap to clone; clones share one time.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// Milliseconds since 1970 that a test has set; 0 means the machine's clock.
    frozen: AtomicI64,
    ids: Mutex<ContextV7>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::starting_at(0)
    }

    /// A clock that stands still at `seconds` since 1970 until it is told to [`Clock::advance`]: for tests.
    pub fn manual(seconds: i64) -> Self {
        Self::starting_at(seconds * 1000)
    }

    fn starting_at(frozen: i64) -> Self {
        Clock(Arc::new(Inner {
            frozen: AtomicI64::new(frozen),
            ids: Mutex::new(ContextV7::new()),
        }))
    }

    /// Moves a manual clock forwards, or back with a negative number. Has no effect on a system clock.
    pub fn advance(&self, seconds: i64) {
        if self.0.frozen.load(Ordering::Acquire) != 0 {
            self.0.frozen.fetch_add(seconds * 1000, Ordering::AcqRel);
        }
    }

    /// Now, in whole seconds since 1970.
    pub fn now(&self) -> i64 {
        self.millis().div_euclid(1000)
    }

    /// Now, in milliseconds since 1970.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that may ask"
    )]
    pub fn millis(&self) -> i64 {
        match self.0.frozen.load(Ordering::Acquire) {
            0 => Timestamp::now().as_millisecond(),
            frozen => frozen,
        }
    }

    /// Makes a UUID of version 7: unguessable, and greater than every UUID that this clock made before.
    pub fn uuid(&self) -> Uuid {
        let millis = self.millis().max(0) as u64;
        let nanos = (millis % 1000) as u32 * 1_000_000;
        Uuid::new_v7(uuid::Timestamp::from_unix(
            &self.0.ids,
            millis / 1000,
            nanos,
        ))
    }
}

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none. Nothing that needs a secret may continue then.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// The current moment, for measuring how long something takes.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// The current moment for a log line: RFC 3339 in UTC, as precise as the clock.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn moment() -> impl std::fmt::Display {
    Timestamp::now()
}

/// RFC 3339 in UTC with whole seconds, as every timestamp of the API: `2025-01-15T08:00:00Z`.
pub fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

/// Reads an RFC 3339 time of any zone, as seconds since 1970.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_second())
}

/// A [`rfc3339`] timestamp as a JSON value.
pub fn serialize<S: serde::Serializer>(seconds: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Timestamp::from_second(*seconds).unwrap_or(Timestamp::MAX))
}

/// Reads a [`rfc3339`] timestamp from JSON, as seconds since 1970.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    let time: Timestamp = text.parse().map_err(D::Error::custom)?;
    Ok(time.as_second())
}

/// An optional [`rfc3339`] timestamp as a JSON value: `null` where there is none.
pub fn serialize_option<S: serde::Serializer>(
    seconds: &Option<i64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match seconds {
        Some(seconds) => serialize(seconds, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_whole_seconds_in_utc() {
        assert_eq!(rfc3339(1_736_928_000), "2025-01-15T08:00:00Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn ids_ascend_even_when_the_clock_steps_back() {
        let clock = Clock::manual(1_700_000_000);
        let mut last = clock.uuid();
        for step in 0..5_000 {
            if step % 100 == 99 {
                clock.advance(-1);
            }
            let next = clock.uuid();
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
}
