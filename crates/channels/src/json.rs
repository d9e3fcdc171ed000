//! Reads JSON from senders that may send anything.
//!
//! What the values mean is decided by each channel, not here.
//!
//! Invariant: a value that was read here contains no U+0000 (PostgreSQL cannot store it) and is nested at most
//! [`MAX_DEPTH`] levels deep. Whether one item can be read does not depend on the others. Time and memory are proportional
//! to the number of bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::Moment;

pub(crate) type Object = Map<String, Value>;

/// An object whose values are not parsed yet. For a duplicate key it has the last value.
pub(crate) type Frame<'a> = BTreeMap<String, &'a RawValue>;

/// The deepest nesting of a value. By default, parsers stop at 128 levels. Stored values are shown inside other objects, so
/// they must stay some levels below that.
pub(crate) const MAX_DEPTH: usize = 96;

/// The maximum number of values in one item. Parsed, a value can take a hundred times its bytes. No provider's message has
/// nearly as many.
const MAX_VALUES: usize = 20_000;

/// The maximum number of keys in an object of the envelope. No provider's envelope has nearly as many.
const MAX_KEYS: usize = 1_000;

/// The maximum length of an id, in bytes, which an index of the store has room for. The longest documented ids have 256
/// characters.
const MAX_ID: usize = 512;
const MAX_NAME: usize = 256;
const MAX_PHONE: usize = 15;

/// 9999-12-31T23:59:59Z.
const MAX_SECONDS: i64 = 253_402_300_799;

/// Replaces the parts of a body that a JSON parser refuses, so that they do not make the whole batch unreadable.
///
/// Bytes that are not UTF-8, an unpaired surrogate escape, and U+0000 become U+FFFD. Other control characters inside strings
/// are escaped.
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

/// The length of the escape at the start of `rest`, and its replacement, if it needs one.
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

/// The keys of an object, with their values not parsed yet. `None` if this is not an object, or if it has more than
/// [`MAX_KEYS`] keys.
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
    // The reader's error would cost far more than this look.
    if !raw.trim_start().starts_with('{') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(raw);
    let frame = reader.deserialize_map(Keys).ok()?;
    reader.end().ok().map(|()| frame)
}

/// Calls `read` with each element of an array. An object counts as a list with one element, and `null` as an empty list.
/// Returns false for anything else.
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

/// Parses an object. The error says why it cannot be read.
pub(crate) fn object(raw: &str) -> Result<Object, &'static str> {
    match value(raw)? {
        Value::Object(object) => Ok(object),
        _ => Err("not an object"),
    }
}

/// Parses a value. The error says why it cannot be read.
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

/// Whether a piece of JSON can have more than `most` values.
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

/// JSON inside a string: the parsed value if it is an object or an array, otherwise the string.
pub(crate) fn embedded(text: String) -> Value {
    match value(&repair(text.as_bytes())) {
        Ok(read @ (Value::Object(_) | Value::Array(_))) => read,
        _ => Value::String(text),
    }
}

/// The object of a key.
pub(crate) fn inner<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key)?.as_object()
}

/// The text of a key, which may also be a number.
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

/// The id of a key. It is not empty and at most [`MAX_ID`] bytes long.
pub(crate) fn id(object: &Object, key: &str) -> Option<String> {
    id_of(object.get(key)?)
}

/// A piece of JSON as an id.
pub(crate) fn id_in(raw: &str) -> Option<String> {
    id_of(&value(raw).ok()?)
}

/// The id of a key in an object whose other values may be unreadable.
pub(crate) fn frame_id(frame: &Frame<'_>, key: &str) -> Option<String> {
    id_in(frame.get(key)?.get())
}

/// The moment of a key in an object whose other values may be unreadable.
pub(crate) fn frame_time(frame: &Frame<'_>, key: &str) -> Option<Moment> {
    let time = value(frame.get(key)?.get()).ok()?;
    moment(&Object::from_iter([(key.to_owned(), time)]), key)
}

/// A value as an id. A number of more than 64 bits is not one: it has lost digits, and could be another contact's id.
fn id_of(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => whole(number)?.to_string(),
        _ => return None,
    };
    let fits = !id.is_empty() && id.len() <= MAX_ID;
    fits.then_some(id)
}

/// The whole number of a key, which may also be a text.
pub(crate) fn int(object: &Object, key: &str) -> Option<i64> {
    int_of(object.get(key)?)
}

/// A value as a whole number. It may also be a text.
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

/// The number of a key, which may also be a text.
pub(crate) fn number(object: &Object, key: &str) -> Option<Number> {
    match object.get(key)? {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    }
}

/// Whether a key is true. `false`, `null` and an absent key are the same.
pub(crate) fn flag(object: &Object, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// The time of a key, in seconds since 1970.
pub(crate) fn seconds(object: &Object, key: &str) -> Option<i64> {
    int(object, key).filter(|seconds| (0..=MAX_SECONDS).contains(seconds))
}

/// The moment of a key, in seconds or milliseconds since 1970.
///
/// A number that would be after the year 5138 in seconds is in milliseconds, where it is after March 1973.
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

/// The display name of a key. It is not blank, and cut to [`MAX_NAME`] characters.
pub(crate) fn name(object: &Object, key: &str) -> Option<String> {
    let name = text(object, key)?;
    (!name.trim().is_empty()).then(|| cut(&name, MAX_NAME))
}

/// The user name of a key, without `@`.
pub(crate) fn username(object: &Object, key: &str) -> Option<String> {
    let name = name(object, key)?;
    let name = name.trim().trim_start_matches('@');
    (!name.is_empty()).then(|| name.to_owned())
}

/// A provider's id as a phone number, if it has only digits and not too many.
pub(crate) fn phone(id: &str) -> Option<String> {
    let digits = id.strip_prefix('+').unwrap_or(id);
    let fits = (5..=MAX_PHONE).contains(&digits.len());
    (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("+{digits}"))
}

/// The text, cut to this many characters.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Sets a key, if there is a value.
pub(crate) fn put(object: &mut Object, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

/// Copies the object of a key, if there is one.
pub(crate) fn copy(to: &mut Object, key: &str, from: &Object) {
    put(to, key, inner(from, key).cloned());
}

/// The content of a message that is kept as it came.
pub(crate) fn raw(message: Object) -> Object {
    Object::from_iter([("raw".to_owned(), Value::Object(message))])
}

/// The latitude and longitude of a place.
pub(crate) fn coordinates(place: &Object) -> Option<Object> {
    let (latitude, longitude) = (number(place, "latitude")?, number(place, "longitude")?);
    Some(Object::from_iter([
        ("latitude".to_owned(), latitude.into()),
        ("longitude".to_owned(), longitude.into()),
    ]))
}

#[cfg(test)]
mod tests;
