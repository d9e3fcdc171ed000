//! What holds for every input there is, tried on many.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use channels::{Update, graph, instagram, signature, telegram, whatsapp};
use common::{check, items, message_ids};
use proptest::prelude::*;
use serde_json::{Value, json};
use telegram::bot_api;

/// Words that the parsers look for, so that arbitrary values get past the first key.
const WORDS: [&str; 40] = [
    "id",
    "from",
    "type",
    "text",
    "body",
    "message",
    "messages",
    "mid",
    "chat",
    "message_id",
    "sender",
    "recipient",
    "timestamp",
    "contacts",
    "wa_id",
    "user_id",
    "profile",
    "name",
    "image",
    "interactive",
    "nfm_reply",
    "response_json",
    "reaction",
    "emoji",
    "edit",
    "revoke",
    "original_message_id",
    "group_id",
    "context",
    "attachments",
    "payload",
    "url",
    "postback",
    "message_edit",
    "photo",
    "web_app_data",
    "new_reaction",
    "field",
    "value",
    "read",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => ".{0,12}",
        1 => Just("\u{0}\u{202e}😀".to_owned()),
        1 => Just("0".to_owned()),
        1 => "[0-9]{1,20}",
    ]
}

/// Any JSON value, biased to what the parsers look for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Any JSON text, also such as no `Value` can hold.
fn any_json_text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => any_json().prop_map(|value| value.to_string()),
        1 => Just("1e999".to_owned()),
        1 => Just(r#"{"id":"x","from":"1","timestamp":-1e999}"#.to_owned()),
        1 => (0..300_usize).prop_map(|levels| "[".repeat(levels) + &"]".repeat(levels)).prop_filter(
            "an empty text is no value", |text| !text.is_empty()),
        1 => Just(r#"{"id":"\ud800","from":"\u0000","text":{"body":"\udfff"}}"#.to_owned()),
    ]
}

type Parser = fn(&[u8]) -> Option<Update>;

const PARSERS: [Parser; 3] = [
    |body| whatsapp::parse(body).ok(),
    |body| instagram::parse(body).ok(),
    |body| telegram::parse(body).ok(),
];

fn parse_with_all(body: &[u8]) {
    for parse in PARSERS {
        parse(body).iter().for_each(check);
    }
    whatsapp::addresses(body);
    whatsapp::unaddressed(body);
    instagram::addresses(body);
    instagram::unaddressed(body);
}

fn whatsapp_message(id: &str) -> Value {
    json!({
        "id": id, "from": "4915112345678", "timestamp": "1700000000", "type": "text",
        "text": {"body": "Hi"}, "context": {"id": "wamid.0", "forwarded": true},
    })
}

fn whatsapp_value(messages: &str) -> String {
    format!(
        r#"{{"metadata":{{"display_phone_number":"49301234567","phone_number_id":"106"}},
        "contacts":[{{"wa_id":"4915112345678","user_id":"DE.1","profile":{{"name":"Ada"}}}}],
        "messages":[{messages}]}}"#
    )
}

