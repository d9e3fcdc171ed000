//! Work that grows with the data: done in pieces, between which others write, and on threads that may block.
//!
//! What there is to do stands in the store; it is not known here.
//!
//! Invariant: a piece is one transaction or a few, so that a server that is killed goes on with the next one.

use super::Context;
use crate::error::Error;
use std::{future::Future, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::spawn_blocking,
    time::timeout,
};

/// How often a server looks for what others were told to do, and did not: a command or a node that was killed.
const LOOK: Duration = Duration::from_secs(60);
/// How long a server waits before it tries again, when the store is away or somebody else is at it.
const RETRY: Duration = Duration::from_secs(5);

/// How far a piece of work got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// Nothing is left.
    Done,
    /// Somebody else is at it, or was and is done.
    Elsewhere,
}

/// Does all that there is to do, at once when woken, until the server stops. `what` says it in a warning.
pub(super) async fn work<F: Future<Output = Result<Progress, Error>>>(
    what: &'static str,
    woken: &Notify,
    mut stopped: watch::Receiver<bool>,
    all: impl Fn(watch::Receiver<bool>) -> F,
) {
    while !*stopped.borrow() {
        let wait = match all(stopped.clone()).await {
            Ok(Progress::Done) => LOOK,
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

/// Does a piece on a thread that may block: on SQLite it would hold up everything else that this one has to do.
pub(super) async fn piece<T: Send + 'static, F>(
    context: &Context,
    work: impl FnOnce(Context) -> F + Send + 'static,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let context = context.clone();
    let runtime = Handle::current();
    let done = spawn_blocking(move || runtime.block_on(work(context)));
    done.await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}
