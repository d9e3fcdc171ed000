//! Checks that an update really comes from its provider.
//!
//! The caller chooses the secret to check with: it depends on the address that the update names.
//!
//! Invariant: the raw bytes are checked as they arrived, and a comparison takes the same time wherever the difference
//! is.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

const SCHEME: &str = "sha256=";

/// True if `header`, the value of Meta's `X-Hub-Signature-256`, is the signature of `body` under the app secret.
///
/// Meta sends `sha256=` and 64 lower-case hexadecimal digits. Every other spelling is refused, including upper case and
/// surrounding space. The older SHA-1 header is not accepted in its place.
pub fn verify_meta(app_secret: &[u8], body: &[u8], header: &str) -> bool {
    let Some(hex) = header.strip_prefix(SCHEME) else {
        return false;
    };
    let Ok(given) = HEXLOWER.decode(hex.as_bytes()) else {
        return false;
    };
    meta_mac(app_secret, body).verify_slice(&given).is_ok()
}

/// The value that Meta would send as `X-Hub-Signature-256` for `body`. For tests and for test updates.
pub fn sign_meta(app_secret: &[u8], body: &[u8]) -> String {
    let tag = meta_mac(app_secret, body).finalize().into_bytes();
    format!("{SCHEME}{}", HEXLOWER.encode(&tag))
}

/// True if two secrets are equal. The time that it takes reveals only their lengths.
///
/// For tokens that are sent as they are: Meta's `hub.verify_token` and Telegram's `X-Telegram-Bot-Api-Secret-Token`.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

fn meta_mac(app_secret: &[u8], body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(app_secret).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"text":"\ud83d\ude00 caf\u00e9"}"#;

    #[test]
    fn is_hmac_sha256_as_published() {
        // RFC 4231, test case 2.
        let header = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign_meta(b"Jefe", b"what do ya want for nothing?"), header);
        assert!(verify_meta(
            b"Jefe",
            b"what do ya want for nothing?",
            header
        ));
    }

    #[test]
    fn takes_the_bytes_and_not_their_meaning() {
        let header = sign_meta(b"secret", BODY);
        assert!(verify_meta(b"secret", BODY, &header));
        assert!(!verify_meta(
            b"secret",
            "{\"text\":\"😀 café\"}".as_bytes(),
            &header
        ));
        assert!(!verify_meta(b"other", BODY, &header));
    }

    #[test]
    fn refuses_every_other_spelling() {
        let header = sign_meta(b"secret", BODY);
        let hex = &header[SCHEME.len()..];
        for wrong in [
            String::new(),
            SCHEME.to_owned(),
            hex.to_owned(),
            format!("sha1={hex}"),
            format!("SHA256={hex}"),
            format!("{SCHEME}{}", hex.to_uppercase()),
            format!(" {header}"),
            format!("{header} "),
            format!("{header}00"),
            header[..header.len() - 2].to_owned(),
            header[..header.len() - 1].to_owned(),
            format!("{SCHEME}{}", "0".repeat(64)),
            format!("{SCHEME}{}", "é".repeat(32)),
        ] {
            assert!(!verify_meta(b"secret", BODY, &wrong), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_secret_still_needs_its_signature() {
        assert!(!verify_meta(b"", BODY, ""));
        assert!(verify_meta(b"", BODY, &sign_meta(b"", BODY)));
    }

    #[test]
    fn compares_tokens() {
        assert!(equal(b"token", b"token"));
        assert!(!equal(b"token", b"tokem"));
        assert!(!equal(b"token", b"token "));
        assert!(equal(b"", b""));
    }
}
