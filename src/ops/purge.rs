//! Removes the data of deleted inboxes: in small transactions, so that others can write in between, and on threads that may
//! block.
//!
//! `inboxes` deletes an inbox. From then on its data is not shown any more.
//!
//! Invariant: a deleted inbox stays marked in the store until all of its data is removed. So after a kill, the next server
//! continues.

use super::{
    Context,
    changes::{Changes, commit},
    on_blocking_thread,
    pieces::{self, Progress},
    transaction::again,
};
use crate::{
    error::Error,
    store::{
        inboxes,
        purge::{self as table, Deleted},
    },
};
use tokio::sync::watch;

/// Rows that one transaction removes. On SQLite this takes about 20 ms, in which nobody else can write.
const ROWS: i64 = 1000;

/// Removes what deleted inboxes hold, of all accounts, until the server stops.
pub async fn work(context: Context, stopped: watch::Receiver<bool>) {
    let all = |stopped| remove_all(context.clone(), stopped);
    pieces::work(
        "removing the data of deleted inboxes",
        &context.inbox_deleted,
        stopped,
        all,
    )
    .await;
}

async fn remove_all(context: Context, stopped: watch::Receiver<bool>) -> Result<Progress, Error> {
    let mut all_done = Progress::Done;
    let all = table::list(&mut context.db.read().await?).await?;
    for deleted in &all {
        let mut progress = Progress::More;
        while progress == Progress::More && !*stopped.borrow() {
            progress = step(&context, deleted).await?;
        }
        if progress != Progress::Done {
            all_done = progress;
        }
    }
    Ok(all_done)
}

/// Removes a deleted inbox with all of its data. A command calls this, since no server may be running.
pub(super) async fn finish(context: &Context, deleted: &Deleted) -> Result<(), Error> {
    while step(context, deleted).await? == Progress::More {}
    Ok(())
}

async fn step(context: &Context, deleted: &Deleted) -> Result<Progress, Error> {
    let (context, deleted) = (context.clone(), deleted.clone());
    on_blocking_thread(async move { again(|| remove(&context, &deleted)).await }).await
}

async fn remove(context: &Context, deleted: &Deleted) -> Result<Progress, Error> {
    let mut session = context.db.write().await?;
    if !table::claim(&mut session, deleted).await? {
        return Ok(Progress::Busy);
    }
    let removed = table::remove_held(&mut session, deleted, ROWS).await?;
    commit(context, session, Changes::none()).await?;
    if removed > 0 {
        return Ok(Progress::More);
    }
    // A separate transaction, since rows must be locked in the common order.
    let mut session = context.db.write().await?;
    inboxes::lock_all(&mut session, &deleted.account).await?;
    if !table::claim(&mut session, deleted).await? {
        return Ok(Progress::Busy);
    }
    if table::remove_conversations(&mut session, deleted, ROWS).await? > 0 {
        commit(context, session, Changes::none()).await?;
        return Ok(Progress::More);
    }
    table::remove_inbox(&mut session, deleted).await?;
    commit(context, session, Changes::none()).await?;
    tracing::info!(inbox = %deleted.inbox, "the data of a deleted inbox is removed");
    Ok(Progress::Done)
}
