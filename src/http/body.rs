//! Request bodies, bounded and strict.
//!
//! Invariant: no body is read beyond its limit, and no JSON is accepted that two readers could understand differently.

use super::{
    App,
    envelope::{ApiError, Refusal},
};
use crate::error::Error;
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::{fmt, time::Duration};

/// Reads a body of at most `limit` bytes, within `time`.
pub async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge.into()),
        // The connection broke, or the chunks were malformed.
        Ok(Err(_)) => Err(Refusal::BadRequest.into()),
        Err(_) => Err(Refusal::BodyTooSlow.into()),
    }
}

/// Whether a body says of itself that it is longer than `limit`. Then nothing of it needs to be read.
pub fn announces_more_than(headers: &HeaderMap, limit: usize) -> bool {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length > limit as u64)
}

/// A JSON object as the body of a call.
pub struct JsonObject(pub Map<String, Value>);

impl FromRequest<App> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Refusal::NotJson.into());
        }
        let limits = &app.limits;
        if announces_more_than(&parts.headers, limits.body) {
            return Err(Refusal::BodyTooLarge.into());
        }
        let bytes = read(body, limits.body, limits.body_timeout).await?;
        match serde_json::from_slice::<Strict>(&bytes) {
            Ok(Strict(Value::Object(object))) => Ok(JsonObject(object)),
            Ok(_) => Err(Error::field("body", "must be a JSON object").into()),
            Err(error) => Err(Error::field("body", format!("is not valid JSON: {error}")).into()),
        }
    }
}

/// The end of a call that says all in its path. What its body holds is read, within the limits, and ignored: existing
/// clients send `{}`, and a body that is left unread would end the connection.
pub struct Nothing;

impl FromRequest<App> for Nothing {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let limits = &app.limits;
        if announces_more_than(&parts.headers, limits.body) {
            return Err(Refusal::BodyTooLarge.into());
        }
        read(body, limits.body, limits.body_timeout).await?;
        Ok(Nothing)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let value = value.to_str().unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// A JSON value in which no object has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = object.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom("an object has a key twice"));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}
