//! Requests with an `Idempotency-Key`: each handler that changes something takes it, and answers through [`once`] or
//! [`begun`].
//!
//! What is kept, and when, is in `ops::idempotency`.
//!
//! Invariant: the first answer and its repetitions are made by the same function from the same data.

use super::{
    App,
    envelope::{self, ApiError},
};
use crate::{
    error::Error,
    ops::{Context, idempotency::Request},
    principal::Principal,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};
use std::{borrow::Cow, convert::Infallible};

/// The header of a request that may be repeated.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header of an answer that was given before.
pub const REPLAYED: &str = "Idempotent-Replayed";

/// The idempotency key of a request, if it has one, and its method, path and query.
pub struct IdempotencyKey {
    key: Option<String>,
    operation: String,
}

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = values.next().map(|value| match values.next() {
            None => value.to_str().unwrap_or_default().to_owned(),
            // Several are no key, like what is no text.
            Some(_) => String::new(),
        });
        Ok(IdempotencyKey {
            key,
            operation: format!("{} {}", parts.method, parts.uri),
        })
    }
}

impl IdempotencyKey {
    /// The request that may be repeated, with its body if the operation reads one; or none.
    ///
    /// # Errors
    /// [`Error::Validation`] if what was sent is no idempotency key.
    pub fn request(
        self,
        principal: &Principal,
        body: Option<&Map<String, Value>>,
    ) -> Result<Option<Request>, Error> {
        let Some(key) = self.key else {
            return Ok(None);
        };
        let body = body.map(serde_json::to_string).transpose();
        let body = body.map_err(internal)?.unwrap_or_default();
        let (account, key_id) = (principal.account().clone(), principal.key().id.clone());
        Request::new(account, key_id, &key, &[&self.operation, &body]).map(Some)
    }
}

/// The answer to an operation: 200 with its data. This and the next are shapes for [`once`] and [`begun`].
pub fn ok(data: &RawValue) -> Result<Response, Error> {
    Ok(envelope::ok(data))
}

/// 204.
pub fn no_content(_: &RawValue) -> Result<Response, Error> {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// 201 with the data, which has an `id`, and its path below this one in `Location`.
pub fn created(folder: &'static str) -> impl Fn(&RawValue) -> Result<Response, Error> {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    move |data| {
        let Identified { id } = serde_json::from_str(data.get()).map_err(internal)?;
        let location = HeaderValue::from_str(&format!("{folder}/{id}"));
        let location = location.map_err(|error| Error::Internal(error.to_string()))?;
        let mut response = envelope::success(StatusCode::CREATED, data);
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }
}

/// Answers with what `work` returns, which commits its answer in its own transaction
/// (`ops::idempotency::commit_answer`), in a `shape`. For an equal request `work` is not begun, or comes to nothing.
pub async fn once<T: Serialize>(
    context: &Context,
    request: Option<&Request>,
    shape: impl Fn(&RawValue) -> Result<Response, Error>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<Response, ApiError> {
    if let Some(kept) = kept(context, request).await? {
        return again(shape(&kept)?);
    }
    let error = match work.await {
        Ok(data) => return Ok(shape(&to_raw_value(&data).map_err(internal)?)?),
        Err(error) => error,
    };
    // An equal request may have been faster, and what it did may be why this one cannot.
    let kept = kept(context, request).await?;
    kept.map_or(Err(error.into()), |kept| again(shape(&kept)?))
}

/// The same for work that is not one transaction, or that asks a provider: its request is kept before it is begun, and its
/// answer once it is there. It goes on to its end, even if the client does not wait.
pub async fn begun<T: Serialize + Send>(
    context: &Context,
    request: Option<Request>,
    shape: impl Fn(&RawValue) -> Result<Response, Error>,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<Response, ApiError> {
    let Some(request) = request else {
        return once(context, None, shape, work).await;
    };
    if let Some(kept) = kept(context, Some(&request)).await? {
        return again(shape(&kept)?);
    }
    if let Err(error) = request.claim(context).await {
        let kept = kept(context, Some(&request)).await?;
        return kept.map_or(Err(error.into()), |kept| again(shape(&kept)?));
    }
    let context = context.clone();
    let done = tokio::spawn(async move {
        let done = match work.await {
            Ok(data) => to_raw_value(&data).map_err(internal),
            Err(error) => Err(error),
        };
        let kept = request.conclude(&context, done.as_deref().ok()).await;
        if let Err(error) = kept {
            let cause = error.cause();
            tracing::warn!(cause, "the answer to an idempotent request is not kept");
        }
        done
    });
    let done = done
        .await
        .map_err(|error| Error::Internal(error.to_string()))??;
    Ok(shape(&done)?)
}

/// The answer that the request got before, if it may be repeated and did.
async fn kept(
    context: &Context,
    request: Option<&Request>,
) -> Result<Option<Box<RawValue>>, Error> {
    match request {
        Some(request) => request.answer(context).await,
        None => Ok(None),
    }
}

fn again(mut response: Response) -> Result<Response, ApiError> {
    let name = HeaderName::from_static("idempotent-replayed");
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static("true"));
    Ok(response)
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}
