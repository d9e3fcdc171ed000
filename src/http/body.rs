//! Request bodies, bounded and strict.
//!
//! Invariant: no body is read beyond its limit or without memory that is reserved for it, and no JSON is accepted that two readers could understand differently.

use super::{
    App,
    body_memory::{Reservation, Reservations},
    client,
    envelope::{ApiError, Refusal},
};
use crate::error::Error;
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use tokio::time::timeout;

/// The size of a body's first piece of memory. It grows by doubling.
const FIRST: usize = 1024;
/// Bytes that a parsed value takes for each byte of JSON, at the worst: lists of tiny objects.
const GROWTH: usize = 64;

/// Reads a body of at most `limit` bytes, within the time that a body may take, into one piece of memory. `growth` is how
/// many bytes will be made of each: the memory for them is reserved, too, and all of it until the request is answered.
pub async fn read(
    app: &App,
    parts: &Parts,
    body: Body,
    limit: usize,
    growth: usize,
) -> Result<Bytes, ApiError> {
    let announced = announced(&parts.headers);
    if announced.is_some_and(|length| length > limit) {
        return Err(Refusal::BodyTooLarge.into());
    }
    // Only an empty body comes without.
    let Some(held) = parts.extensions.get::<Reservations>() else {
        return Ok(Bytes::new());
    };
    let address = client::address(parts, app)?;
    let mut reservation = app.body_memory.begin(client::network(address));
    let given_up = reservation.given_up();
    let reading = fill(&mut reservation, body, announced.unwrap_or(limit), limit);
    let bytes = tokio::select! {
        read = timeout(app.limits.body_timeout, reading) => read.map_err(|_| Refusal::BodyTooSlow)??,
        () = given_up => return Err(Refusal::BodyTooSlow.into()),
    };
    reservation.complete();
    if growth > 0 {
        let parsed = bytes.len().saturating_mul(growth);
        reservation.reserve_for_parsing(parsed).await?;
    }
    held.hold(reservation);
    Ok(bytes)
}

/// Copies a body into memory that is reserved before it is taken. Pieces are copied since each would hold on to all that was
/// read from the connection with it.
async fn fill(
    reservation: &mut Reservation,
    mut body: Body,
    expected: usize,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    while let Some(piece) = next(&mut body).await? {
        let length = bytes.len() + piece.len();
        if length > limit {
            return Err(Refusal::BodyTooLarge);
        }
        reservation.received(piece.len());
        let capacity = bytes.capacity();
        if length > capacity {
            let larger = (2 * capacity).max(FIRST).min(expected).max(length);
            reservation.reserve(larger - capacity).await?;
            bytes.reserve_exact(larger - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// Reads a body that nobody has a use for, and keeps nothing of it. A body that is left unread would end the connection.
pub async fn discard(app: &App, headers: &HeaderMap, mut body: Body) -> Result<(), ApiError> {
    let limits = &app.limits;
    if announced(headers).is_some_and(|length| length > limits.body) {
        return Err(Refusal::BodyTooLarge.into());
    }
    let reading = async {
        let mut length = 0;
        while let Some(piece) = next(&mut body).await? {
            length += piece.len();
            if length > limits.body {
                return Err(Refusal::BodyTooLarge);
            }
        }
        Ok(())
    };
    match timeout(limits.body_timeout, reading).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(Refusal::BodyTooSlow.into()),
    }
}

/// The next piece of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        // The connection broke, or the chunks were malformed.
        let frame = frame.map_err(|_| Refusal::BadRequest)?;
        // What is no data is a trailer, which nobody asked for.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The length that a body says it has.
fn announced(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // hyper has refused what is no number, so a longer one only does not fit.
    Some(length.parse().unwrap_or(usize::MAX))
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
        let bytes = read(app, &parts, body, app.limits.body, GROWTH).await?;
        match strict(&bytes) {
            Ok(Value::Object(object)) => Ok(JsonObject(object)),
            Ok(_) => Err(Error::field("body", "must be a JSON object").into()),
            Err(error) => Err(Error::field("body", format!("is not valid JSON: {error}")).into()),
        }
    }
}

/// The end of a call that says all in its path. What its body holds is read, within the limits, and ignored: existing
/// clients send `{}`.
pub struct Nothing;

impl FromRequest<App> for Nothing {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        discard(app, &parts.headers, body).await?;
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

/// Parses JSON in which no object has a key twice.
pub fn strict(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).map(|Strict(value)| value)
}

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
