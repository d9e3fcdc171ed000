//! Instagram: as a whole body, and as one event between two good ones that must both survive.
#![no_main]

#[path = "../../crates/channels/tests/common/mod.rs"]
mod common;

use channels::instagram;
use libfuzzer_sys::fuzz_target;

const BEFORE: &[u8] = br#"{"entry":[{"id":"17","messaging":[
    {"sender":{"id":"9"},"message":{"mid":"a","text":"Hi"}},"#;
const AFTER: &[u8] = br#",{"sender":{"id":"9"},"message":{"mid":"b","text":"Hi"}}]}]}"#;

fuzz_target!(|data: &[u8]| {
    instagram::parse(data).iter().for_each(common::check);
    instagram::addresses(data);

    if serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok() {
        let body = [BEFORE, data, AFTER].concat();
        let update = instagram::parse(&body).expect("the frame is sound");
        let items = common::items(update);
        let found = common::message_ids(&items);
        assert_eq!(items.len(), 3);
        assert!(found.contains(&"a") && found.contains(&"b"));
    }
});
