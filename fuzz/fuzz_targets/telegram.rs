//! Telegram: as a whole body, and as the content of every kind of update that is looked into.
#![no_main]

#[path = "../../crates/channels/tests/common/mod.rs"]
mod common;

use channels::telegram;
use libfuzzer_sys::fuzz_target;

const KINDS: [&str; 7] = [
    "message",
    "business_message",
    "edited_message",
    "deleted_business_messages",
    "message_reaction",
    "my_chat_member",
    "new_kind",
];

fuzz_target!(|data: &[u8]| {
    telegram::parse(data).iter().for_each(common::check);

    if let Ok(value) = serde_json::from_slice::<&serde_json::value::RawValue>(data) {
        for kind in KINDS {
            let body = format!(r#"{{"update_id":1,"{kind}":{value}}}"#);
            let update = telegram::parse(body.as_bytes()).expect("the frame is sound");
            common::check(&update);
        }
    }
});
