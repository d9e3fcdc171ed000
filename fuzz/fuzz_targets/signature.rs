//! The signature check: nothing but the one right header passes.
#![no_main]

use channels::signature::{equal, sign_meta, verify_meta};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &str)| {
    let (secret, body, header) = input;
    let right = sign_meta(secret, body);
    assert!(verify_meta(secret, body, &right));
    assert_eq!(verify_meta(secret, body, header), header == right);
    assert_eq!(equal(secret, body), secret == body);
});
