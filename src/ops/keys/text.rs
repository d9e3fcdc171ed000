//! What an API key looks like: a prefix, random digits, and a checksum that tells a mistyped one without a look-up.

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

/// A new key.
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

/// Whether this can be a key at all.
fn is_well_formed(key: &str) -> bool {
    key.len() == PREFIX.len() + RANDOM + CHECKSUM
        && key.is_ascii()
        && key.starts_with(PREFIX)
        && key
            .split_at_checked(PREFIX.len() + RANDOM)
            .is_some_and(|(body, sum)| checksum(body) == sum.as_bytes())
}

/// What the store has of a key.
pub(super) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash of what was presented as a key, if it can be one at all.
pub(super) fn presented_hash(presented: &str) -> Option<KeyHash> {
    is_well_formed(presented).then(|| hash(presented))
}

/// What the principal with this key would be counted by. Whether there is one is not asked.
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
