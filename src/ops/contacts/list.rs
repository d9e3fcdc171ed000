//! Pages of contacts.
//!
//! Invariant: a page reads at most `MOST_READ` rows of one index, however few contacts are meant.

use super::{Wanted, record};
use crate::{
    error::Error,
    id::{AccountId, ContactId, can_be_id},
    ops::{
        Context,
        page::{Draft, Page, in_turn},
    },
    store::contacts::{self, MOST_READ, Place, Record, Search},
};
use db::Session;

/// How many keys are read at once if the first ones were not enough.
const CHUNK: usize = 250;
/// Greater than any contact's id, since `~` is greater than every character of an id.
const END: &str = "contact_~";

/// Which contacts are listed.
#[derive(Debug, Clone)]
pub enum By {
    /// All, newest first.
    All,
    /// Those with this phone number, newest first.
    Phone(String),
    /// The one with this external id.
    ExternalId(String),
    /// Those with these words, in the order of the word that was found.
    Words(Wanted),
}

/// A place in a list, behind which a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Before this contact.
    Contact(ContactId),
    /// After this word of a contact.
    Word(Place),
}

impl By {
    /// The cursor of the first page.
    fn start(&self) -> Cursor {
        match self {
            By::Words(wanted) => Cursor::Word(Place {
                word: wanted.range().0.to_owned(),
                contact: ContactId::from_text(""),
            }),
            _ => Cursor::Contact(ContactId::from_text(END)),
        }
    }

    /// Reads the cursor that a page of this list returned as `next`. `None` if this is not one.
    pub fn cursor(&self, next: &str) -> Option<Cursor> {
        let id = |text: &str| {
            let can_be = text.starts_with("contact_") && can_be_id(text);
            can_be.then(|| ContactId::from_text(text))
        };
        let By::Words(wanted) = self else {
            return Some(Cursor::Contact(id(next)?));
        };
        let (word, contact) = next.split_once('.')?;
        let (first, end) = wanted.range();
        let fits = word.starts_with(first) && word < end.as_str() && !word.contains('\0');
        Some(Cursor::Word(Place {
            word: fits.then(|| word.to_owned())?,
            contact: id(contact)?,
        }))
    }
}

impl Cursor {
    fn write(&self) -> String {
        match self {
            Cursor::Contact(id) => id.to_string(),
            Cursor::Word(place) => format!("{}.{}", place.word, place.contact),
        }
    }

    fn contact(&self) -> &ContactId {
        match self {
            Cursor::Contact(id) => id,
            Cursor::Word(place) => &place.contact,
        }
    }
}

/// A page of contacts after a cursor; without one, the first page.
pub async fn list(
    context: &Context,
    account: &AccountId,
    by: By,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Page, Error> {
    in_turn(context, account, async move |context, account| {
        page(&context, &account, &by, cursor, limit).await
    })
    .await
}

async fn page(
    context: &Context,
    account: &AccountId,
    by: &By,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Page, Error> {
    let mut session = context.db.read().await?;
    let mut draft = Draft::<Record>::new(limit);
    let mut at = cursor.unwrap_or_else(|| by.start());
    let mut left = MOST_READ;
    let mut chunk = limit as usize + 1;
    loop {
        let asked = chunk.min(left);
        let keys = keys(&mut session, account, by, &at, asked).await?;
        left -= keys.read;
        at = keys.last.unwrap_or(at);
        if !write(&mut session, account, keys.meant, &mut draft).await? {
            break;
        }
        if keys.read < asked {
            return Ok(finish(draft)?);
        }
        if left == 0 {
            let page = finish(draft)?;
            return Ok(Page {
                next: page.next.or(Some(at.write())),
                ..page
            });
        }
        chunk = CHUNK;
    }
    Ok(finish(draft)?)
}

/// Writes the contacts that are shown. False if the page is full.
async fn write(
    session: &mut Session,
    account: &AccountId,
    meant: Vec<Cursor>,
    draft: &mut Draft<Record>,
) -> Result<bool, Error> {
    let ids: Vec<_> = meant.iter().map(|at| at.contact().clone()).collect();
    let mut meant = meant.into_iter();
    for record in contacts::find_each(session, account, &ids).await? {
        let own = meant.find(|at| *at.contact() == record.id);
        if !draft.has_room() {
            return Ok(false);
        }
        let next = own.map_or_else(|| record.id.to_string(), |at| at.write());
        draft.write(next, &record::shown(record)?)?;
    }
    Ok(true)
}

fn finish(draft: Draft<Record>) -> Result<Page, db::Error> {
    draft.finish(Vec::new(), false, |_, _| Ok(()))
}

/// Keys of an index that were read.
struct Keys {
    /// How many.
    read: usize,
    /// The last of them.
    last: Option<Cursor>,
    /// Those whose contact is meant.
    meant: Vec<Cursor>,
}

async fn keys(
    session: &mut Session,
    account: &AccountId,
    by: &By,
    at: &Cursor,
    limit: usize,
) -> Result<Keys, Error> {
    let search = match (by, at) {
        (By::Words(wanted), Cursor::Word(place)) => {
            return places(session, account, wanted, place, limit).await;
        }
        (By::Phone(phone), _) => Search::Phone(phone),
        (By::ExternalId(id), _) => Search::ExternalId(id),
        (By::All | By::Words(_), _) => Search::All,
    };
    let ids = contacts::ids(session, account, search, at.contact(), limit).await?;
    let meant: Vec<_> = ids.into_iter().map(Cursor::Contact).collect();
    Ok(Keys {
        read: meant.len(),
        last: meant.last().cloned(),
        meant,
    })
}

async fn places(
    session: &mut Session,
    account: &AccountId,
    wanted: &Wanted,
    after: &Place,
    limit: usize,
) -> Result<Keys, Error> {
    let (_, end) = wanted.range();
    let places = contacts::places(session, account, after, &end, limit).await?;
    let of = places.iter().map(|place| &place.contact);
    let words = contacts::words_of(session, account, of).await?;
    let (read, last) = (places.len(), places.last().cloned());
    let meant = places.into_iter().zip(words);
    let meant = meant.filter(|(place, words)| wanted.matches(&place.word, words));
    Ok(Keys {
        read,
        last: last.map(Cursor::Word),
        meant: meant.map(|(place, _)| Cursor::Word(place)).collect(),
    })
}
