//! The `accounts` table.
//!
//! Invariant: an account's id sorts by its creation time.

use super::{aliases::survivor, statements};
use crate::{
    domain::Account,
    id::{AccountId, ContactId, ConversationId, InboxId, KeyId, MessageId, QuarantineId},
};
use db::{Each, Error, Row, Session, Sql, Value};

statements! {
    INSERT = "INSERT INTO accounts (account_id, name, created_at) VALUES ($1, $2, $3)";
    LIST = "SELECT account_id, name, created_at FROM accounts ORDER BY account_id";
    FIRST = "SELECT account_id, name, created_at FROM accounts ORDER BY account_id LIMIT 2";
    FIND = "SELECT account_id, name, created_at FROM accounts WHERE account_id = $1";
    // One look-up per account, along its index. A look-up in all accounts at once would read the whole table.
    HOLDS_KEY = "SELECT account_id FROM api_keys WHERE account_id = $1 AND id = $2";
    HOLDS_INBOX = "SELECT account_id FROM inboxes WHERE account_id = $1 AND id = $2";
    HOLDS_CONVERSATION = concat!("SELECT account_id FROM conversations WHERE account_id = $1 AND id = ", survivor!("$2"));
    HOLDS_CONTACT = concat!("SELECT account_id FROM contacts WHERE account_id = $1 AND id = ", survivor!("$2"));
    HOLDS_MESSAGE = "SELECT account_id FROM messages WHERE account_id = $1 AND id = $2";
    HOLDS_QUARANTINED = "SELECT account_id FROM quarantine WHERE account_id = $1 AND id = $2";
}

/// SQLite has one writer at a time: its write transaction is the lock.
const LOCK: Sql = Sql {
    sqlite: "SELECT account_id FROM accounts WHERE account_id = $1",
    postgres: "SELECT account_id FROM accounts WHERE account_id = $1 FOR NO KEY UPDATE",
};
/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[LOCK];
/// The statements that run many times at once.
pub(super) const EACH: &[Each] = &[
    Each::Find(HOLDS_KEY),
    Each::Find(HOLDS_INBOX),
    Each::Find(HOLDS_CONVERSATION),
    Each::Find(HOLDS_CONTACT),
    Each::Find(HOLDS_MESSAGE),
    Each::Find(HOLDS_QUARANTINED),
];

/// Something that belongs to an account, by its id.
#[derive(Debug, Clone, Copy)]
pub enum Thing<'a> {
    /// An API key.
    Key(&'a KeyId),
    /// An inbox.
    Inbox(&'a InboxId),
    /// A conversation, or one that was joined with it.
    Conversation(&'a ConversationId),
    /// A contact, or one that was joined with it.
    Contact(&'a ContactId),
    /// A message.
    Message(&'a MessageId),
    /// A quarantined update.
    Quarantined(&'a QuarantineId),
}

/// Adds an account.
pub async fn insert(session: &mut Session, account: &Account) -> Result<(), Error> {
    let row = [
        (&account.id).into(),
        (&account.name).into(),
        account.created_at.into(),
    ];
    session.execute(&INSERT, &row).await?;
    Ok(())
}

/// All accounts, oldest first.
pub async fn list(session: &mut Session) -> Result<Vec<Account>, Error> {
    session.query(&LIST, &[], read).await
}

/// The two oldest accounts: enough to know whether there is none, one, or several.
pub async fn first_two(session: &mut Session) -> Result<Vec<Account>, Error> {
    session.query(&FIRST, &[], read).await
}

/// One account.
pub async fn find(session: &mut Session, id: &AccountId) -> Result<Option<Account>, Error> {
    session.query_opt(&FIND, &[id.into()], read).await
}

/// Holds off every other transaction that locks this account, until this one ends. It is the last that a transaction locks.
pub async fn lock(session: &mut Session, id: &AccountId) -> Result<(), Error> {
    session.query(&LOCK, &[id.into()], |_| Ok(())).await?;
    Ok(())
}

/// The one of these accounts that owns the thing.
pub async fn find_holder(
    session: &mut Session,
    accounts: &[Account],
    thing: Thing<'_>,
) -> Result<Option<AccountId>, Error> {
    let (statement, id) = match thing {
        Thing::Key(id) => (&HOLDS_KEY, id.as_str()),
        Thing::Inbox(id) => (&HOLDS_INBOX, id.as_str()),
        Thing::Conversation(id) => (&HOLDS_CONVERSATION, id.as_str()),
        Thing::Contact(id) => (&HOLDS_CONTACT, id.as_str()),
        Thing::Message(id) => (&HOLDS_MESSAGE, id.as_str()),
        Thing::Quarantined(id) => (&HOLDS_QUARANTINED, id.as_str()),
    };
    let runs: Vec<Vec<Value<'_>>> = accounts
        .iter()
        .map(|account| vec![(&account.id).into(), id.into()])
        .collect();
    let found = session.find_each(statement, &runs, |row| row.get::<String>(0));
    let holder = found.await?.into_iter().flatten().next();
    Ok(holder.map(AccountId::from_text))
}

fn read(row: &Row<'_>) -> Result<Account, Error> {
    Ok(Account {
        id: AccountId::from_text(row.get::<String>(0)?),
        name: row.get(1)?,
        created_at: row.get(2)?,
    })
}
