//! The `contact_words` table: the words by which contacts are found.
//!
//! Which words a contact has is decided by `ops::contacts`.
//!
//! Invariant: a contact has the words that it says it has (`contacts.words`). Until it says so, it has none.

use super::statements;
use crate::id::{AccountId, ContactId};
use db::{Each, Error, Row, Session, Value};

statements! {
    SAID = "SELECT account_id AS account, id AS contact, name AS name, phone AS phone, username AS username, email AS email,
            identities AS identities, words AS words
        FROM contacts WHERE account_id = $1 AND id = $2";
    ALL_SAID = "SELECT account_id, id, name, phone, username, email, identities, words FROM contacts WHERE words IS NOT NULL";
    SET = "UPDATE contacts SET words = $1 WHERE account_id = $2 AND id = $3";
    INSERT = "INSERT INTO contact_words (account_id, word, contact_id) VALUES ($1, $2, $3)
        ON CONFLICT (account_id, word, contact_id) DO NOTHING";
    DELETE = "DELETE FROM contact_words WHERE account_id = $1 AND word = $2 AND contact_id = $3";
    WITHOUT = "SELECT account_id, id FROM contacts WHERE words IS NULL ORDER BY account_id, id LIMIT 500";
}

/// Those that read all data.
pub(super) const OF_ALL: &[db::Sql] = &[ALL_SAID];

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(SAID), Each::Update(SET), Each::Insert(INSERT)];

/// What a contact's words come from, and the words that it has.
#[derive(Debug)]
pub struct Said {
    /// Whose.
    pub account: AccountId,
    /// Which contact.
    pub contact: ContactId,
    /// Name, phone number, user name and e-mail address, those that there are.
    pub texts: Vec<String>,
    /// Its identities, as they are shown: a JSON list.
    pub identities: String,
    /// Its words, sorted, with spaces between them. `None` if they were never written.
    pub words: Option<String>,
}

/// What these contacts say.
pub async fn said(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId)],
) -> Result<Vec<Said>, Error> {
    let runs: Vec<_> = contacts
        .iter()
        .map(|(account, contact)| vec![(*account).into(), (*contact).into()])
        .collect();
    let found = session.find_each(&SAID, &runs, read).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Shows every contact of the server that has words to `each`.
pub async fn all_said(session: &mut Session, mut each: impl FnMut(Said)) -> Result<(), Error> {
    session
        .query(&ALL_SAID, &[], |row| {
            each(read(row)?);
            Ok(())
        })
        .await?;
    Ok(())
}

/// New words of a contact.
#[derive(Debug)]
pub struct Change<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// Which contact.
    pub contact: &'a ContactId,
    /// The words that it had.
    pub before: &'a str,
    /// The words that it has now.
    pub words: &'a str,
}

/// Gives contacts new words. Lock them before.
pub async fn change(session: &mut Session, changes: &[Change<'_>]) -> Result<(), Error> {
    fn row<'a>(change: &Change<'a>, word: &'a str) -> Vec<Value<'a>> {
        vec![change.account.into(), word.into(), change.contact.into()]
    }
    let (mut lost, mut new, mut set) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let (before, words) = (list(change.before), list(change.words));
        let gone = before.iter().filter(|word| !words.contains(word));
        lost.extend(gone.map(|word| row(change, word)));
        let more = words.iter().filter(|word| !before.contains(word));
        new.extend(more.map(|word| row(change, word)));
        set.push(vec![
            change.words.into(),
            change.account.into(),
            change.contact.into(),
        ]);
    }
    session.query_each(&DELETE, &lost, |_| Ok(())).await?;
    session.insert_each(&INSERT, &new, |_| Ok(())).await?;
    session.update_each(&SET, &set).await
}

/// Contacts whose words were never written, of all accounts, at most 500.
pub async fn without(session: &mut Session) -> Result<Vec<(AccountId, ContactId)>, Error> {
    session
        .query(&WITHOUT, &[], |row| {
            Ok((
                AccountId::from_text(row.text(0)?),
                ContactId::from_text(row.text(1)?),
            ))
        })
        .await
}

fn list(words: &str) -> Vec<&str> {
    words.split(' ').filter(|word| !word.is_empty()).collect()
}

fn read(row: &Row<'_>) -> Result<Said, Error> {
    let mut texts = Vec::new();
    for column in 2..6 {
        texts.extend(row.get::<Option<String>>(column)?);
    }
    Ok(Said {
        account: AccountId::from_text(row.text(0)?),
        contact: ContactId::from_text(row.text(1)?),
        texts,
        identities: row.get(6)?,
        words: row.get(7)?,
    })
}
