//! The formatting of a Telegram text: bold text, links, mentions and so on.
//!
//! Source: <https://core.telegram.org/bots/api#messageentity>.
//!
//! Invariant: offsets and lengths count Unicode code points of the stored text, and lie within it. Telegram counts UTF-16
//! units.

use serde_json::Value;

use crate::json::{self, Object, put};

/// Telegram's names of the formatting that is kept, with our names. Everything else that Telegram marks (hashtags, plain
/// addresses, commands) can be found in the text itself.
const KINDS: [(&str, &str); 13] = [
    ("bold", "bold"),
    ("italic", "italic"),
    ("underline", "underline"),
    ("strikethrough", "strikethrough"),
    ("spoiler", "spoiler"),
    ("blockquote", "blockquote"),
    ("expandable_blockquote", "blockquote"),
    ("code", "code"),
    ("pre", "pre"),
    ("text_link", "link"),
    ("mention", "mention"),
    ("text_mention", "mention"),
    ("custom_emoji", "custom_emoji"),
];

/// The formatting of a text, if it has any: a list of objects with `type`, `offset` and `length`, and depending on the type
/// `url` (link), `language` (pre) or `user` (mention of a person without a user name).
pub(super) fn read(text: &str, entities: Option<&Value>) -> Option<Value> {
    let positions = Positions::of(text);
    let entities = entities?.as_array()?.iter().filter_map(Value::as_object);
    let read: Vec<Value> = entities
        .filter_map(|entity| one(entity, &positions))
        .map(Value::Object)
        .collect();
    (!read.is_empty()).then(|| read.into())
}

fn one(entity: &Object, positions: &Positions) -> Option<Object> {
    let name = json::id(entity, "type")?;
    let (_, kind) = KINDS.iter().find(|(theirs, _)| *theirs == name)?;
    let start = json::int(entity, "offset")?;
    let end = start.checked_add(json::int(entity, "length")?)?;
    let (start, end) = (positions.code_points(start)?, positions.code_points(end)?);
    if start >= end {
        return None;
    }
    let mut read = Object::from_iter([
        ("type".to_owned(), (*kind).into()),
        ("offset".to_owned(), start.into()),
        ("length".to_owned(), (end - start).into()),
    ]);
    match name.as_str() {
        "text_link" => put(&mut read, "url", Some(json::text(entity, "url")?)),
        "pre" => put(&mut read, "language", json::text(entity, "language")),
        "text_mention" => {
            let user = json::inner(entity, "user")?;
            let mut who = Object::new();
            put(&mut who, "id", json::id(user, "id"));
            put(&mut who, "name", super::full_name(user));
            put(&mut read, "user", Some(who));
        }
        "custom_emoji" => put(&mut read, "id", json::id(entity, "custom_emoji_id")),
        _ => {}
    }
    Some(read)
}

/// Converts positions in UTF-16 units to positions in code points.
struct Positions {
    /// The positions of characters that take two units, in units.
    wide: Vec<usize>,
    /// The length of the text, in units.
    end: usize,
}

impl Positions {
    fn of(text: &str) -> Positions {
        let mut wide = Vec::new();
        let mut end = 0;
        for character in text.chars() {
            if character.len_utf16() == 2 {
                wide.push(end);
            }
            end += character.len_utf16();
        }
        Positions { wide, end }
    }

    /// The position in code points. `None` beyond the text's end.
    fn code_points(&self, units: i64) -> Option<usize> {
        let units = usize::try_from(units).ok()?;
        let wide_before = self.wide.partition_point(|start| *start < units);
        (units <= self.end).then(|| units - wide_before)
    }
}
