//! Seals credentials before they are stored, and derives the tokens that providers and visitors get.
//!
//! All of this needs one 32-byte key, `INBOXD_SECRET_KEY`. API keys are hashed, not sealed: see `ops::keys`.
//!
//! Invariant: a sealed value opens only under the key, and only for the account, inbox and name that it was sealed for.

use crate::{
    clock,
    id::{AccountId, InboxId},
};
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use data_encoding::{BASE32_DNSSEC, BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use std::{fs, io, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

const NONCE: usize = 24;
/// Sealed into every database, so that a wrong key is noticed at start.
const CHECK: &[u8] = b"inboxd";

/// Holds the secret key. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    cipher: XChaCha20Poly1305,
    tokens: SecretBox<[u8; 32]>,
}

/// Why a key or a sealed value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither 64 hex digits nor 32 bytes of base64.
    #[error("must be 32 bytes, as 64 hex digits or as base64")]
    Format,
    /// The file with the key cannot be used.
    #[error("the secret key file {path}: {source}")]
    File {
        /// The file's path.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The value is damaged, or was sealed under another key or for another place.
    #[error("a stored secret cannot be opened with this INBOXD_SECRET_KEY")]
    Sealed,
}

/// Where a sealed value belongs. A value that is copied to another row does not open there.
pub struct Place<'a> {
    /// The account that owns the inbox.
    pub account: &'a AccountId,
    /// The inbox that the credential is for.
    pub inbox: &'a InboxId,
    /// The credential: `app_secret`, `access_token` or `bot_token`.
    pub name: &'a str,
}

impl Place<'_> {
    fn label(&self) -> String {
        format!("{}/{}/{}", self.account, self.inbox, self.name)
    }
}

impl Vault {
    /// Reads a key that is written as 64 hex digits or as base64. Surrounding white space is ignored.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let text = text.trim().as_bytes();
        let bytes = HEXLOWER_PERMISSIVE
            .decode(text)
            .or_else(|_| BASE64.decode(text))
            .or_else(|_| BASE64URL_NOPAD.decode(text))
            .map_err(|_| Error::Format)?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| Error::Format)?;
        Ok(Vault(Arc::new(Keys {
            cipher: XChaCha20Poly1305::new(&Key::from(derive(&key, b"inboxd seal v1"))),
            tokens: SecretBox::new(Box::new(derive(&key, b"inboxd tokens v1"))),
        })))
    }

    /// Reads the key from a file.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
        Self::from_text(&text)
            .map_err(|error| file_error(path, io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Reads the key from a file. A missing file is created first, with a new key and mode 0600.
    pub fn from_file_or_new(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            make_key_file(path).map_err(|source| file_error(path, source))?;
        }
        Self::from_file(path)
    }

    /// Seals a credential for its place.
    pub fn seal(&self, place: &Place<'_>, secret: &str) -> Vec<u8> {
        self.seal_labelled(place.label().as_bytes(), secret.as_bytes())
    }

    /// Opens a credential in its place.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<String, Error> {
        let secret = self.open_labelled(place.label().as_bytes(), sealed)?;
        String::from_utf8(secret).map_err(|_| Error::Sealed)
    }

    /// Makes a value by which [`Vault::made_check_value`] recognises this key.
    pub fn check_value(&self) -> Vec<u8> {
        self.seal_labelled(b"", CHECK)
    }

    /// True if this check value was made with this key.
    pub fn made_check_value(&self, value: &[u8]) -> bool {
        self.open_labelled(b"", value)
            .is_ok_and(|secret| secret == CHECK)
    }

    fn seal_labelled(&self, label: &[u8], secret: &[u8]) -> Vec<u8> {
        let nonce = clock::random::<NONCE>();
        let payload = Payload {
            msg: secret,
            aad: label,
        };
        let sealed = self
            .0
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a short secret is within the cipher's bound of 256 GB");
        [&nonce[..], &sealed].concat()
    }

    fn open_labelled(&self, label: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(Error::Sealed)?;
        let payload = Payload {
            msg: sealed,
            aad: label,
        };
        self.0
            .cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| Error::Sealed)
    }

    /// The token by which a provider shows that a request is for this inbox: Telegram's secret token,
    /// and the second half of Meta's verify token. 160 bits, characters `0-9a-v`. The token is derived
    /// from the key, so it is never stored.
    pub fn inbox_token(&self, inbox: &InboxId) -> String {
        let token = mac(self.0.tokens.expose_secret(), inbox.as_str().as_bytes());
        BASE32_DNSSEC.encode(&token[..20])
    }

    /// Signs a text for an inbox and a purpose. 160 bits, characters `0-9a-v`.
    pub fn sign(&self, purpose: &str, inbox: &InboxId, text: &str) -> String {
        let signed = format!("{purpose} {inbox} {text}");
        let mac = mac(self.0.tokens.expose_secret(), signed.as_bytes());
        BASE32_DNSSEC.encode(&mac[..20])
    }

    /// The verify token that the business pastes at Meta. It contains the inbox's id and its token.
    pub fn verify_token(&self, inbox: &InboxId) -> String {
        format!("{inbox}-{}", self.inbox_token(inbox))
    }

    /// The inbox that a verify token belongs to, if the token is genuine. The comparison takes constant time.
    pub fn verify_token_inbox(&self, token: &str) -> Option<InboxId> {
        let (inbox, proof) = token.rsplit_once('-')?;
        let inbox = InboxId::from_text(inbox);
        channels::signature::equal(self.inbox_token(&inbox).as_bytes(), proof.as_bytes())
            .then_some(inbox)
    }
}

