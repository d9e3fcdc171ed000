//! Write transactions that the store gives up, because one and another waited for each other.
//!
//! Invariant: such a transaction is begun anew. Nothing of the former is left.

use crate::error::Error;

/// How often a transaction is begun at most.
const TRIES: usize = 4;

/// Runs `work`, which begins one write transaction and commits it.
pub async fn again<T, F>(mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match work().await {
            Err(Error::Deadlock(cause)) if tries < TRIES => {
                tracing::debug!(cause, "a transaction is begun anew");
            }
            done => return done,
        }
    }
}
