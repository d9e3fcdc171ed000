//! The words by which a contact is found, and what a search asks for.
//!
//! Case, accents and the forms of letters make no difference. A search of several words asks for contacts that have a word for
//! each of them, which begins with it.
//!
//! Invariant: the words of a contact and of a search are made in the same way.

use crate::{
    error::Error,
    id::{AccountId, ContactId},
    store::contact_words::{self, Change, Said},
};
use db::Session;
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeSet};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The most words of a contact, and the longest, in characters. What is more is not found.
const MOST: usize = 64;
const LONGEST: usize = 64;
/// Greater than every character of a word.
const END: char = '\u{10FFFF}';

/// Writes the words of contacts, which must be locked or new, if they are others than before.
pub(in crate::ops) async fn index(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId)],
) -> Result<(), Error> {
    let said = contact_words::said(session, contacts).await?;
    let words = said.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let all = said.iter().zip(&words);
    let news = all.filter(|(said, words)| said.words.as_ref() != Some(words));
    let changes = news.map(|(said, words)| Change {
        account: &said.account,
        contact: &said.contact,
        before: said.words.as_deref().unwrap_or_default(),
        words,
    });
    contact_words::change(session, &changes.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Removes the words of a contact that will be gone.
pub(in crate::ops) async fn remove(
    session: &mut Session,
    account: &AccountId,
    contact: &ContactId,
) -> Result<(), Error> {
    let said = contact_words::said(session, &[(account, contact)]).await?;
    let changes = said.iter().map(|said| Change {
        account,
        contact,
        before: said.words.as_deref().unwrap_or_default(),
        words: "",
    });
    contact_words::change(session, &changes.collect::<Vec<_>>()).await?;
    Ok(())
}

/// The words of a contact, as they are stored: sorted, with spaces between them.
pub(in crate::ops) fn of(said: &Said) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Known<'a> {
        #[serde(borrow)]
        value: Cow<'a, str>,
    }
    let known: Vec<Known<'_>> = serde_json::from_str(&said.identities)
        .map_err(|error| Error::Internal(format!("a stored contact is damaged: {error}")))?;
    let texts = said.texts.iter().map(String::as_str);
    let texts = texts.chain(known.iter().map(|one| &*one.value));
    let words: BTreeSet<_> = texts.flat_map(split).take(MOST).collect();
    Ok(Vec::from_iter(words).join(" "))
}

/// The words of a text, in its order.
fn split(text: &str) -> Vec<String> {
    let folded: String = text
        .nfkd()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_lowercase)
        .collect();
    let words = folded.split(|character: char| !character.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| word.chars().take(LONGEST).collect())
        .collect()
}

/// The words that a search asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The longest of them, which is looked up.
    first: String,
    others: Vec<String>,
}

impl Wanted {
    /// Reads a search. `None` if it has no word, or more than eight.
    pub fn read(text: &str) -> Option<Self> {
        let is_number =
            |character: char| character.is_ascii_digit() || " +-./()".contains(character);
        // People write numbers in groups.
        let mut words = match text.chars().all(is_number) {
            true => split(&text.replace(|character: char| !character.is_ascii_digit(), "")),
            false => split(text),
        };
        if words.len() > 8 {
            return None;
        }
        let length = |at: &usize| words[*at].len();
        let longest = (0..words.len()).max_by_key(length)?;
        Some(Wanted {
            first: words.swap_remove(longest),
            others: words,
        })
    }

    /// The first word of the index that can be meant, and the end of those.
    pub(super) fn range(&self) -> (&str, String) {
        (&self.first, format!("{}{END}", self.first))
    }

    /// Whether a contact with these words is meant, and is to be listed where it has this word: at the first that is looked up.
    pub(super) fn matches(&self, word: &str, words: &str) -> bool {
        let mut all = words.split(' ');
        let begins = |begin: &String| words.split(' ').any(|word| word.starts_with(begin));
        all.find(|word| word.starts_with(&self.first)) == Some(word)
            && self.others.iter().all(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Vec<String> {
        let mut all = Wanted::read(text).map_or(Vec::new(), |wanted| {
            [vec![wanted.first], wanted.others].concat()
        });
        all.sort();
        all
    }

    #[test]
    fn case_accents_and_forms_make_no_difference() {
        assert_eq!(split("José ÅNGSTRÖM"), ["jose", "angstrom"]);
        assert_eq!(split("ｗｉｄｅ ﬁne ΣΊΣΥΦΟΣ"), ["wide", "fine", "σισυφοσ"]);
        assert_eq!(split("İstanbul ẞ"), ["istanbul", "ß"]);
        assert_eq!(split("山田太郎 Нина"), ["山田太郎", "нина"]);
        assert_eq!(
            split("ayu@toko-biru.example"),
            ["ayu", "toko", "biru", "example"]
        );
        assert_eq!(split("🙂 … '"), [""; 0]);
    }

    #[test]
    fn a_number_is_one_word_however_it_is_written() {
        for number in ["+62 811-1111", "(62) 811.11 11", "628111111"] {
            assert_eq!(wanted(number), ["628111111"]);
        }
        assert_eq!(wanted("Ayu 62"), ["62", "ayu"]);
    }

    #[test]
    fn a_search_has_some_words_and_not_too_many() {
        assert_eq!(Wanted::read("+"), None);
        assert_eq!(Wanted::read("a b c d e f g h i"), None);
        assert_eq!(wanted("a b c d e f g h").len(), 8);
    }

    #[test]
    fn every_word_must_be_there_and_a_contact_is_listed_once() {
        let wanted = Wanted::read("an lee").expect("words");
        assert!(wanted.matches("lee", "ann anna lee"));
        assert!(!wanted.matches("lee", "bo lee"));
        let wanted = Wanted::read("an").expect("a word");
        assert!(wanted.matches("ann", "ann anna"));
        assert!(!wanted.matches("anna", "ann anna"));
    }

    #[test]
    fn a_contact_has_a_bounded_number_of_words() {
        let text = (0..200)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let said = Said {
            account: AccountId::from_text("acc_1"),
            contact: ContactId::from_text("contact_1"),
            texts: vec![text, "x".repeat(500)],
            identities: "[]".to_owned(),
            words: None,
        };
        let words = of(&said).expect("words");
        assert_eq!(words.split(' ').count(), MOST);
        assert_eq!(split(&"x".repeat(500))[0].len(), LONGEST);
    }
}
