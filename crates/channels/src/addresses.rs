//! Finds the addresses in a body without parsing it.
//!
//! Nothing else of a body is read before its signature is checked: the addresses tell which secrets to check it with. It
//! does not matter here whether the body is valid JSON.
//!
//! Invariant: one pass over the bytes, and memory for at most [`MOST`] addresses, whatever the bytes are.

use std::collections::HashSet;

use crate::json;

/// The maximum number of addresses whose secrets are tried for one body.
pub(crate) const MOST: usize = 64;

/// The length of the longest address of an inbox, in bytes.
const LONGEST: usize = 64;

/// How many levels of keys are tracked. No address is nested deeper.
const LEVELS: usize = 8;

/// The addresses found so far, each once, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Addresses<'a> {
    found: Vec<String>,
    /// The same as they are written in the body, with quotes, so that a duplicate costs only a look-up.
    seen: HashSet<&'a [u8]>,
}

impl<'a> Addresses<'a> {
    /// Adds a string or a number as it is written in the body, unless it cannot be an address, or there are enough.
    pub(crate) fn add(&mut self, scalar: &'a [u8]) {
        // Each byte may be written as in `\u0031`.
        if self.is_full() || scalar.len() > 6 * LONGEST + 2 || self.seen.contains(scalar) {
            return;
        }
        let text = std::str::from_utf8(scalar).ok();
        let Some(address) = text.and_then(json::id_in) else {
            return;
        };
        if address.len() <= LONGEST && !self.found.contains(&address) {
            self.seen.insert(scalar);
            self.found.push(address);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.found.len() == MOST
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.found
    }
}

/// Calls `visit` with every string and number that is a value, until it returns false. Its arguments are the keys that lead
/// to the value, and the value as it is written in the body.
///
/// Lists add nothing to the keys. Keys are as they are written, without quotes. Values below [`LEVELS`] levels of objects
/// are skipped. If a body is not JSON, everything in it that looks like JSON is visited.
pub(crate) fn visit<'a>(body: &'a [u8], mut visit: impl FnMut(&[&'a [u8]], &'a [u8]) -> bool) {
    let mut keys: [&[u8]; LEVELS] = [b""; LEVELS];
    let mut level = 0_usize;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' => {
                if let Some(key) = keys.get_mut(level) {
                    *key = b"";
                }
                level += 1;
            }
            b'}' => level = level.saturating_sub(1),
            b'"' | b'-' | b'0'..=b'9' => {
                at = match byte {
                    b'"' => end_of_string(body, at),
                    _ => end_of_number(body, at),
                };
                let scalar = &body[start..at];
                if byte == b'"' && is_key(&body[at..]) {
                    let own = level.checked_sub(1).and_then(|level| keys.get_mut(level));
                    if let Some(key) = own {
                        *key = scalar[1..].strip_suffix(b"\"").unwrap_or_default();
                    }
                } else if let Some(keys) = keys.get(..level)
                    && !visit(keys, scalar)
                {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The position after a string whose opening quote is before `at`.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(byte) = body.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    body.len()
}

fn end_of_number(body: &[u8], at: usize) -> usize {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let rest = body[at..].iter().position(|byte| !part(byte));
    rest.map_or(body.len(), |length| at + length)
}

/// Whether a colon follows.
fn is_key(rest: &[u8]) -> bool {
    rest.trim_ascii_start().first() == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(body: &str) -> Vec<String> {
        let mut found = Vec::new();
        visit(body.as_bytes(), |keys, scalar| {
            let parts = keys.iter().chain([&scalar]);
            let parts: Vec<_> = parts.map(|part| String::from_utf8_lossy(part)).collect();
            found.push(parts.join("."));
            true
        });
        found
    }

    #[test]
    fn every_value_comes_with_the_keys_that_lead_to_it() {
        let body = r#"{"a": [{"b" :"x"}, {"b":{"c":-1.5e3, "d":["\"}{:",true]}}], "e":null,"f":7}"#;
        assert_eq!(
            visited(body),
            ["a.b.\"x\"", "a.b.c.-1.5e3", "a.b.d.\"\\\"}{:\"", "f.7"]
        );
    }

    #[test]
    fn what_is_not_json_is_read_as_far_as_it_goes() {
        assert_eq!(visited(r#"{"a":{"b":"x"#), ["a.b.\"x"]);
        assert_eq!(visited(r#"}}]{7 "b":1 "c"#), [".7", "b.1", "b.\"c"]);
        assert_eq!(visited(r#""\"#), ["\"\\"]);
        assert_eq!(visited(&"{".repeat(100_000)), [""; 0]);
    }
}
