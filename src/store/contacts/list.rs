//! The order in which contacts are listed: walks along an index that read keys only.
//!
//! What is shown of each is in `record`. How many keys a page may read is [`MOST_READ`].
//!
//! Invariant: a walk reads no more rows than its limit.

use crate::{
    id::{AccountId, ContactId},
    store::statements,
};
use db::{Each, Error, Row, Session, Value};

/// The most keys that one page reads. A page that finds too little among them ends early.
pub const MOST_READ: usize = 2000;

statements! {
    OF_ACCOUNT = "SELECT id FROM contacts WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    OF_PHONE = "SELECT id FROM contacts WHERE account_id = $1 AND phone = $2 AND id < $3 ORDER BY id DESC LIMIT $4";
    OF_EXTERNAL_ID = "SELECT contact_id FROM external_ids WHERE account_id = $1 AND external_id = $2 AND contact_id < $3 LIMIT $4";
    OF_WORD = "SELECT word, contact_id FROM contact_words WHERE account_id = $1 AND word < $2 AND (word, contact_id) > ($3, $4)
        ORDER BY word, contact_id LIMIT $5";
    WORDS = "SELECT words FROM contacts WHERE account_id = $1 AND id = $2";
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(WORDS)];

/// Which contacts are listed, newest first.
#[derive(Debug, Clone, Copy)]
pub enum Search<'a> {
    /// All of them.
    All,
    /// Those with this phone number, E.164 with `+`.
    Phone(&'a str),
    /// The one with this id of the business.
    ExternalId(&'a str),
}

/// The next contacts before this one.
pub async fn ids(
    session: &mut Session,
    account: &AccountId,
    search: Search<'_>,
    before: &ContactId,
    limit: usize,
) -> Result<Vec<ContactId>, Error> {
    let (statement, value) = match search {
        Search::All => (&OF_ACCOUNT, None),
        Search::Phone(phone) => (&OF_PHONE, Some(phone)),
        Search::ExternalId(id) => (&OF_EXTERNAL_ID, Some(id)),
    };
    let mut params: Vec<Value<'_>> = vec![account.into()];
    params.extend(value.map(Value::from));
    params.extend([Value::from(before), (limit as i64).into()]);
    let id = |row: &Row<'_>| Ok(ContactId::from_text(row.text(0)?));
    session.query(statement, &params, id).await
}

/// A word of a contact: a place in the order of words, and among equal ones, of contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The word.
    pub word: String,
    /// The contact.
    pub contact: ContactId,
}

/// The next words after a place, below the word `end`.
pub async fn places(
    session: &mut Session,
    account: &AccountId,
    after: &Place,
    end: &str,
    limit: usize,
) -> Result<Vec<Place>, Error> {
    let params = [
        account.into(),
        end.into(),
        after.word.as_str().into(),
        (&after.contact).into(),
        (limit as i64).into(),
    ];
    session
        .query(&OF_WORD, &params, |row| {
            Ok(Place {
                word: row.get(0)?,
                contact: ContactId::from_text(row.text(1)?),
            })
        })
        .await
}

/// All words of each of these contacts, with spaces between them. Empty for one that is gone.
pub async fn words_of(
    session: &mut Session,
    account: &AccountId,
    contacts: impl Iterator<Item = &ContactId>,
) -> Result<Vec<String>, Error> {
    let runs: Vec<_> = contacts
        .map(|contact| vec![account.into(), contact.into()])
        .collect();
    let found = session.find_each(&WORDS, &runs, |row| row.get::<Option<String>>(0));
    let found = found.await?.into_iter();
    Ok(found
        .map(|rows| rows.into_iter().next().flatten().unwrap_or_default())
        .collect())
}
