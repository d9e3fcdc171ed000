//! Checks every promise about the stored data.
//!
//! Invariant: all checks read one snapshot, so that a running server cannot make a sound database look broken.

use super::{
    Context,
    changes::{Changes, commit},
    contacts::words,
};
use crate::{
    error::Error,
    store::{contact_words, invariants},
    vault::Place,
};
use serde::Serialize;

/// One promise, and the rows that break it.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The promise, in words.
    pub promise: &'static str,
    /// The rows that break it, one line each. Empty if the promise holds.
    pub breaches: Vec<String>,
}

/// Checks every promise.
pub async fn run(context: &Context) -> Result<Vec<Check>, Error> {
    let mut session = context.db.snapshot().await?;
    session.lift_time_limits().await?;
    let checked = invariants::check(&mut session).await?;
    let mut checks: Vec<_> = checked
        .into_iter()
        .map(|(promise, breaches)| Check { promise, breaches })
        .collect();
    let sealed = invariants::secrets(&mut session).await?;
    let breaches = sealed
        .iter()
        .filter(|secret| {
            let place = Place {
                account: &secret.account,
                inbox: &secret.inbox,
                name: &secret.name,
            };
            context.vault.open(&place, &secret.sealed).is_err()
        })
        .map(|secret| format!("inbox {}: {} cannot be opened", secret.inbox, secret.name))
        .collect();
    checks.push(Check {
        promise: "a stored secret can be opened",
        breaches,
    });
    let mut breaches = Vec::new();
    contact_words::all_said(&mut session, |said| {
        if words::of(&said).ok() != said.words {
            breaches.push(format!("contact {} has other words", said.contact));
        }
    })
    .await?;
    checks.push(Check {
        promise: "a contact is found by what is known of it",
        breaches,
    });
    Ok(checks)
}

/// Corrects every stored count, and what else follows from other data. Returns how many were wrong.
pub async fn repair(context: &Context) -> Result<u64, Error> {
    let mut session = context.db.write().await?;
    session.lift_time_limits().await?;
    let mut repaired = invariants::repair_counts(&mut session).await?;
    let mut wrong = Vec::new();
    contact_words::all_said(&mut session, |said| {
        if words::of(&said).ok() != said.words {
            wrong.push((said.account, said.contact));
        }
    })
    .await?;
    for (account, contact) in &wrong {
        words::index(&mut session, &[(account, contact)]).await?;
    }
    repaired += wrong.len() as u64;
    commit(context, session, Changes::of_everything()).await?;
    Ok(repaired)
}
