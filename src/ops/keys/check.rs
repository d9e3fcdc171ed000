//! Authentication: from a presented API key to its principal.
//!
//! Invariant: a revoked or expired key is refused from the next request on.

use super::{text::presented_hash, uses::Uses};
use crate::{
    cache::{AccountState, Freshness},
    error::Error,
    id::KeyId,
    ops::Context,
    principal::{ActingKey, Actor, KeyHash, Principal, Scopes},
    store::keys,
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

/// The accuracy of `last_used_at`, in seconds. Writing each use would cost more than the request itself.
const USE_GRAIN: i64 = 60;

/// The principal of a presented key. Returns [`Error::Unauthorized`] if the key is unknown, revoked or expired.
pub async fn authenticate(
    context: &Context,
    uses: &Uses,
    presented: &str,
) -> Result<Arc<Principal>, Error> {
    let hash = presented_hash(presented).ok_or(Error::Unauthorized)?;
    let principal = find(context, &hash).await?;
    note_use(&principal, uses, context.clock.now());
    Ok(principal)
}

/// A principal whose key is cached, and what its request needs to use the cache.
pub struct CachedKey {
    /// The principal.
    pub principal: Arc<Principal>,
    /// The state of its account in the cache.
    pub account: Arc<AccountState>,
    /// The freshness with which the key was found.
    pub freshness: Freshness,
}

/// Authenticates a key from the cache alone. `None` if it is not cached or has expired; [`authenticate`] must then
/// decide. `now` is in seconds since 1970.
pub fn authenticate_cached(
    context: &Context,
    uses: &Uses,
    presented: &str,
    now: i64,
) -> Option<CachedKey> {
    let hash = presented_hash(presented)?;
    let freshness = context.cache.freshness();
    let (principal, account) = context.cache.key(freshness, &hash)?;
    if principal.has_expired(now) {
        return None;
    }
    note_use(&principal, uses, now);
    Some(CachedKey {
        principal,
        account,
        freshness,
    })
}

/// Checks again a principal that was authenticated some time ago. Returns it with its current scopes.
pub async fn recheck(context: &Context, principal: &Principal) -> Result<Arc<Principal>, Error> {
    find(context, &principal.key().hash).await
}

async fn find(context: &Context, hash: &KeyHash) -> Result<Arc<Principal>, Error> {
    let freshness = context.cache.freshness();
    let principal = match context.cache.key(freshness, hash) {
        Some((principal, _)) => principal,
        None => read(context, freshness, hash).await?,
    };
    if principal.has_expired(context.clock.now()) {
        return Err(Error::Unauthorized);
    }
    Ok(principal)
}

async fn read(
    context: &Context,
    freshness: Freshness,
    hash: &KeyHash,
) -> Result<Arc<Principal>, Error> {
    let token = context.cache.fill_token(freshness);
    let found = keys::find_by_hash(&mut context.db.read().await?, hash).await?;
    let (key, account) = found.ok_or(Error::Unauthorized)?;
    if key.revoked_at.is_some() {
        return Err(Error::Unauthorized);
    }
    let principal = Arc::new(Principal {
        account,
        scopes: Scopes::of(&key.scopes),
        actor: Actor::Key(ActingKey {
            id: key.id,
            name: key.name.into(),
            hash: *hash,
            expires_at: key.expires_at,
            rate_limit: key.rate_limit,
            use_noted_at: AtomicI64::new(key.last_used_at.unwrap_or(0)),
            last_origin: AtomicU64::new(0),
        }),
    });
    if let Some(token) = token {
        context.cache.fill_key(token, &principal);
    }
    Ok(principal)
}

fn note_use(principal: &Principal, uses: &Uses, now: i64) {
    let key: &ActingKey = principal.key();
    let (id, noted): (&KeyId, _) = (&key.id, &key.use_noted_at);
    if now - noted.load(Ordering::Relaxed) < USE_GRAIN || uses.are_full() {
        return;
    }
    if uses.note(principal.account(), id, now) {
        noted.store(now, Ordering::Relaxed);
    }
}
