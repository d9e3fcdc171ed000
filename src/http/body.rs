//! Request bodies, bounded and strict.
//!
//! Invariant: no body is read beyond its limit or without reserved memory, and no JSON is accepted that two parsers could
//! understand differently.

use super::{
    App,
    body_memory::{AnswerMemory, Reservation},
    client,
    envelope::{ApiError, Refusal},
};
use crate::error::Error;
use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::time::timeout;

/// The first capacity of a body's buffer, in bytes. It grows by doubling.
const FIRST: usize = 1024;
/// Bytes of memory that a parsed value takes for each byte of JSON, in the worst case (a list of tiny objects).
const GROWTH: usize = 64;

/// Reads a body of at most `limit` bytes into one piece of memory, within the time limit for bodies. Memory is reserved for
/// the body, and `growth` bytes more for each of its bytes, for the values that will be parsed from it. It stays reserved
/// until the request is answered.
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
    // Only a request without a body has no reservations.
    let Some(held) = parts.extensions.get::<Reservations>() else {
        return Ok(Bytes::new());
    };
    let address = client::address(parts, app)?;
    let mut reservation = app.body_memory.begin(client::network(address));
    let evicted = reservation.evicted();
    let reading = fill(&mut reservation, body, announced.unwrap_or(limit), limit);
    let bytes = tokio::select! {
        read = timeout(app.limits.body_timeout, reading) => read.map_err(|_| Refusal::BodyTooSlow)??,
        () = evicted => return Err(Refusal::BodyTooSlow.into()),
    };
    reservation.complete();
    if growth > 0 {
        let parsed = bytes.len().saturating_mul(growth);
        reservation.reserve_for_parsing(parsed).await?;
    }
    held.hold(reservation);
    Ok(bytes)
}

/// Copies a body into memory that is reserved before it is allocated. Frames are copied because each one would keep the
/// connection's whole read buffer alive.
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

/// Reads a body and drops it. An unread body would end the connection.
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

/// The next piece of a body's data. `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        // The connection broke, or the chunks were malformed.
        let frame = frame.map_err(|_| Refusal::BadRequest)?;
        // A frame without data is a trailer, which nothing here uses.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The body of a long answer. Its memory stays reserved until all of its bytes were written to the connection.
pub struct Held {
    body: Body,
    memory: Arc<AnswerMemory>,
}

impl Held {
    /// A body with the memory that it takes.
    pub fn new(body: Body, memory: AnswerMemory) -> Self {
        let memory = Arc::new(memory);
        Held { body, memory }
    }
}

/// A piece of the body. hyper drops the body itself long before it has written the bytes.
struct HeldBytes(
    Bytes,
    #[allow(dead_code, reason = "it is dropped with the bytes")] Arc<AnswerMemory>,
);

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let memory = self.memory.clone();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let hold = |bytes| Bytes::from_owner(HeldBytes(bytes, memory));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body's length by its `Content-Length` header.
fn announced(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // hyper has refused a value that is not a number, so this one is only too large for `usize`.
    Some(length.parse().unwrap_or(usize::MAX))
}

/// The reservations of one request. Each request with a body has this extension, and it is held until the request is
/// answered. Clones share the reservations.
#[derive(Clone, Default)]
pub struct Reservations(Arc<Mutex<Vec<Reservation>>>);

impl Reservations {
    /// Adds a reservation.
    pub fn hold(&self, reservation: Reservation) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reservation);
    }

    /// Frees all of them: for a request that waits for something else, with nothing left of its body.
    pub fn release(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// A request's body that must be a JSON object.
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

/// For an operation without a request body. A body is read within the limits and ignored, since existing clients send `{}`.
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

/// A JSON value in which no object has a duplicate key.
struct Strict(Value);

/// Parses JSON. An object with a duplicate key is an error.
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
