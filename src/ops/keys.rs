//! API keys: creates, lists, limits and revokes them.
//!
//! Invariant: the key itself appears only in the answer to its creation. The store has its SHA-256, which is enough to
//! protect 256 random bits.

mod check;
mod text;
mod uses;

pub use check::{CachedKey, authenticate, authenticate_cached, recheck};
pub use text::fingerprint;
pub use uses::Uses;

use super::{
    Context,
    changes::{Changes, commit},
    check_name, found,
    transaction::again,
};
use crate::{
    domain::{ApiKey, Scope},
    error::Error,
    id::{AccountId, KeyId},
    store::keys,
};
use db::Session;
use secrecy::{ExposeSecret, SecretString};
use text::{generate, hash};

/// The highest rate limit that can be set, in requests per minute.
pub const MOST_REQUESTS: i64 = 1_000_000_000;

/// A key to create.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// A name that says what the key is for.
    pub name: &'a str,
    /// What the key may do. At least one.
    pub scopes: &'a [Scope],
    /// After how many seconds it expires. `None` if it never does.
    pub expires_in: Option<i64>,
    /// Requests per minute. 0 means no limit; `None` means the server's default limit.
    pub rate_limit: Option<i64>,
}

/// Creates a key. The second value is the key itself, which cannot be read again.
pub async fn create(
    context: &Context,
    account: &AccountId,
    new: &NewKey<'_>,
) -> Result<(ApiKey, SecretString), Error> {
    again(|| async {
        let mut session = context.db.write().await?;
        let made = create_in(context, &mut session, account, new).await?;
        // No existing key changes, so there is nothing to announce.
        commit(context, session, Changes::none()).await?;
        Ok(made)
    })
    .await
}

/// Creates a key in an open transaction.
pub(super) async fn create_in(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    new: &NewKey<'_>,
) -> Result<(ApiKey, SecretString), Error> {
    check_limit(new.rate_limit)?;
    let name = check_name(new.name).map_err(|rule| Error::field("name", rule))?;
    let mut scopes = new.scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Error::field("scope", "give at least one"));
    }
    let secret = generate();
    let now = context.clock.now();
    let key = ApiKey {
        id: KeyId::new(&context.clock),
        name,
        scopes,
        created_at: now,
        expires_at: new.expires_in.map(|seconds| now.saturating_add(seconds)),
        rate_limit: new.rate_limit,
        revoked_at: None,
        last_used_at: None,
    };
    keys::insert(session, account, &key, &hash(secret.expose_secret())).await?;
    Ok((key, secret))
}

/// All keys of an account, oldest first, including revoked and expired ones.
pub async fn list(context: &Context, account: &AccountId) -> Result<Vec<ApiKey>, Error> {
    Ok(keys::list(&mut context.db.read().await?, account).await?)
}

/// Sets a key's rate limit in requests per minute, from the next request on. 0 means no limit; `None` means the
/// server's default limit.
pub async fn limit(
    context: &Context,
    account: &AccountId,
    id: &KeyId,
    rate_limit: Option<i64>,
) -> Result<ApiKey, Error> {
    check_limit(rate_limit)?;
    again(|| async {
        let mut session = context.db.write().await?;
        let key = found(
            keys::limit(&mut session, account, id, rate_limit).await?,
            "API key",
        )?;
        commit(context, session, Changes::of_keys(account)).await?;
        Ok(key)
    })
    .await
}

fn check_limit(rate_limit: Option<i64>) -> Result<(), Error> {
    match rate_limit {
        None | Some(0..=MOST_REQUESTS) => Ok(()),
        Some(_) => {
            let rule = format!("must be a whole number from 0 to {MOST_REQUESTS}");
            Err(Error::field("rate_limit", rule))
        }
    }
}

/// Revokes a key. It stops working from the next request on. Revoking it again has no effect.
pub async fn revoke(context: &Context, account: &AccountId, id: &KeyId) -> Result<ApiKey, Error> {
    again(|| async {
        let mut session = context.db.write().await?;
        let key = keys::revoke(&mut session, account, id, context.clock.now()).await?;
        let key = found(key, "API key")?;
        commit(context, session, Changes::of_keys(account)).await?;
        Ok(key)
    })
    .await
}
