//! Listing inboxes: a page of any list costs what its rows cost, however long the list is.
//!
//! Pages that are cached as finished answers are not looked for here: see `api::inboxes`.
//!
//! Invariant: page and total are of one moment.

use crate::{
    cache::MarksFill,
    domain::Inbox,
    error::Error,
    id::AccountId,
    ops::Context,
    store::inboxes::{self, Page},
};
use std::sync::Arc;
use tokio::{runtime::Handle, task::spawn_blocking};

/// A page of the inboxes that match, by creation time and then id, and how many match in all.
pub async fn list(
    context: &Context,
    account: &AccountId,
    page: Page,
) -> Result<(Vec<Inbox>, i64), Error> {
    let cache = &context.cache;
    let state = cache.account(account);
    let marks = cache.marks(cache.freshness(), &state);
    let mut session = context.db.read().await?;
    if let Some(marks) = marks {
        let found = inboxes::page(&mut session, account, page, &marks).await?;
        // Page and total are of one moment only if no inbox was changed in between.
        let still = cache.marks(cache.freshness(), &state);
        if still.is_some_and(|still| Arc::ptr_eq(&still, &marks)) {
            return Ok((found, marks.total(page.filter)));
        }
    }
    let (found, total) = inboxes::list(&mut session, account, page).await?;
    drop(session);
    if let Some(fill) = cache.begin_marks(cache.freshness(), &state, total) {
        make_marks(context, account, fill).await;
    }
    Ok((found, total))
}

/// Makes the marks of a long list, for the pages to come.
async fn make_marks(context: &Context, account: &AccountId, fill: MarksFill) {
    let (context, account) = (context.clone(), account.clone());
    let runtime = Handle::current();
    let make = async move {
        let mut session = context.db.snapshot().await?;
        let marks = inboxes::marks(&mut session, &account).await?;
        context.cache.fill_marks(fill, marks);
        Ok::<_, Error>(())
    };
    // On SQLite it would block this thread for as long as it takes.
    let made = spawn_blocking(move || runtime.block_on(make)).await;
    let made = made.unwrap_or_else(|error| Err(Error::Internal(error.to_string())));
    if let Err(error) = made {
        // The page that was asked for is right without them.
        tracing::warn!(cause = error.cause(), "a long list gets no marks");
    }
}
