//! Removing what a deleted inbox held, a bounded number of rows at a time.
//!
//! Which inboxes are deleted is marked in their table: see `inboxes`. When to remove how much is not decided here.
//!
//! Invariant: rows go before the rows that they refer to, so that the data is sound after every step.

use super::statements;
use crate::{
    domain::Channel,
    id::{AccountId, ContactId, ConversationId, InboxId},
};
use db::{Error, Session, Sql, Value};

/// Removes what has the first `$3` keys of an inbox.
macro_rules! remove {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE account_id = $1 AND inbox_id = $2 AND ",
            $key,
            " <= (SELECT last.key FROM (SELECT ",
            $key,
            " AS key FROM ",
            $table,
            " WHERE account_id = $1 AND inbox_id = $2 ORDER BY ",
            $key,
            " LIMIT $3) AS last ORDER BY last.key DESC LIMIT 1)"
        )
    };
}

/// Removes what a contact has, or the contact itself, if it is in no conversation.
macro_rules! of_nobody {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE account_id = $1 AND ",
            $key,
            " = $2 AND NOT EXISTS (SELECT 1 FROM conversations v WHERE v.account_id = $1 AND v.contact_id = $2)"
        )
    };
}

statements! {
    DELETED = "SELECT account_id, id, type FROM inboxes WHERE deleted_at IS NOT NULL ORDER BY account_id, deleted_at";
    // Each piece is a range of keys, which is a walk along one index whatever a planner thinks of the table.
    CHANGES = remove!("message_changes", "provider_id");
    OUTBOX = remove!("outbox", "message_id");
    PROVIDER_IDS = remove!("provider_ids", "provider_id");
    ECHOES = remove!("echoes", "provider_id");
    MESSAGES = remove!("messages", "provider_id");
    QUARANTINE = remove!("quarantine", "body_hash");
    VISITOR_SESSIONS = remove!("ended_visitor_sessions", "session");
    // Without a range of ids SQLite walks along all of the account's conversations.
    FIND_CONVERSATIONS = "SELECT id, contact_id FROM conversations WHERE account_id = $1 AND inbox_id = $2 AND id > ''
        ORDER BY id LIMIT $3";
    DELETE_CONVERSATIONS = "DELETE FROM conversations WHERE account_id = $1 AND inbox_id = $2 AND id <= $3";
    DELETE_ALIASES = "DELETE FROM aliases WHERE account_id = $1 AND survivor_id = $2";
    DELETE_IDENTITIES = of_nobody!("identities", "contact_id");
    // Rows of before there were identities.
    DELETE_FIRST_IDENTITIES = of_nobody!("contact_identities", "contact_id");
    DELETE_CONTACT_ALIASES = of_nobody!("aliases", "survivor_id");
    DELETE_CONTACT = of_nobody!("contacts", "id");
    DELETE_INBOX = "DELETE FROM inboxes WHERE account_id = $1 AND id = $2";
}

/// SQLite has one writer at a time: its write transaction is the lock.
const CLAIM: Sql = Sql {
    sqlite: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NOT NULL",
    postgres: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NOT NULL FOR UPDATE SKIP LOCKED",
};
/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[CLAIM];

/// What belongs to nobody but an inbox, in the order in which it can go. The number is how many rows of the others one is
/// worth: a quarantined update can take megabytes.
const HELD: [(Sql, i64); 7] = [
    (OUTBOX, 1),
    (PROVIDER_IDS, 1),
    (ECHOES, 1),
    (CHANGES, 1),
    (MESSAGES, 1),
    (QUARANTINE, 100),
    (VISITOR_SESSIONS, 1),
];

/// An inbox that is deleted, and still holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub inbox: InboxId,
    /// Of which type.
    pub channel: Channel,
}

impl Deleted {
    fn params(&self) -> [Value<'_>; 2] {
        [(&self.account).into(), (&self.inbox).into()]
    }
}

/// The deleted inboxes of all accounts.
pub async fn list(session: &mut Session) -> Result<Vec<Deleted>, Error> {
    session
        .query(&DELETED, &[], |row| {
            let known = row.text(2)?.parse();
            Ok(Deleted {
                account: AccountId::from_text(row.text(0)?),
                inbox: InboxId::from_text(row.text(1)?),
                channel: known.map_err(|what: &str| Error::Broken(what.to_owned()))?,
            })
        })
        .await
}

/// Takes an inbox for this transaction. False if it is gone, or somebody else has it.
pub async fn claim(session: &mut Session, deleted: &Deleted) -> Result<bool, Error> {
    let params = deleted.params();
    let found = session.query_opt(&CLAIM, &params, |_| Ok(()));
    Ok(found.await?.is_some())
}

/// Removes messages, what happened to them, and what is in quarantine: some `most` rows. How many it was; 0 if there is
/// nothing left.
pub async fn remove_held(
    session: &mut Session,
    deleted: &Deleted,
    most: i64,
) -> Result<i64, Error> {
    let [account, inbox] = deleted.params();
    let mut removed = 0;
    for (statement, worth) in &HELD {
        let rows = (most - removed) / worth;
        if rows == 0 {
            break;
        }
        let gone = session
            .execute(statement, &[account, inbox, rows.into()])
            .await?;
        removed += gone as i64 * worth;
    }
    Ok(removed)
}

/// Removes at most `most` conversations, which must be empty, and the contacts that are in no other. How many
/// conversations it was. Use [`super::inboxes::lock_type`] first: no contact may be given another conversation meanwhile.
pub async fn remove_conversations(
    session: &mut Session,
    deleted: &Deleted,
    most: i64,
) -> Result<i64, Error> {
    let [account, inbox] = deleted.params();
    let params = [account, inbox, most.into()];
    let found = session.query(&FIND_CONVERSATIONS, &params, |row| {
        Ok((
            ConversationId::from_text(row.text(0)?),
            ContactId::from_text(row.text(1)?),
        ))
    });
    let (conversations, mut contacts): (Vec<_>, Vec<_>) = found.await?.into_iter().unzip();
    let Some(last) = conversations.last() else {
        return Ok(0);
    };
    let params = [account, inbox, last.into()];
    session.execute(&DELETE_CONVERSATIONS, &params).await?;
    contacts.sort_unstable();
    let gone: Vec<_> = conversations
        .iter()
        .map(|id| vec![account, id.into()])
        .collect();
    let alone: Vec<_> = contacts
        .iter()
        .map(|contact| vec![account, contact.into()])
        .collect();
    for (statement, runs) in [
        (DELETE_ALIASES, &gone),
        (DELETE_IDENTITIES, &alone),
        (DELETE_FIRST_IDENTITIES, &alone),
        (DELETE_CONTACT_ALIASES, &alone),
        (DELETE_CONTACT, &alone),
    ] {
        session.query_each(&statement, runs, |_| Ok(())).await?;
    }
    Ok(conversations.len() as i64)
}

/// Removes the inbox itself, once it holds nothing.
pub async fn remove_inbox(session: &mut Session, deleted: &Deleted) -> Result<(), Error> {
    session.execute(&DELETE_INBOX, &deleted.params()).await?;
    Ok(())
}
