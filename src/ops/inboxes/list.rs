//! Lists inboxes. The cost of a page depends on its rows, not on the length of the list.
//!
//! `api::inboxes` first looks for a cached answer.
//!
//! Invariant: a page and its total are from the same moment.

use crate::{
    cache::MarksFill,
    domain::Inbox,
    error::Error,
    id::AccountId,
    ops::{Context, on_blocking_thread},
    store::inboxes::{self, Page},
};
use std::sync::Arc;

/// A page of the inboxes that match, ordered by creation time and id, and the total number of matches.
pub async fn list(
    context: &Context,
    account: &AccountId,
    page: Page,
) -> Result<(Vec<Inbox>, i64), Error> {
    let cache = &context.cache;
    let state = cache.account(account);
    let marks = cache.marks(cache.freshness(), &state);
    if let Some(marks) = marks {
        let mut session = context.db.read().await?;
        let found = inboxes::page(&mut session, account, page, &marks).await?;
        // Page and total are from the same moment only if no inbox was changed in between.
        let still = cache.marks(cache.freshness(), &state);
        if still.is_some_and(|still| Arc::ptr_eq(&still, &marks)) {
            return Ok((found, marks.total(page.filter)));
        }
    }
    let (found, total) = read(context, account, page).await?;
    if let Some(fill) = cache.begin_marks(cache.freshness(), &state, total) {
        make_marks(context, account, fill).await;
    }
    Ok((found, total))
}

/// Reads a page of a list that may be long, and how many inboxes match.
async fn read(
    context: &Context,
    account: &AccountId,
    page: Page,
) -> Result<(Vec<Inbox>, i64), Error> {
    let (context, account) = (context.clone(), account.clone());
    let read = async move {
        let mut session = context.db.read().await?;
        Ok(inboxes::list(&mut session, &account, page).await?)
    };
    on_blocking_thread(read).await
}

/// Reads the marks of a long list, for later requests.
async fn make_marks(context: &Context, account: &AccountId, fill: MarksFill) {
    let (context, account) = (context.clone(), account.clone());
    let made = on_blocking_thread(async move {
        let mut session = context.db.snapshot().await?;
        let marks = inboxes::marks(&mut session, &account).await?;
        context.cache.fill_marks(fill, marks);
        Ok(())
    });
    if let Err(error) = made.await {
        // The requested page does not need them.
        tracing::warn!(
            cause = error.cause(),
            "the marks of a long list cannot be read"
        );
    }
}
