//! Requests that may be repeated: whoever does not know whether a request was carried out sends it again with the same
//! idempotency key, and gets the first answer.
//!
//! What is one transaction commits its answer with it (`commit_answer`). What asks a provider, or takes several
//! transactions, commits the key first, without an answer ([`Request::claim`]): then it is known at least that it was begun.
//!
//! Invariant: an answer is kept in the transaction of what it tells, so that one is there if and only if the other is. It is
//! sealed, like a credential. Errors, which changed nothing, are not kept, and no secret that is shown only once may be in
//! an answer that is kept.

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
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long an answer is kept, in seconds.
const KEPT: i64 = 24 * 3600;
/// How long a request without an answer is taken for one that is being carried out, in seconds. That is longer than any
/// request lasts.
const LONGEST: i64 = 120;
/// How long an equal request waits for the answer of the first.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// How many are forgotten in one transaction.
const FORGET: i64 = 1000;
/// In the place of an inbox, of what is sealed here.
const SEALED_IN: &str = "idempotency";

/// A request that may be repeated.
#[derive(Debug, Clone)]
pub struct Request {
    account: AccountId,
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
    pub fn new(
        account: AccountId,
        key_id: KeyId,
        key: &str,
        parts: &[&str],
    ) -> Result<Self, Error> {
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
            account,
            key_id,
            key: key.to_owned(),
            hash: hash.finalize().into(),
        })
    }

    fn name(&self) -> Name<'_> {
        Name {
            account: &self.account,
            key_id: self.key_id.as_str(),
            key: &self.key,
        }
    }

    /// The answer that it got before, if it did. Waits a while for the answer of an equal one that was begun.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another request had this key, or an equal one has no answer.
    pub async fn answer(&self, context: &Context) -> Result<Option<Box<RawValue>>, Error> {
        let began = Instant::now();
        loop {
            let Some(found) = self.find(context).await? else {
                return Ok(None);
            };
            if found.request != self.hash {
                return Err(Error::Conflict(
                    Reason::KeyReused,
                    "This Idempotency-Key was used for another request within 24 hours".to_owned(),
                ));
            }
            if !found.answer.is_empty() {
                return self.open(context, &found.answer).map(Some);
            }
            if found.created_at + LONGEST < context.clock.now() {
                return Err(Error::Conflict(
                    Reason::OutcomeUnknown,
                    "The first request with this Idempotency-Key was begun, and its end is not known: look at what it changed, and use another key"
                        .to_owned(),
                ));
            }
            if began.elapsed() >= PATIENCE {
                return Err(in_flight());
            }
            sleep(LOOK).await;
        }
    }

    async fn find(&self, context: &Context) -> Result<Option<table::Kept>, Error> {
        let after = context.clock.now() - KEPT;
        let mut session = context.db.read().await?;
        Ok(table::find(&mut session, self.name(), after).await?)
    }

    fn open(&self, context: &Context, sealed: &[u8]) -> Result<Box<RawValue>, Error> {
        let inbox = InboxId::from_text(SEALED_IN);
        let damaged = |error: &dyn std::fmt::Display| {
            Error::Internal(format!("a kept answer cannot be read: {error}"))
        };
        let opened = context.vault.open(&self.place(&inbox), sealed);
        let opened = opened.map_err(|error| damaged(&error))?;
        RawValue::from_string(opened).map_err(|error| damaged(&error))
    }

    fn seal(&self, context: &Context, answer: &impl Serialize) -> Result<Vec<u8>, Error> {
        let inbox = InboxId::from_text(SEALED_IN);
        let answer = to_raw_value(answer).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(context.vault.seal(&self.place(&inbox), answer.get()))
    }

    /// Keeps its key with this answer, sealed, or without one.
    ///
    /// # Errors
    /// [`Error::Conflict`] if an equal request was faster, or another one with the same key.
    async fn keep(
        &self,
        context: &Context,
        session: &mut Session,
        sealed: &[u8],
    ) -> Result<(), Error> {
        let now = context.clock.now();
        match table::insert(session, self.name(), &self.hash, sealed, now, now - KEPT).await? {
            true => Ok(()),
            false => Err(in_flight()),
        }
    }

    /// Commits that it is begun, before it changes anything.
    ///
    /// # Errors
    /// [`Error::Conflict`] if an equal request was faster, or another one with the same key.
    pub async fn claim(&self, context: &Context) -> Result<(), Error> {
        again(|| async {
            let mut session = context.db.write().await?;
            self.keep(context, &mut session, &[]).await?;
            commit(context, session, Changes::none()).await
        })
        .await
    }

    /// Keeps the answer to what was begun; or forgets that it was, if it came to nothing.
    pub async fn conclude(
        &self,
        context: &Context,
        answer: Option<&RawValue>,
    ) -> Result<(), Error> {
        let sealed = answer
            .map(|answer| self.seal(context, &answer))
            .transpose()?;
        again(|| async {
            let mut session = context.db.write().await?;
            match &sealed {
                Some(sealed) => {
                    table::settle(&mut session, self.name(), &self.hash, sealed).await?
                }
                None => table::release(&mut session, self.name(), &self.hash).await?,
            }
            commit(context, session, Changes::none()).await
        })
        .await
    }

    fn place<'a>(&'a self, inbox: &'a InboxId) -> Place<'a> {
        Place {
            account: &self.account,
            inbox,
            name: &self.key,
        }
    }
}

/// Commits a transaction with the answer to the request that it carries out, if that one may be repeated.
///
/// # Errors
/// [`Error::Conflict`] if an equal request was faster: then nothing is committed.
pub(super) async fn commit_answer(
    context: &Context,
    mut session: Session,
    changes: Changes,
    request: Option<&Request>,
    answer: &impl Serialize,
) -> Result<(), Error> {
    if let Some(request) = request {
        let sealed = request.seal(context, answer)?;
        request.keep(context, &mut session, &sealed).await?;
    }
    commit(context, session, changes).await
}

fn in_flight() -> Error {
    Error::Conflict(
        Reason::InFlight,
        "A request with this Idempotency-Key is being carried out: try again".to_owned(),
    )
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
