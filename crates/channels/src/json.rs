//! Reading JSON from somebody who may send anything.
//!
//! Only what every channel needs in order to read values; what they mean is each channel's own
//! business.
//!
//! Invariant: nothing that comes out of here holds U+0000 (PostgreSQL cannot store it) or nests deeper
//! than [`MAX_DEPTH`], and what one item holds never decides whether another one can be read. Reading takes time and
//! memory in proportion to the bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::Moment;

pub(crate) type Object = Map<String, Value>;

/// An object of which only the keys are read yet. Of a key that comes twice, the last value.
pub(crate) type Frame<'a> = BTreeMap<String, &'a RawValue>;

/// Readers stop at 128 levels by default. What is stored is shown again inside other objects, so it has
/// to stay some levels below that.
pub(crate) const MAX_DEPTH: usize = 96;

/// Most values in one item. Read, each takes up to a hundred times the bytes that it is written with; no message of any
/// provider comes near.
const MAX_VALUES: usize = 20_000;

/// Most keys in an object of an envelope. No envelope of any provider comes near.
const MAX_KEYS: usize = 1_000;

/// Longest identifier, in bytes, since a store's index has room for so many. The longest that a provider documents has
/// 256 characters.
const MAX_ID: usize = 512;
const MAX_NAME: usize = 256;
const MAX_PHONE: usize = 15;

/// 9999-12-31T23:59:59Z.
const MAX_SECONDS: i64 = 253_402_300_799;

/// The body as text that a JSON parser can read wherever it can be read at all.
///
/// Three things would otherwise cost a whole batch: bytes that are not UTF-8, a surrogate escape
/// without its partner, and a raw control character inside a string. Together with U+0000 they become
/// U+FFFD (other control characters are escaped).
pub(crate) fn repair(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(text) => repair_escapes(text),
        Cow::Owned(text) => Cow::Owned(repair_escapes(&text).into_owned()),
    }
}

fn repair_escapes(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut in_string = false;
    let mut at = 0;
    while at < bytes.len() {
        let (width, replacement) = match bytes[at] {
            b'"' => {
                in_string = !in_string;
                (1, None)
            }
            b'\\' if in_string => escape(&bytes[at..]),
            0 if in_string => (1, Some("\\ufffd".to_owned())),
            control @ 1..0x20 if in_string => (1, Some(format!("\\u{control:04x}"))),
            _ => (1, None),
        };
        if let Some(replacement) = replacement {
            out.push_str(&text[copied..at]);
            out.push_str(&replacement);
            copied = at + width;
        }
        at += width;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// How long the escape at the start of `rest` is, and what has to stand in its place, if anything.
fn escape(rest: &[u8]) -> (usize, Option<String>) {
    match code_unit(rest) {
        None => (rest.len().min(2), None),
        Some(0) => (6, Some("\\ufffd".to_owned())),
        Some(0xD800..=0xDBFF) => match code_unit(&rest[6..]) {
            Some(0xDC00..=0xDFFF) => (12, None),
            _ => (6, Some("\\ufffd".to_owned())),
        },
        Some(0xDC00..=0xDFFF) => (6, Some("\\ufffd".to_owned())),
        Some(_) => (6, None),
    }
}

/// The value of the `\uXXXX` at the start of `rest`.
fn code_unit(rest: &[u8]) -> Option<u16> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// The keys of an object, each with its value unread. `None` if it is no object, or one with more keys than
/// [`MAX_KEYS`].
pub(crate) fn frame(raw: &str) -> Option<Frame<'_>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Frame<'de>;

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame<'de>, A::Error> {
            let mut frame = Frame::new();
            while let Some((key, value)) = map.next_entry()? {
                frame.insert(key, value);
                if frame.len() > MAX_KEYS {
                    return Err(A::Error::custom("too many keys"));
                }
            }
            Ok(frame)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(raw);
    let frame = reader.deserialize_map(Keys).ok()?;
    reader.end().ok().map(|()| frame)
}

/// Reads each element of an array, without gathering them. An object stands for a list of one, and `null` for an empty
/// list. False if it is none of these.
pub(crate) fn each<'a>(list: &'a RawValue, read: impl FnMut(&'a RawValue)) -> bool {
    struct Elements<F>(F);
    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
        type Value = ();

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(element) = seq.next_element()? {
                (self.0)(element);
            }
            Ok(())
        }
    }
    let mut read = read;
    match list.get().as_bytes() {
        [b'[', ..] => serde_json::Deserializer::from_str(list.get())
            .deserialize_seq(Elements(read))
            .is_ok(),
        [b'{', ..] => {
            read(list);
            true
        }
        b"null" => true,
        _ => false,
    }
}

/// One whole object, or why it cannot be read.
pub(crate) fn object(raw: &str) -> Result<Object, &'static str> {
    match value(raw)? {
        Value::Object(object) => Ok(object),
        _ => Err("not an object"),
    }
}

