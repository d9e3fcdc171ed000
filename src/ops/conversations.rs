//! Reading conversations.

use super::{Context, found, messages};
use crate::{
    domain::{Contact, Conversation},
    error::Error,
    id::{AccountId, ConversationId, InboxId},
    store::{
        conversations::{self, Stored},
        inboxes,
        messages::Thread,
    },
};
use db::Session;

/// One conversation.
pub async fn get(
    context: &Context,
    account: &AccountId,
    id: &ConversationId,
) -> Result<Conversation, Error> {
    let mut session = context.db.snapshot().await?;
    let stored = conversations::find(&mut session, account, id).await?;
    whole(&mut session, account, found(stored, "conversation")?).await
}

/// A page of conversations, the newest first by when they began, and whether there are older ones. That order never
/// changes, so a walk through the pages misses none and meets none twice, whatever arrives meanwhile.
pub async fn list(
    context: &Context,
    account: &AccountId,
    inbox: Option<&InboxId>,
    status: Option<&str>,
    cursor: Option<&ConversationId>,
    limit: i64,
) -> Result<(Vec<Conversation>, bool), Error> {
    let mut session = context.db.snapshot().await?;
    if let Some(inbox) = inbox {
        found(inboxes::find(&mut session, account, inbox).await?, "inbox")?;
    }
    // Greater than any id: "conv_" and a digit come before it.
    let end = ConversationId::from_text("conv_~");
    let before = cursor.unwrap_or(&end);
    let mut page =
        conversations::before(&mut session, account, inbox, status, before, limit + 1).await?;
    let has_more = page.len() as i64 > limit;
    page.truncate(usize::try_from(limit).unwrap_or(0));
    let mut whole_page = Vec::with_capacity(page.len());
    for stored in page {
        whole_page.push(whole(&mut session, account, stored).await?);
    }
    Ok((whole_page, has_more))
}

async fn whole(
    session: &mut Session,
    account: &AccountId,
    stored: Stored,
) -> Result<Conversation, Error> {
    let thread = Thread::Conversation(stored.id.clone());
    let contact = stored.contact;
    Ok(Conversation {
        last_message: messages::newest(session, account, &thread).await?,
        id: stored.id,
        inbox_id: stored.inbox,
        contact: Contact {
            id: contact.id,
            name: contact.name,
            phone: contact.phone,
            username: contact.username,
            is_group: contact.is_group,
            blocked_at: contact.blocked_at,
        },
        status: stored.status,
        messages_count: stored.messages_count,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    })
}
