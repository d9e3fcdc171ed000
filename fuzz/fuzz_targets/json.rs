//! What API calls have in their bodies, and live chat in its frames: read as JSON, and as each input that there is.
#![no_main]

use inboxd::{
    domain::Channel,
    error::Error,
    http::body::strict,
    ops::{
        inboxes::{InboxChange, NewInbox},
        livechat::{Hello, NewReceipt, NewSession, NewVisitorMessage},
    },
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    match (strict(data), serde_json::from_slice::<Value>(data)) {
        (Ok(Value::Object(object)), Ok(same)) => {
            assert_eq!(Value::Object(object.clone()), same);
            read(&object);
        }
        (Ok(value), same) => assert_eq!(Some(value), same.ok()),
        (Err(error), Ok(_)) => assert!(error.to_string().contains("twice")),
        (Err(_), Err(_)) => {}
    }
    if let Ok(text) = std::str::from_utf8(data) {
        for field in ["name", "text", "client_id", "user_id", "token", "after", "id"] {
            let object = json!({"client_id": "a", "text": "a", field: text});
            read(object.as_object().expect("an object"));
        }
    }
});

fn read(object: &Map<String, Value>) {
    check(NewInbox::parse(object.clone()));
    for channel in [
        Channel::Whatsapp,
        Channel::Instagram,
        Channel::Telegram,
        Channel::Livechat,
    ] {
        check(InboxChange::parse(object.clone(), channel));
    }
    check(Hello::parse(object.clone()));
    check(NewReceipt::parse(object.clone()));
    check(NewSession::parse(object.clone(), |user, hash| user == hash));
    if let Some(said) = check(NewVisitorMessage::parse(object.clone())) {
        let (id, text) = (said.client_id.0, said.text.0);
        assert!((1..=64).contains(&id.len()) && !id.contains(' '));
        assert!(!text.trim().is_empty() && !text.contains('\0') && text.chars().count() <= 4096);
    }
}

/// Whatever is wrong is said, and is never ours.
fn check<T>(read: Result<T, Error>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(Error::Validation(errors)) => {
            assert!(!errors.is_empty());
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}
