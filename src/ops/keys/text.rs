//! The text of an API key: a prefix, random digits, and a checksum. The checksum detects a mistyped key without reading
//! the store.

use crate::{
    clock,
    principal::{self, KeyHash},
};
use data_encoding::BASE32_DNSSEC;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

const PREFIX: &str = "ibx_";
/// 32 random bytes in base32.
const RANDOM: usize = 52;
/// 4 bytes of CRC-32 in base32.
const CHECKSUM: usize = 7;

/// Creates a new key.
pub(super) fn generate() -> SecretString {
    let mut key = format!("{PREFIX}{}", BASE32_DNSSEC.encode(&clock::random::<32>()));
    key.extend(checksum(&key).map(char::from));
    SecretString::from(key)
}

fn checksum(text: &str) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    BASE32_DNSSEC.encode_mut(&crc32fast::hash(text.as_bytes()).to_be_bytes(), &mut sum);
    sum
}

/// True if the text has the form of a key, with a correct checksum.
fn is_well_formed(key: &str) -> bool {
    key.len() == PREFIX.len() + RANDOM + CHECKSUM
        && key.is_ascii()
        && key.starts_with(PREFIX)
        && key
            .split_at_checked(PREFIX.len() + RANDOM)
            .is_some_and(|(body, sum)| checksum(body) == sum.as_bytes())
}

/// The hash of a key. The store has only this.
pub(super) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash of a presented key, if the text has the form of a key.
pub(super) fn presented_hash(presented: &str) -> Option<KeyHash> {
    is_well_formed(presented).then(|| hash(presented))
}

/// The identity by which the requests of this key are counted, if the text has the form of a key. The key need not
/// exist.
pub fn fingerprint(presented: &str) -> Option<u128> {
    Some(principal::fingerprint(&presented_hash(presented)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_mistyped_key_is_not_well_formed() {
        let key = generate();
        let key = key.expose_secret();
        assert!(is_well_formed(key), "{key}");
        for at in 0..key.len() {
            let mut wrong = key.to_owned();
            let other = if &key[at..=at] == "7" { "8" } else { "7" };
            wrong.replace_range(at..=at, other);
            assert!(!is_well_formed(&wrong), "{wrong}");
        }
        assert!(!is_well_formed(&key[1..]));
        assert!(!is_well_formed(&"ü".repeat(63)));
    }
}
