//! Background work that grows with the data. It is done in pieces, so that others can write in between.
//!
//! The store lists the work that is left. What a piece does is not defined here.
//!
//! Invariant: a piece is one transaction or a few, so that a server that is killed goes on with the next one.

use crate::error::Error;
use std::{future::Future, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// How often a server looks for work of others: a command or a node may have been killed before it was done.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long a server waits before it tries again, if the store is unavailable or another process is doing the work.
const RETRY: Duration = Duration::from_secs(5);

/// The result of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// Nothing is left.
    Done,
    /// Another process is doing this work, or has done it.
    Busy,
}

/// Does all the work that there is, at once when woken, until the server stops. `what` names the work in a warning.
pub(super) async fn work<F: Future<Output = Result<Progress, Error>>>(
    what: &'static str,
    woken: &Notify,
    mut stopped: watch::Receiver<bool>,
    all: impl Fn(watch::Receiver<bool>) -> F,
) {
    while !*stopped.borrow() {
        let wait = match all(stopped.clone()).await {
            Ok(Progress::Done) => INTERVAL,
            Ok(_) => RETRY,
            Err(error) => {
                let cause = error.cause();
                tracing::warn!(cause, what, "work in the background cannot go on yet");
                RETRY
            }
        };
        tokio::select! {
            _ = stopped.changed() => return,
            _ = timeout(wait, woken.notified()) => {}
        }
    }
}
