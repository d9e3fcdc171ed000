#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::json;

use super::*;

fn repaired(body: &[u8]) -> Value {
    serde_json::from_str(&repair(body)).unwrap()
}

fn one(value: Value) -> Object {
    Object::from_iter([("key".to_owned(), value)])
}

#[test]
fn a_sound_body_is_not_copied() {
    for body in [
        &br#"{"a":"\ud83d\ude00 \u00e9 \\u0000 \\ud800","b":[1,"\""]}"#[..],
        "{\"a\":\"\u{202e}שלום\u{200f}\"}".as_bytes(),
        b"{\r\n\t\"a\": 1 }",
    ] {
        assert!(matches!(repair(body), Cow::Borrowed(_)));
    }
}

#[test]
fn what_a_parser_would_stop_at_is_replaced() {
    for (body, text) in [
        (&br#""a\ud83dz""#[..], "a\u{fffd}z"),
        (br#""a\ude00z""#, "a\u{fffd}z"),
        (br#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        (br#""\ud83d\u0041""#, "\u{fffd}A"),
        (br#""\uD83D""#, "\u{fffd}"),
        (br#""a\u0000z""#, "a\u{fffd}z"),
        (b"\"a\0z\"", "a\u{fffd}z"),
        (b"\"a\nz\x1f\"", "a\nz\u{1f}"),
        (b"\"a\xffz\"", "a\u{fffd}z"),
        (b"\"\xed\xa0\x80\"", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xef\xbb\xbf\"bom\"", "bom"),
        (br#""\\\ud800\\""#, "\\\u{fffd}\\"),
    ] {
        assert_eq!(repaired(body), text, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn what_is_no_json_stays_none() {
    for body in [
        &br#""\u12""#[..],
        br#""\"#,
        br#""\u"#,
        b"\"\\\xc3\xa9\"",
        b"{\0}",
        b"\\",
        b"",
    ] {
        assert!(frame(&repair(body)).is_none());
    }
}

#[test]
fn of_a_key_that_comes_twice_the_last_value_counts() {
    let frame = frame(r#"{"id":1,"\u0069d":"2"}"#).unwrap();
    assert_eq!(frame_id(&frame, "id").unwrap(), "2");
    assert_eq!(
        id(&object(r#"{"id":1,"id":"2"}"#).unwrap(), "id").unwrap(),
        "2"
    );
}

#[test]
fn depth_is_bounded_below_that_of_other_readers() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(value(&nested(MAX_DEPTH)).is_ok());
    assert!(value(&nested(MAX_DEPTH + 1)).is_err());
    assert!(value(&nested(100_000)).is_err());
    assert_eq!(embedded(nested(MAX_DEPTH + 1)), nested(MAX_DEPTH + 1));
}

#[test]
fn numbers_and_text_stand_for_each_other() {
    for (value, text_, int_) in [
        (json!("1700000000"), Some("1700000000"), Some(1_700_000_000)),
        (
            json!(1_700_000_000),
            Some("1700000000"),
            Some(1_700_000_000),
        ),
        (json!(1.7e9), Some("1700000000"), Some(1_700_000_000)),
        (
            json!(9_007_199_254_740_993_i64),
            Some("9007199254740993"),
            Some(9_007_199_254_740_993),
        ),
        (
            json!(i64::MIN),
            Some("-9223372036854775808"),
            Some(i64::MIN),
        ),
        (json!(u64::MAX), Some("18446744073709551615"), None),
        (json!(0.5), None, None),
        (json!(1e300), None, None),
        (json!("x"), Some("x"), None),
        (json!(""), None, None),
        (json!(true), None, None),
        (json!(null), None, None),
        (json!([1]), None, None),
        (json!({"a": 1}), None, None),
    ] {
        let object = one(value);
        assert_eq!(id(&object, "key").as_deref(), text_, "{object:?}");
        assert_eq!(int(&object, "key"), int_, "{object:?}");
    }
    assert_eq!(text(&one(json!(0.5)), "key").unwrap(), "0.5");
}

#[test]
fn an_id_has_a_length() {
    assert!(id(&one(json!("ы".repeat(256))), "key").is_some());
    assert!(id(&one(json!("ы".repeat(257))), "key").is_none());
}

#[test]
fn time_is_between_1970_and_9999() {
    for (value, expected) in [
        (json!(0), Some(0)),
        (json!("0"), Some(0)),
        (json!(253_402_300_799_i64), Some(253_402_300_799)),
        (json!(253_402_300_800_i64), None),
        (json!(-1), None),
        (json!("yesterday"), None),
        (json!(i64::MAX), None),
    ] {
        assert_eq!(seconds(&one(value.clone()), "key"), expected, "{value}");
    }
    for (value, expected) in [
        (json!(1_527_459_824), Some((1_527_459_824, 0))),
        (json!("1527459824"), Some((1_527_459_824, 0))),
        (json!(1_527_459_824_123_i64), Some((1_527_459_824, 123))),
        (json!(253_402_300_799_999_i64), Some((253_402_300_799, 999))),
        (json!(253_402_300_800_000_i64), None),
        (json!(0), Some((0, 0))),
        (json!(-1000), None),
    ] {
        let expected = expected.map(|(seconds, millis)| Moment { seconds, millis });
        assert_eq!(moment(&one(value.clone()), "key"), expected, "{value}");
    }
}

#[test]
fn only_digits_make_a_phone_number() {
    assert_eq!(phone("4915112345678").unwrap(), "+4915112345678");
    assert_eq!(phone("+4915112345678").unwrap(), "+4915112345678");
    for none in [
        "",
        "US.13491208655302741918",
        "1234",
        "1234567890123456",
        "49 151 1234",
        "١٢٣٤٥٦٧",
    ] {
        assert_eq!(phone(none), None);
    }
}

#[test]
fn names_are_trimmed_of_what_is_none() {
    assert_eq!(username(&one(json!("@ada")), "key").unwrap(), "ada");
    assert_eq!(username(&one(json!("@")), "key"), None);
    assert_eq!(name(&one(json!("  ")), "key"), None);
    assert_eq!(
        name(&one(json!("é".repeat(300))), "key")
            .unwrap()
            .chars()
            .count(),
        MAX_NAME
    );
}

#[test]
fn a_list_may_come_as_its_only_element() {
    let list = |text: &str| {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let mut found = Vec::new();
        each(&raw, |element| found.push(element.get().to_owned())).then_some(found)
    };
    assert_eq!(list("[1,{\"a\":[2]}]").unwrap(), ["1", "{\"a\":[2]}"]);
    assert_eq!(list(r#"{"a":1}"#).unwrap(), [r#"{"a":1}"#]);
    assert!(list("null").unwrap().is_empty());
    for none in ["1", "\"x\"", "true"] {
        assert!(list(none).is_none());
    }
}

#[test]
fn an_item_that_would_take_far_more_memory_than_bytes_is_not_read() {
    let of = |values: usize| format!("[{}]", vec!["0"; values - 1].join(","));
    assert!(value(&of(MAX_VALUES)).is_ok());
    assert!(value(&of(MAX_VALUES + 1)).is_err());
    let text = Value::from(",[{:\\\"".repeat(MAX_VALUES)).to_string();
    assert!(value(&text).is_ok());
    let keys = |keys: usize| {
        let pairs: Vec<_> = (0..keys).map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", pairs.join(","))
    };
    assert!(frame(&keys(MAX_KEYS)).is_some());
    assert!(frame(&keys(MAX_KEYS + 1)).is_none());
}
