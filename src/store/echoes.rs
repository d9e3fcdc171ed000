//! The `echoes` table: messages of the business that a provider showed while one of ours may have been under way.
//!
//! Whether they are that one is not decided here.

use super::{messages::Key, statements};
use crate::{
    domain::Channel,
    id::{AccountId, ConversationId, InboxId},
};
use db::{Error, Session, Value};

statements! {
    INSERT = "INSERT INTO echoes (account_id, inbox_id, provider_id, conversation_id, message, received_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, inbox_id, provider_id) DO NOTHING";
    BEFORE = "SELECT e.account_id, e.inbox_id, e.provider_id, e.conversation_id, e.message, i.type
        FROM echoes e JOIN inboxes i ON i.account_id = e.account_id AND i.id = e.inbox_id
        WHERE e.received_at <= $1 ORDER BY e.received_at LIMIT $2";
    FOLLOW = "UPDATE echoes SET conversation_id = $1 WHERE account_id = $2 AND inbox_id = $3 AND conversation_id = $4";
    DELETE = "DELETE FROM echoes WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3";
}

/// A message that was kept aside.
#[derive(Debug)]
pub struct Echo {
    /// Whose.
    pub account: AccountId,
    /// In which inbox.
    pub inbox: InboxId,
    /// The provider's id of it.
    pub provider_id: String,
    /// In which conversation.
    pub conversation: ConversationId,
    /// What the update said: JSON.
    pub message: String,
    /// The inbox's type.
    pub channel: Channel,
}

/// Keeps a message aside.
pub async fn insert(
    session: &mut Session,
    id: &Key<'_>,
    conversation: &ConversationId,
    message: &str,
    now: i64,
) -> Result<(), Error> {
    let mut row = id.params();
    row.extend([Value::from(conversation), message.into(), now.into()]);
    session.execute(&INSERT, &row).await?;
    Ok(())
}

/// What was kept aside before this time, in seconds since 1970: the oldest first.
pub async fn before(session: &mut Session, time: i64, most: i64) -> Result<Vec<Echo>, Error> {
    session
        .query(&BEFORE, &[time.into(), most.into()], |row| {
            let channel = row.text(5)?.parse();
            Ok(Echo {
                account: AccountId::from_text(row.text(0)?),
                inbox: InboxId::from_text(row.text(1)?),
                provider_id: row.get(2)?,
                conversation: ConversationId::from_text(row.text(3)?),
                message: row.get(4)?,
                channel: channel.map_err(|what: &str| Error::Broken(what.to_owned()))?,
            })
        })
        .await
}

/// Moves what was kept aside of one conversation of an inbox to another.
pub async fn follow(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    from: &ConversationId,
    to: &ConversationId,
) -> Result<(), Error> {
    let params = [to.into(), account.into(), inbox.into(), from.into()];
    session.execute(&FOLLOW, &params).await?;
    Ok(())
}

/// Removes those of these that are there.
pub async fn delete_each(session: &mut Session, ids: &[Key<'_>]) -> Result<(), Error> {
    let runs: Vec<_> = ids.iter().map(Key::params).collect();
    session.query_each(&DELETE, &runs, |_| Ok(())).await?;
    Ok(())
}

/// Removes one. False if it was gone.
pub async fn delete(session: &mut Session, id: &Key<'_>) -> Result<bool, Error> {
    Ok(session.execute(&DELETE, &id.params()).await? > 0)
}
