//! Providers' answers: nothing that comes of one holds the credential, and a provider's words are short and plain.
#![no_main]

use channels::{
    api::{Call, Failure},
    graph,
    telegram::bot_api,
};
use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

fuzz_target!(|input: (u16, &[u8])| {
    let (status, data) = input;
    check(&bot_api::get_me(TOKEN), status, data);
    check(
        &bot_api::set_webhook(TOKEN, "https://example.com", "s3cret"),
        status,
        data,
    );
    check(&bot_api::get_webhook_info(TOKEN), status, data);
    check(&graph::number(TOKEN, "1001"), status, data);
    check(&graph::account(TOKEN), status, data);
});

fn check<T: Debug>(call: &Call<T>, status: u16, data: &[u8]) {
    let read = call.read(status, data);
    assert!(!format!("{read:?}").contains(TOKEN));
    if let Err(Failure::Refused(words)) = read {
        assert!(words.chars().count() <= 301);
        assert!(!words.chars().any(char::is_control));
    }
}
