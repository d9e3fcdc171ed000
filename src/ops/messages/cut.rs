//! Completes the beginning of a JSON object that was cut.
//!
//! Invariant: the result is a JSON object. It has the members that are complete, and the beginning of a text that is not.

/// Completes the beginning of a JSON object.
pub(super) fn close(beginning: &str) -> String {
    let bytes = beginning.as_bytes();
    let mut depth = 0;
    // The end of the last complete member.
    let mut complete = 0;
    // Whether this is inside the value of a member, and the end of the text that is not closed yet.
    let (mut in_value, mut text) = (false, None);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let length = match (byte, text) {
            (b'\\', Some(_)) => escape(&bytes[at..]),
            _ => 1,
        };
        if at + length > bytes.len() {
            break;
        }
        at += length;
        match (byte, text) {
            (b'"', Some(_)) => text = None,
            (b'"', None) | (_, Some(_)) => text = Some(at),
            (b'{' | b'[', None) => {
                depth += 1;
                if depth == 1 {
                    complete = at;
                }
            }
            (b'}' | b']', None) => depth -= 1,
            (b':', None) if depth == 1 => in_value = true,
            (b',', None) if depth == 1 => {
                complete = at - 1;
                in_value = false;
            }
            _ => {}
        }
    }
    match text {
        _ if depth == 0 => beginning.to_owned(),
        Some(end) if depth == 1 && in_value => format!("{}\"}}", &beginning[..end]),
        _ => format!("{}}}", &beginning[..complete]),
    }
}

/// The length of the escape at the start, in bytes: two, six, or twelve if it is half of a surrogate pair.
fn escape(bytes: &[u8]) -> usize {
    match bytes {
        [
            _,
            b'u',
            b'd' | b'D',
            b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
            ..,
        ] => {
            let other = bytes.get(6..).unwrap_or_default();
            let follows = other.starts_with(b"\\u") || b"\\u".starts_with(other);
            if follows { 12 } else { 6 }
        }
        [_, b'u', ..] => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_beginning_of_an_object_becomes_one() {
        let whole = r#"{"a":"x\"\\\u0041\ud83d\ude00é}","n":12,"o":{"p":["q",{}],"s":"t"},"b":true,"text":"one, two: {three"}"#;
        let object: Value = serde_json::from_str(whole).expect("JSON");
        for end in (1..=whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            let closed = close(&whole[..end]);
            let read: Value = serde_json::from_str(&closed).expect(&closed);
            for (key, value) in read.as_object().expect("an object") {
                let there = &object[key];
                let begins = match (value.as_str(), there.as_str()) {
                    (Some(value), Some(there)) => there.starts_with(value),
                    _ => value == there,
                };
                assert!(begins, "{closed}");
            }
        }
    }

    #[test]
    fn what_is_there_of_a_text_stays() {
        for (beginning, closed) in [
            (r#"{"text":"Is the bl"#, json!({"text": "Is the bl"})),
            (r#"{"a":1,"text":"x\ud83d\ud"#, json!({"a": 1, "text": "x"})),
            (r#"{"a":1,"raw":{"text":"x"#, json!({"a": 1})),
            (r#"{"a":1,"te"#, json!({"a": 1})),
            (r#"{"a":12"#, json!({})),
            (r#"{"a":{"b":1}}"#, json!({"a": {"b": 1}})),
        ] {
            let read: Value = serde_json::from_str(&close(beginning)).expect("JSON");
            assert_eq!(read, closed, "{beginning}");
        }
    }
}
