//! WhatsApp: as a whole body, and as one message between two good ones that must both survive.
#![no_main]

#[path = "../../crates/channels/tests/common/mod.rs"]
mod common;

use channels::whatsapp;
use libfuzzer_sys::fuzz_target;

const BEFORE: &[u8] = br#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[
    {"id":"a","from":"491","text":{"body":"Hi"}},"#;
const AFTER: &[u8] = br#",{"id":"b","from":"491","text":{"body":"Hi"}}]}}]}]}"#;

fuzz_target!(|data: &[u8]| {
    whatsapp::parse(data).iter().for_each(common::check);
    whatsapp::addresses(data);

    if serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok() {
        let body = [BEFORE, data, AFTER].concat();
        let update = whatsapp::parse(&body).expect("the frame is sound");
        let items = common::items(update);
        let found = common::message_ids(&items);
        assert_eq!(items.len(), 3);
        assert!(found.contains(&"a") && found.contains(&"b"));
    }
});
