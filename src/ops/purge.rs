//! Removing what deleted inboxes held: in pieces, between which others write, and on threads that may block.
//!
//! Deleting an inbox, after which nobody is shown anything of it, is not here: see `inboxes`.
//!
//! Invariant: a deleted inbox stays marked in the store until it holds nothing, so that whoever starts after a kill finds
//! what is left to do.

use super::{
    Context,
    changes::{Changes, commit},
};
use crate::{
    error::Error,
    store::purge::{self as table, Deleted},
};
use std::time::Duration;
use tokio::{runtime::Handle, sync::watch, task::spawn_blocking, time::timeout};

/// Rows that are removed in one transaction: some 20 ms of work on SQLite, where others cannot write meanwhile.
const PIECE: i64 = 1000;
/// How often a server looks for what others were told to remove, and did not: a command or a node that was killed.
const LOOK: Duration = Duration::from_secs(60);
/// How long a server waits before it tries again, when the store is away or somebody else is at it.
const RETRY: Duration = Duration::from_secs(5);

/// How far a piece of work got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There is more to remove.
    More,
    /// Nothing is left.
    Done,
    /// Somebody else is at it, or was and is done.
    Elsewhere,
}

/// Removes what deleted inboxes hold, of all accounts, until the server stops.
pub async fn work(context: Context, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let wait = match remove_all(&context, &stopped).await {
            Ok(Progress::Done) => LOOK,
            Ok(_) => RETRY,
            Err(error) => {
                let cause = error.cause();
                tracing::warn!(cause, "what deleted inboxes held cannot be removed yet");
                RETRY
            }
        };
        tokio::select! {
            _ = stopped.changed() => return,
            _ = timeout(wait, context.inbox_deleted.notified()) => {}
        }
    }
}

async fn remove_all(context: &Context, stopped: &watch::Receiver<bool>) -> Result<Progress, Error> {
    let mut all_done = Progress::Done;
    let all = table::list(&mut context.db.read().await?).await?;
    for deleted in &all {
        let mut progress = Progress::More;
        while progress == Progress::More && !*stopped.borrow() {
            progress = piece(context, deleted).await?;
        }
        if progress != Progress::Done {
            all_done = progress;
        }
    }
    Ok(all_done)
}

/// Removes all that a deleted inbox holds, and the inbox: for a command, which may be the only process that is running.
pub(super) async fn finish(context: &Context, deleted: &Deleted) -> Result<(), Error> {
    while piece(context, deleted).await? == Progress::More {}
    Ok(())
}

async fn piece(context: &Context, deleted: &Deleted) -> Result<Progress, Error> {
    let (context, deleted) = (context.clone(), deleted.clone());
    let runtime = Handle::current();
    // On SQLite it would hold up everything else that this thread has to do.
    let removed = spawn_blocking(move || runtime.block_on(remove(&context, &deleted)));
    removed
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

async fn remove(context: &Context, deleted: &Deleted) -> Result<Progress, Error> {
    let mut session = context.db.write().await?;
    if !table::claim(&mut session, deleted).await? {
        return Ok(Progress::Elsewhere);
    }
    let removed = table::remove_held(&mut session, deleted, PIECE).await?;
    commit(context, session, Changes::none()).await?;
    if removed > 0 {
        return Ok(Progress::More);
    }
    // A transaction of its own, since rows are locked in one order.
    let mut session = context.db.write().await?;
    table::lock_type(&mut session, deleted).await?;
    if !table::claim(&mut session, deleted).await? {
        return Ok(Progress::Elsewhere);
    }
    if table::remove_conversations(&mut session, deleted, PIECE).await? > 0 {
        commit(context, session, Changes::none()).await?;
        return Ok(Progress::More);
    }
    table::remove_inbox(&mut session, deleted).await?;
    commit(context, session, Changes::none()).await?;
    tracing::info!(inbox = %deleted.inbox, "nothing is left of a deleted inbox");
    Ok(Progress::Done)
}
