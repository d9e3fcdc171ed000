//! Requests that may be repeated: whoever does not know whether a request was carried out sends it again with the same
//! idempotency key, and gets the first answer.
//!
//! Invariant: an answer is kept in the transaction of what it tells, so that one is there if and only if the other is. It is
//! sealed, like a credential. Errors, which changed nothing, are not kept.

use super::{
    Context,
    changes::{Changes, commit},
    transaction::again,
};
use crate::{
    error::{Error, Reason},
    id::{AccountId, InboxId, KeyId},
    store::idempotency::{self as table, Name},
    vault::Place,
};
use db::Session;
use sha2::{Digest, Sha256};

/// How long an answer is kept, in seconds.
const KEPT: i64 = 24 * 3600;
/// How many are forgotten in one transaction.
const FORGET: i64 = 1000;
/// In the place of an inbox, of what is sealed here.
const SEALED_IN: &str = "idempotency";

/// A request that may be repeated.
#[derive(Debug)]
pub struct Request {
    key_id: KeyId,
    key: String,
    hash: [u8; 32],
}

impl Request {
    /// The request of an API key under an idempotency key. `parts` are all that makes it this request: method, path, query
    /// and body.
    ///
    /// # Errors
    /// [`Error::Validation`] if the key has not 1 to 255 visible ASCII characters.
    pub fn new(key_id: KeyId, key: &str, parts: &[&str]) -> Result<Self, Error> {
        if !(1..=255).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = "must have 1 to 255 visible ASCII characters";
            return Err(Error::field("Idempotency-Key", rule));
        }
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Ok(Request {
            key_id,
            key: key.to_owned(),
            hash: hash.finalize().into(),
        })
    }

    fn name<'a>(&'a self, account: &'a AccountId) -> Name<'a> {
        Name {
            account,
            key_id: self.key_id.as_str(),
            key: &self.key,
        }
    }

    /// The answer that it got before, if it did.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another request had this key.
    pub(super) async fn answer(
        &self,
        context: &Context,
        account: &AccountId,
    ) -> Result<Option<String>, Error> {
        let after = context.clock.now() - KEPT;
        let mut session = context.db.read().await?;
        let found = table::find(&mut session, self.name(account), after).await?;
        let Some((hash, sealed)) = found else {
            return Ok(None);
        };
        if hash != self.hash {
            return Err(Error::Conflict(
                Reason::KeyReused,
                "This Idempotency-Key was used for another request within 24 hours".to_owned(),
            ));
        }
        let inbox = InboxId::from_text(SEALED_IN);
        let opened = context.vault.open(&self.place(account, &inbox), &sealed);
        let damaged = |error| Error::Internal(format!("a kept answer cannot be opened: {error}"));
        opened.map(Some).map_err(damaged)
    }

    /// Keeps its answer. False if an equal request was faster, or another one with the same key.
    pub(super) async fn keep(
        &self,
        context: &Context,
        session: &mut Session,
        account: &AccountId,
        answer: &str,
    ) -> Result<bool, Error> {
        let inbox = InboxId::from_text(SEALED_IN);
        let sealed = context.vault.seal(&self.place(account, &inbox), answer);
        let now = context.clock.now();
        let name = self.name(account);
        Ok(table::insert(session, name, &self.hash, &sealed, now, now - KEPT).await?)
    }

    fn place<'a>(&'a self, account: &'a AccountId, inbox: &'a InboxId) -> Place<'a> {
        Place {
            account,
            inbox,
            name: &self.key,
        }
    }
}

/// Forgets the answers that are old enough.
pub async fn forget(context: &Context) -> Result<(), Error> {
    let until = context.clock.now() - KEPT;
    if !table::is_old(&mut context.db.read().await?, until).await? {
        return Ok(());
    }
    again(|| async {
        let mut session = context.db.write().await?;
        table::forget(&mut session, until, FORGET).await?;
        commit(context, session, Changes::none()).await
    })
    .await
}
