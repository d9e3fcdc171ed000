//! Removing what deleted inboxes held: in pieces, between which others write, and on threads that may block.
//!
//! Deleting an inbox, after which nobody is shown anything of it, is not here: see `inboxes`.
//!
//! Invariant: a deleted inbox stays marked in the store until it holds nothing, so that whoever starts after a kill finds
//! what is left to do.

use super::{
    Context,
    changes::{Changes, commit},
    pieces::{self, Progress},
};
use crate::{
    error::Error,
    store::{
        inboxes,
        purge::{self as table, Deleted},
    },
};
use tokio::sync::watch;

/// Rows that are removed in one transaction: some 20 ms of work on SQLite, where others cannot write meanwhile.
const PIECE: i64 = 1000;

/// Removes what deleted inboxes hold, of all accounts, until the server stops.
pub async fn work(context: Context, stopped: watch::Receiver<bool>) {
    let all = |stopped| remove_all(context.clone(), stopped);
    pieces::work(
        "removing what deleted inboxes held",
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
            progress = piece(&context, deleted).await?;
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
    let deleted = deleted.clone();
    pieces::piece(context, async move |context| {
        remove(&context, &deleted).await
    })
    .await
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
    inboxes::lock_type(&mut session, &deleted.account, deleted.channel).await?;
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
