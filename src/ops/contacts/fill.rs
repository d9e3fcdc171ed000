//! Writes the words of contacts that were there before there was a search.
//!
//! Invariant: a contact has all of its words or none, and a piece is one short transaction.

use super::words;
use crate::{
    error::Error,
    ops::{
        Context,
        changes::{Changes, commit},
        on_blocking_thread,
        pieces::{self, Progress},
        transaction::again,
    },
    store::{contact_words, contacts},
};
use tokio::sync::{Notify, watch};

/// Writes the missing words of all contacts, until the server stops.
pub async fn work(context: Context, stopped: watch::Receiver<bool>) {
    let never = Notify::new();
    let all = |stopped| fill(context.clone(), stopped);
    pieces::work("preparing the search of contacts", &never, stopped, all).await;
}

async fn fill(context: Context, stopped: watch::Receiver<bool>) -> Result<Progress, Error> {
    let mut progress = Progress::More;
    while progress == Progress::More && !*stopped.borrow() {
        let context = context.clone();
        progress = on_blocking_thread(async move { again(|| piece(&context)).await }).await?;
    }
    Ok(progress)
}

async fn piece(context: &Context) -> Result<Progress, Error> {
    let left = contact_words::without(&mut context.db.read().await?).await?;
    if left.is_empty() {
        return Ok(Progress::Done);
    }
    let left: Vec<_> = left.iter().map(|(account, id)| (account, id)).collect();
    let mut session = context.db.write().await?;
    contacts::lock(&mut session, &left).await?;
    words::index(&mut session, &left).await?;
    commit(context, session, Changes::none()).await?;
    Ok(Progress::More)
}
