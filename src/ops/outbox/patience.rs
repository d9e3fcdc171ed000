//! How long a message is tried, and how often.

use crate::{clock, domain::DeliveryError};

/// The longest wait between two tries, in milliseconds.
pub(super) const LONGEST: i64 = 600_000;

/// Why a message failed that was tried for long enough.
pub(super) fn expired(last: Option<&str>) -> DeliveryError {
    DeliveryError {
        code: "expired".to_owned(),
        message: match last {
            Some(last) => format!("It could not be sent in time. The last try failed: {last}"),
            None => "It could not be sent in time".to_owned(),
        },
        provider_code: None,
    }
}

/// How long to wait after so many attempts, in milliseconds.
pub(super) fn backoff(base: i64, attempts: i64) -> i64 {
    let power = u32::try_from(attempts.clamp(1, 10) - 1).unwrap_or(0);
    let wait = base.saturating_pow(power).saturating_mul(1000).min(LONGEST);
    let [random] = clock::random::<1>();
    wait + wait * i64::from(random) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        for (attempts, least, most) in [(1, 1000, 1250), (4, 8000, 10_000), (90, 512_000, 640_000)]
        {
            let wait = backoff(2, attempts);
            assert!((least..=most).contains(&wait), "{wait} after {attempts}");
        }
        assert!(backoff(4, 90) >= LONGEST);
    }

    #[test]
    fn what_ran_out_of_time_says_why_it_failed() {
        let error = expired(Some("connection refused"));
        assert_eq!(error.code, "expired");
        assert!(error.message.ends_with("connection refused"));
    }
}
