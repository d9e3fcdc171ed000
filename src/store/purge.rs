//! Removing what a deleted inbox held, a bounded number of rows at a time.
//!
//! Which inboxes are deleted is marked in their table: see `inboxes`. When to remove how much is not decided here.
//!
//! Invariant: rows go before the rows that they refer to, so that the data is sound after every step.

use super::statements;
use crate::id::{AccountId, ContactId, ConversationId, InboxId};
use db::{Each, Error, Session, Sql, Value};

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

statements! {
    DELETED = "SELECT account_id, id FROM inboxes WHERE deleted_at IS NOT NULL ORDER BY account_id, deleted_at";
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
    DELETE_IDENTITIES = "DELETE FROM identities WHERE account_id = $1 AND contact_id = $2";
    // Rows of before there were identities.
    DELETE_FIRST_IDENTITIES = "DELETE FROM contact_identities WHERE account_id = $1 AND contact_id = $2";
    DELETE_EXTERNAL_IDS = "DELETE FROM external_ids WHERE account_id = $1 AND contact_id = $2";
    DELETE_WORD = "DELETE FROM contact_words WHERE account_id = $1 AND word = $2 AND contact_id = $3";
    DELETE_CONTACT = "DELETE FROM contacts WHERE account_id = $1 AND id = $2";
    DELETE_INBOX = "DELETE FROM inboxes WHERE account_id = $1 AND id = $2";
}

/// SQLite has one writer at a time: its write transaction is the lock.
const CLAIM: Sql = Sql {
    sqlite: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NOT NULL",
    postgres: "SELECT id FROM inboxes WHERE account_id = $1 AND id = $2 AND deleted_at IS NOT NULL FOR UPDATE SKIP LOCKED",
};
/// A contact that nobody has a conversation with any more, and that the business has not saved.
macro_rules! alone {
    ($lock:literal) => {
        concat!(
            "SELECT c.words AS words FROM contacts c WHERE c.account_id = $1 AND c.id = $2 AND c.saved = 0
             AND NOT EXISTS (SELECT 1 FROM conversations v WHERE v.account_id = $1 AND v.contact_id = $2)",
            $lock
        )
    };
}
const ALONE: Sql = Sql {
    sqlite: alone!(""),
    postgres: alone!(" FOR UPDATE OF c"),
};
/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[CLAIM, ALONE];
/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(ALONE)];

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
            Ok(Deleted {
                account: AccountId::from_text(row.text(0)?),
                inbox: InboxId::from_text(row.text(1)?),
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

/// Removes at most `most` conversations, which must be empty, and the contacts that are in no other and were not saved. How many
/// conversations it was. Use [`super::inboxes::lock_all`] first: no contact may be given another conversation meanwhile.
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
    contacts.dedup();
    let gone: Vec<_> = conversations
        .iter()
        .map(|id| vec![account, id.into()])
        .collect();
    session
        .query_each(&DELETE_ALIASES, &gone, |_| Ok(()))
        .await?;
    remove_alone(session, account, &contacts).await?;
    Ok(conversations.len() as i64)
}

/// Removes those of these contacts, which must be sorted, that are in no conversation.
async fn remove_alone(
    session: &mut Session,
    account: Value<'_>,
    contacts: &[ContactId],
) -> Result<(), Error> {
    let asked: Vec<_> = contacts
        .iter()
        .map(|contact| vec![account, contact.into()])
        .collect();
    let found = session.find_each(&ALONE, &asked, |row| row.get::<Option<String>>(0));
    let alone: Vec<_> = contacts.iter().zip(found.await?).collect();
    let alone = alone
        .iter()
        .filter_map(|(contact, words)| Some((*contact, words.first()?)));
    let (mut runs, mut of_words) = (Vec::new(), Vec::new());
    for (contact, words) in alone {
        runs.push(vec![account, contact.into()]);
        let words = words.as_deref().unwrap_or_default().split_whitespace();
        of_words.extend(words.map(|word| vec![account, word.into(), contact.into()]));
    }
    for (statement, runs) in [
        (DELETE_IDENTITIES, &runs),
        (DELETE_FIRST_IDENTITIES, &runs),
        (DELETE_EXTERNAL_IDS, &runs),
        (DELETE_ALIASES, &runs),
        (DELETE_WORD, &of_words),
        (DELETE_CONTACT, &runs),
    ] {
        session.query_each(&statement, runs, |_| Ok(())).await?;
    }
    Ok(())
}

/// Removes the inbox itself, once it holds nothing.
pub async fn remove_inbox(session: &mut Session, deleted: &Deleted) -> Result<(), Error> {
    session.execute(&DELETE_INBOX, &deleted.params()).await?;
    Ok(())
}
