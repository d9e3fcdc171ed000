//! Deletes an inbox. From then on, neither the inbox nor its data can be found.
//!
//! `ops::purge` then removes its data.
//!
//! Invariant: an inbox with messages is deleted only if the caller says so explicitly.

use super::inbox_event;
use crate::{
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId},
    ops::{
        Context,
        events::What,
        found,
        idempotency::{Request, commit_answer},
        purge,
        transaction::again,
    },
    store::{addresses, inboxes, purge::Deleted, secrets},
};

/// Deletes an inbox. An inbox with messages is deleted only if `with_messages` is true. Its data is then removed in the
/// background, or by a command before it ends.
pub async fn delete(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    with_messages: bool,
    request: Option<&Request>,
) -> Result<(), Error> {
    again(|| async {
        let mut session = context.db.write().await?;
        // From now on no update can store anything in it.
        inboxes::lock(&mut session, &[(account, id)]).await?;
        let inbox = found(inboxes::find(&mut session, account, id).await?, "inbox")?;
        if inbox.messages_count > 0 && !with_messages {
            return Err(Error::Conflict(
                Reason::HasMessages,
                format!("Messages in this inbox: {}", inbox.messages_count),
            ));
        }
        addresses::release_but(&mut session, id, "").await?;
        secrets::delete_all(&mut session, account, id).await?;
        inboxes::mark_deleted(&mut session, account, id, context.clock.now()).await?;
        let change = EventId::new(&context.clock);
        let changes = inbox_event(account, id, change, What::InboxDeleted);
        commit_answer(context, session, changes, request, &()).await?;
        Ok(())
    })
    .await?;
    if !context.command {
        context.inbox_deleted.notify_one();
        return Ok(());
    }
    let deleted = Deleted {
        account: account.clone(),
        inbox: id.clone(),
    };
    if let Err(error) = purge::finish(context, &deleted).await {
        // The inbox is deleted nevertheless.
        let cause = error.cause();
        tracing::warn!(
            cause,
            "the data of a deleted inbox will be removed by the next server"
        );
    }
    Ok(())
}
