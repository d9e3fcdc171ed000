//! What WhatsApp and Instagram deliveries have in common: the envelope.
//!
//! Not the place for anything that only one of them has.
//!
//! Invariant: nothing is read deeper than the frame needs, so that an unreadable item stays one item.

use serde_json::value::RawValue;

use crate::{Item, Malformed, json};

/// How many addresses are worth trying for a body that cannot be parsed.
const MAX_ADDRESSES: usize = 64;

/// The entries of a delivery, unread.
pub(crate) fn entries(body: &str) -> Result<Vec<&RawValue>, Malformed> {
    let frame = json::frame(body).ok_or_else(|| malformed("not a JSON object"))?;
    let entries = frame
        .get("entry")
        .ok_or_else(|| malformed("without an entry"))?;
    serde_json::from_str(entries.get()).map_err(|_| malformed("entry is not a list"))
}

fn malformed(reason: &str) -> Malformed {
    Malformed {
        reason: reason.to_owned(),
    }
}

/// An item for quarantine.
pub(crate) fn unreadable(reason: impl Into<String>, raw: &RawValue) -> Item {
    Item::Unreadable {
        reason: reason.into(),
        raw: raw.get().to_owned(),
    }
}

/// The values that stand behind a key anywhere in a body that need not be JSON: strings or plain
/// numbers of at most 64 ASCII letters and digits, each once, the first [`MAX_ADDRESSES`].
///
/// Whoever is found still has to have signed the body, so one too many does no harm.
pub(crate) fn scan(body: &[u8], key: &str) -> Vec<String> {
    let key = format!("\"{key}\"");
    let mut found: Vec<String> = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, key.as_bytes()) {
        rest = &rest[at + key.len()..];
        if let Some(value) = scalar(rest)
            && !found.contains(&value)
        {
            found.push(value);
            if found.len() == MAX_ADDRESSES {
                break;
            }
        }
    }
    found
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// What follows a key: a colon, then the value, quoted or not.
fn scalar(rest: &[u8]) -> Option<String> {
    let rest = rest.trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start();
    let rest = match rest.strip_prefix(b"\"") {
        Some(quoted) => quoted,
        None => rest.first()?.is_ascii_digit().then_some(rest)?,
    };
    let end = rest
        .iter()
        .take(65)
        .position(|byte| !byte.is_ascii_alphanumeric())?;
    let value = std::str::from_utf8(&rest[..end]).ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}