/// Creates the file in one step, and never overwrites one: two servers that start at once share one key.
fn make_key_file(path: &Path) -> io::Result<()> {
    let text = HEXLOWER_PERMISSIVE.encode(&clock::random::<32>());
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(
        ".{}",
        HEXLOWER_PERMISSIVE.encode(&clock::random::<8>())
    ));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let made = writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn file_error(path: &Path, source: io::Error) -> Error {
    Error::File {
        path: path.display().to_string(),
        source,
    }
}

/// Derives one key for each use, so that a leak of one reveals nothing about the other.
fn derive(key: &[u8; 32], purpose: &[u8]) -> [u8; 32] {
    mac(key, purpose)
}

fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes any key length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn place<'a>(account: &'a AccountId, inbox: &'a InboxId, name: &'a str) -> Place<'a> {
        Place {
            account,
            inbox,
            name,
        }
    }

    #[test]
    fn a_secret_opens_only_in_its_place_and_under_its_key() {
        let vault = Vault::from_text(KEY).expect("a good key");
        let (account, inbox) = (AccountId::from_text("acc_1"), InboxId::from_text("inbox_1"));
        let sealed = vault.seal(&place(&account, &inbox, "app_secret"), "s3cret");

        let opened = vault.open(&place(&account, &inbox, "app_secret"), &sealed);
        assert_eq!(opened.expect("opens"), "s3cret");

        let elsewhere = InboxId::from_text("inbox_2");
        assert!(
            vault
                .open(&place(&account, &elsewhere, "app_secret"), &sealed)
                .is_err()
        );
        assert!(
            vault
                .open(&place(&account, &inbox, "bot_token"), &sealed)
                .is_err()
        );
        let other = Vault::from_text(&KEY.replace('0', "f")).expect("a good key");
        assert!(
            other
                .open(&place(&account, &inbox, "app_secret"), &sealed)
                .is_err()
        );
        assert!(!other.made_check_value(&vault.check_value()));
        assert!(vault.made_check_value(&vault.check_value()));
    }

    #[test]
    fn a_key_is_32_bytes_in_hex_or_base64() {
        assert!(Vault::from_text(&KEY.to_uppercase()).is_ok());
        assert!(Vault::from_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").is_ok());
        for wrong in ["", "short", &KEY[2..], &format!("{KEY}00")] {
            assert!(Vault::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_verify_token_names_its_inbox_and_cannot_be_made_up() {
        let vault = Vault::from_text(KEY).expect("a good key");
        let inbox = InboxId::from_text("inbox_06cqm0d4vdtqf5b5r9e2k8a1p4");
        let token = vault.verify_token(&inbox);
        assert_eq!(vault.verify_token_inbox(&token), Some(inbox));
        assert_eq!(vault.verify_token_inbox(&token.replace("p4-", "p5-")), None);
        assert_eq!(vault.verify_token_inbox("anything"), None);
    }
}