fn whatsapp_body(value: &str) -> String {
    format!(r#"{{"entry":[{{"id":"w","changes":[{{"field":"messages","value":{value}}}]}}]}}"#)
}

fn instagram_event(mid: &str) -> Value {
    json!({
        "sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_700_000_000_000_i64,
        "message": {"mid": mid, "text": "Hi", "attachments": [{"type": "image", "payload": {"url": "u"}}]},
    })
}

fn instagram_body(events: &str) -> String {
    format!(r#"{{"entry":[{{"id":"1784","time":1700000000,"messaging":[{events}]}}]}}"#)
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                places(item, &format!("{at}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// The value with something else at one of its places.
fn mutated(mut value: Value, place: prop::sample::Index, new: Value) -> Value {
    let mut all = Vec::new();
    places(&value, "", &mut all);
    *value.pointer_mut(&all[place.index(all.len())]).unwrap() = new;
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        parse_with_all(&body);
    }

    #[test]
    fn json_never_panics(value in any_json_text()) {
        parse_with_all(value.as_bytes());
        parse_with_all(format!(r#"{{"entry":[{value}]}}"#).as_bytes());
        parse_with_all(format!(r#"{{"entry":[{{"changes":[{value}],"messaging":[{value}]}}]}}"#).as_bytes());
        for field in ["messages", "history", "smb_message_echoes", "new"] {
            let change = format!(r#"{{"field":"{field}","value":{value}}}"#);
            parse_with_all(format!(r#"{{"entry":[{{"changes":[{change}]}}]}}"#).as_bytes());
        }
        for kind in ["message", "edited_message", "deleted_business_messages", "message_reaction", "my_chat_member", "new"] {
            parse_with_all(format!(r#"{{"update_id":1,"{kind}":{value}}}"#).as_bytes());
        }
    }

    #[test]
    fn an_answer_never_panics_and_never_tells_the_token(status in 100..600_u16, said in any_json_text()) {
        const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
        let told = format!("{said} {TOKEN}");
        let told = Value::from(told);
        for answer in [
            said.clone(),
            format!(r#"{{"ok":true,"result":{said}}}"#),
            format!(r#"{{"ok":true,"result":{{"id":{said},"first_name":{told},"url":{told},"pending_update_count":1}}}}"#),
            format!(r#"{{"ok":false,"error_code":{said},"description":{told},"parameters":{said}}}"#),
            format!(r#"{{"id":{told},"verified_name":{told},"username":{said},"data":{said}}}"#),
            format!(r#"{{"error":{{"code":{said},"message":{told}}}}}"#),
        ] {
            let answer = answer.as_bytes();
            let meant = [
                format!("{:?}", bot_api::get_me(TOKEN).read(status, answer)),
                format!("{:?}", bot_api::set_webhook(TOKEN, "", "").read(status, answer)),
                format!("{:?}", bot_api::get_webhook_info(TOKEN).read(status, answer)),
                format!("{:?}", graph::number(TOKEN, "1").read(status, answer)),
                format!("{:?}", graph::account(TOKEN).read(status, answer)),
            ];
            for meant in meant {
                prop_assert!(!meant.contains(TOKEN), "{meant}");
            }
        }
    }

    #[test]
    fn a_cut_body_never_panics(cut in any::<prop::sample::Index>()) {
        let message = whatsapp_message("a").to_string();
        let body = whatsapp_body(&whatsapp_value(&message));
        parse_with_all(&body.as_bytes()[..cut.index(body.len())]);
    }

    #[test]
    fn one_bad_message_costs_no_other(at in 0..5_usize, bad in any_json_text()) {
        let ids = ["a", "b", "c", "d", "e"];
        let mut messages = ids.map(|id| whatsapp_message(id).to_string());
        let mut events = ids.map(|id| instagram_event(id).to_string());
        messages[at] = bad.clone();
        events[at] = bad;
        let body = whatsapp_body(&whatsapp_value(&messages.join(",")));
        let whatsapp = items(whatsapp::parse(body.as_bytes()).unwrap());
        let body = instagram_body(&events.join(","));
        let instagram = items(instagram::parse(body.as_bytes()).unwrap());
        for (items, count) in [(whatsapp, 5), (instagram, 5)] {
            prop_assert_eq!(items.len(), count);
            let found = message_ids(&items);
            for (other, id) in ids.iter().enumerate() {
                prop_assert!(other == at || found.contains(id));
            }
        }
    }

    #[test]
    fn a_changed_field_costs_no_neighbour(place in any::<prop::sample::Index>(), new in any_json()) {
        let neighbours = [whatsapp_message("a").to_string(), whatsapp_message("c").to_string()];
        let changed = mutated(whatsapp_message("b"), place, new.clone());
        let list = format!("{},{changed},{}", neighbours[0], neighbours[1]);
        let items_ = items(whatsapp::parse(whatsapp_body(&whatsapp_value(&list)).as_bytes()).unwrap());
        prop_assert_eq!(items_.len(), 3);
        let found = message_ids(&items_);
        prop_assert!(found.contains(&"a") && found.contains(&"c"));

        let neighbours = [instagram_event("a").to_string(), instagram_event("c").to_string()];
        let changed = mutated(instagram_event("b"), place, new);
        let list = format!("{},{changed},{}", neighbours[0], neighbours[1]);
        let items_ = items(instagram::parse(instagram_body(&list).as_bytes()).unwrap());
        prop_assert_eq!(items_.len(), 3);
        let found = message_ids(&items_);
        prop_assert!(found.contains(&"a") && found.contains(&"c"));
    }

    #[test]
    fn what_stands_beside_the_messages_costs_none(
        key in proptest::sample::select(&["metadata", "contacts", "statuses", "errors", "new"][..]),
        new in any_json_text(),
    ) {
        let messages = format!("{},{}", whatsapp_message("a"), whatsapp_message("b"));
        let value = format!(r#"{{"messages":[{messages}],"{key}":{new}}}"#);
        let items = items(whatsapp::parse(whatsapp_body(&value).as_bytes()).unwrap());
        prop_assert_eq!(message_ids(&items), ["a", "b"]);
    }

    #[test]
    fn a_changed_entry_or_change_costs_no_neighbour(
        place in any::<prop::sample::Index>(),
        new in any_json(),
    ) {
        let entry = |id: &str| -> Value {
            let value = whatsapp_value(&whatsapp_message(id).to_string());
            let change = format!(r#"{{"changes":[{{"field":"messages","value":{value}}}]}}"#);
            serde_json::from_str(&change).unwrap()
        };
        let body = json!({"entry": [entry("a"), mutated(entry("b"), place, new), entry("c")]});
        let items = items(whatsapp::parse(body.to_string().as_bytes()).unwrap());
        let found = message_ids(&items);
        prop_assert!(found.contains(&"a") && found.contains(&"c"));
        prop_assert!(!items.is_empty());
    }

    #[test]
    fn the_same_body_always_says_the_same(value in any_json()) {
        let body = json!({"entry": [{"id": "1784", "messaging": [value]}]}).to_string();
        prop_assert_eq!(instagram::parse(body.as_bytes()), instagram::parse(body.as_bytes()));
    }

    #[test]
    fn only_the_signature_of_this_body_passes(
        secret in proptest::collection::vec(any::<u8>(), 0..80),
        body in proptest::collection::vec(any::<u8>(), 1..80),
        flip in any::<prop::sample::Index>(),
        header in ".{0,80}",
    ) {
        let right = signature::sign_meta(&secret, &body);
        prop_assert!(signature::verify_meta(&secret, &body, &right));
        prop_assert!(header == right || !signature::verify_meta(&secret, &body, &header));
        let mut other = body.clone();
        other[flip.index(body.len())] ^= 1;
        prop_assert!(!signature::verify_meta(&secret, &other, &right));
    }
}
