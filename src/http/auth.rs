//! Extracts the principal of a request from its API key.
//!
//! A handler takes [`Reader`], [`Writer`] or [`Sender`] for the scope that it needs. Without a principal it has no account
//! to ask about.
//!
//! Invariant: a key never leaves this module, except to be checked. It is never logged.

use super::{
    App, client,
    envelope::{ApiError, Refusal},
    query::{GIVEN_TWICE, decode},
    rates::Counted,
};
use crate::{
    domain::Scope,
    error::Error,
    id::can_be_id,
    ops::keys::{self, CachedKey},
    principal::Principal,
};
use axum::{
    extract::{FromRequestParts, Path},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use std::{borrow::Cow, net::IpAddr, sync::Arc};

static API_KEY: HeaderName = HeaderName::from_static("api_key");

/// A principal with the scope `read`.
pub struct Reader(pub Arc<Principal>);

/// A principal with the scope `send`.
pub struct Sender(pub Arc<Principal>);

/// A principal with the scope `write`.
pub struct Writer(pub Arc<Principal>);

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorise(parts, app, Scope::Read).await.map(Reader)
    }
}

impl FromRequestParts<App> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorise(parts, app, Scope::Write).await.map(Writer)
    }
}

impl FromRequestParts<App> for Sender {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorise(parts, app, Scope::Send).await.map(Sender)
    }
}

async fn authorise(parts: &Parts, app: &App, scope: Scope) -> Result<Arc<Principal>, ApiError> {
    let key = presented(&parts.headers, parts.uri.query())?;
    let clock = &app.context.clock;
    let address = client::address(parts, app)?;
    app.rates.may_try(&key, address, clock.now())?;
    let principal = match keys::authenticate(&app.context, &app.uses, &key).await {
        Err(Error::Unauthorized) => return Err(app.rates.failed(address, clock.now()).into()),
        other => other?,
    };
    if let Some(quota) = app.rates.count(&principal, address, clock.now()) {
        if let Some(counted) = parts.extensions.get::<Counted>() {
            counted.note(quota);
        }
        quota.check(clock.now())?;
    }
    principal.require(scope)?;
    Ok(principal)
}

/// A principal with this scope whose key is cached, and the client's address. `None` if the key is not cached, or if the
/// request will be refused: the extractors then decide. The request is not counted yet. `now` is in seconds since 1970.
pub fn authorise_cached(
    parts: &Parts,
    app: &App,
    scope: Scope,
    now: i64,
) -> Option<(CachedKey, IpAddr)> {
    let key = presented(&parts.headers, parts.uri.query()).ok()?;
    let address = client::address(parts, app).ok()?;
    app.rates.may_try(&key, address, now).ok()?;
    let key = keys::authenticate_cached(&app.context, &app.uses, &key, now)?;
    key.principal.require(scope).ok()?;
    Some((key, address))
}

/// The key that a request presents: the bearer header first, then the `api_key` header, then the `api_key` parameter.
fn presented<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Cow<'a, str>, Error> {
    if let Some(key) = headers.get(header::AUTHORIZATION).and_then(bearer) {
        return Ok(key.into());
    }
    if let Some(value) = headers.get(&API_KEY) {
        let key = value.to_str().map_err(|_| Error::Unauthorized)?;
        return Ok(key.trim().into());
    }
    let pairs = query.unwrap_or_default().split('&');
    let mut given = pairs.filter_map(|pair| pair.strip_prefix("api_key="));
    let key = given.next().and_then(decode).ok_or(Error::Unauthorized)?;
    match given.next() {
        None => Ok(key),
        Some(_) => Err(Error::field("api_key", GIVEN_TWICE)),
    }
}

/// The key of `Bearer KEY` or `api_key KEY`, with the scheme in any case. A header with another scheme is ignored.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let value = std::str::from_utf8(value.as_bytes()).ok()?.trim();
    let (scheme, key) = value.split_once(' ').unwrap_or((value, ""));
    let schemes = ["bearer", "api_key"];
    let ours = schemes.iter().any(|one| scheme.eq_ignore_ascii_case(one));
    ours.then_some(key.trim())
}

/// The `{id}` of a path. A text that cannot be an id becomes the empty id, which is never found.
pub struct IdPath<T = String>(pub T);

impl<T: From<String>> FromRequestParts<App> for IdPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let id: Result<Path<String>, _> = Path::from_request_parts(parts, &()).await;
        let Ok(Path(mut id)) = id else {
            return Err(Refusal::NoSuchPath.into());
        };
        if !can_be_id(&id) {
            id.clear();
        }
        Ok(IdPath(id.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for header in [
            "Bearer k",
            "bearer k",
            "BEARER  k ",
            " Bearer k",
            "Api_Key k",
        ] {
            let value = HeaderValue::from_static(header);
            assert_eq!(bearer(&value), Some("k"), "{header}");
        }
        assert_eq!(bearer(&HeaderValue::from_static("Basic k")), None);
        assert_eq!(bearer(&HeaderValue::from_static("Bearer")), Some(""));
    }
}