/// One whole value, or why it cannot be read.
pub(crate) fn value(raw: &str) -> Result<Value, &'static str> {
    if holds_more_than(raw, MAX_VALUES) {
        return Err("more values than a message has");
    }
    let value: Value = serde_json::from_str(raw)
        .map_err(|_| "nested too deeply, a number out of range, or not JSON")?;
    if deeper_than(&value, MAX_DEPTH) {
        return Err("nested too deeply");
    }
    Ok(value)
}

/// Whether there can be more than so many values in a piece of JSON.
fn holds_more_than(raw: &str, most: usize) -> bool {
    if raw.len() < 2 * most {
        return false;
    }
    let mut in_string = false;
    let mut escaped = false;
    let mut values = 1;
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values > most
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Array(items) => items.iter().any(|item| deeper_than(item, below)),
        Value::Object(map) => map.values().any(|item| deeper_than(item, below)),
        _ => false,
    }
}

/// JSON that came inside a string: read, where it is an object or an array; else the string.
pub(crate) fn embedded(text: String) -> Value {
    match value(&repair(text.as_bytes())) {
        Ok(read @ (Value::Object(_) | Value::Array(_))) => read,
        _ => Value::String(text),
    }
}

/// The object under a key.
pub(crate) fn inner<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key)?.as_object()
}

/// The text under a key, also if it came as a number.
pub(crate) fn text(object: &Object, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(match whole(number) {
            Some(whole) => whole.to_string(),
            None => number.to_string(),
        }),
        _ => None,
    }
}

/// The identifier under a key: not empty, and not longer than any identifier is.
pub(crate) fn id(object: &Object, key: &str) -> Option<String> {
    id_of(object.get(key)?)
}

/// The identifier that a piece of JSON is.
pub(crate) fn id_in(raw: &str) -> Option<String> {
    id_of(&value(raw).ok()?)
}

/// The identifier under a key of which the neighbours may be unreadable.
pub(crate) fn frame_id(frame: &Frame<'_>, key: &str) -> Option<String> {
    id_in(frame.get(key)?.get())
}

/// The moment under a key of which the neighbours may be unreadable.
pub(crate) fn frame_time(frame: &Frame<'_>, key: &str) -> Option<Moment> {
    let time = value(frame.get(key)?.get()).ok()?;
    moment(&Object::from_iter([(key.to_owned(), time)]), key)
}

/// A number past 64 bits has lost digits before it gets here: it would be somebody else's id, so it is
/// none.
fn id_of(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => whole(number)?.to_string(),
        _ => return None,
    };
    let fits = !id.is_empty() && id.len() <= MAX_ID;
    fits.then_some(id)
}

/// The whole number under a key, also if it came as text.
pub(crate) fn int(object: &Object, key: &str) -> Option<i64> {
    int_of(object.get(key)?)
}

/// The whole number that a value is, also if it came as text.
pub(crate) fn int_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => whole(number)?.try_into().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(number: &Number) -> Option<i128> {
    /// Above this, neighbouring whole numbers are the same `f64`.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(number) = number.as_i128() {
        return Some(number);
    }
    let number = number.as_f64()?;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i128)
}

/// The number under a key, also if it came as text.
pub(crate) fn number(object: &Object, key: &str) -> Option<Number> {
    match object.get(key)? {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    }
}

/// Whether a key says yes. `false`, `null` and an absent key are all the same.
pub(crate) fn flag(object: &Object, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// The seconds since 1970 under a key.
pub(crate) fn seconds(object: &Object, key: &str) -> Option<i64> {
    int(object, key).filter(|seconds| (0..=MAX_SECONDS).contains(seconds))
}

/// The moment under a key that may hold milliseconds.
///
/// What would be a second after the year 5138 is taken for milliseconds: as such it is later than
/// March 1973.
pub(crate) fn moment(object: &Object, key: &str) -> Option<Moment> {
    const FIRST_MILLIS: i64 = 100_000_000_000;
    let time = int(object, key)?;
    let moment = if time >= FIRST_MILLIS {
        Moment {
            seconds: time / 1000,
            millis: time % 1000,
        }
    } else {
        Moment::seconds(time)
    };
    (0..=MAX_SECONDS)
        .contains(&moment.seconds)
        .then_some(moment)
}

/// A display name under a key: not blank, and cut where no honest name ends.
pub(crate) fn name(object: &Object, key: &str) -> Option<String> {
    let name = text(object, key)?;
    (!name.trim().is_empty()).then(|| cut(&name, MAX_NAME))
}

/// A user name under a key, without `@`.
pub(crate) fn username(object: &Object, key: &str) -> Option<String> {
    let name = name(object, key)?;
    let name = name.trim().trim_start_matches('@');
    (!name.is_empty()).then(|| name.to_owned())
}

/// The phone number that a provider's id is, if it is one: nothing but digits, and not too many.
pub(crate) fn phone(id: &str) -> Option<String> {
    let digits = id.strip_prefix('+').unwrap_or(id);
    let fits = (5..=MAX_PHONE).contains(&digits.len());
    (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("+{digits}"))
}

/// At most the first so many characters.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Puts a value under a key, where there is one.
pub(crate) fn put(object: &mut Object, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests;
