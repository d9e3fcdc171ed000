//! The hooks, which providers call, with one file for each channel.
//!
//! A hook checks whether a request is genuine, has its update parsed, and answers when the messages are durable. A new
//! channel is one file here, and a line in the router.
//!
//! Invariant: no item of an update is stored before its signature or token was checked with that of its inbox.

pub mod instagram;
pub mod telegram;
pub mod whatsapp;

mod meta;

use crate::{
    domain::Channel,
    error::Error,
    http::{
        App, body,
        envelope::{ApiError, Refusal},
    },
    ops::{
        ingest::{Outcome, Source},
        test_update::TEST_HEADER,
    },
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Headers that may contain secrets.
const SECRET_HEADERS: [&str; 4] = [
    "authorization",
    "api_key",
    "cookie",
    "x-telegram-bot-api-secret-token",
];

/// Bytes of memory that parsed items take for each byte of an update, in the worst case (many tiny items).
const GROWTH: usize = 16;

/// Reads an update as it was sent.
async fn source(app: &App, request: Request) -> Result<Arc<Source>, ApiError> {
    let (parts, body) = request.into_parts();
    let body = body::read(app, &parts, body, app.limits.update, GROWTH).await?;
    Ok(Arc::new(Source {
        headers: headers_text(&parts.headers),
        body,
        test: parts.headers.contains_key(TEST_HEADER),
        is_released: false,
    }))
}

fn headers_text(headers: &HeaderMap) -> String {
    let kept: Map<_, _> = headers
        .iter()
        .filter(|(name, _)| !SECRET_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| {
            // A header cannot contain U+0000. Bytes that are not UTF-8 are replaced.
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), Value::from(value))
        })
        .collect();
    Value::from(kept).to_string()
}

/// Counts the outcome of an update, and answers. The body is empty, since some providers execute commands that they find in
/// it.
fn answer(channel: Channel, outcome: Result<Outcome, ApiError>) -> Result<Response, ApiError> {
    let label = match &outcome {
        Ok(_) => "accepted",
        Err(ApiError::Refusal(Refusal::BadSignature)) => "unsigned",
        Err(ApiError::Operation(Error::NotFound(_))) => "unknown_inbox",
        Err(
            ApiError::Operation(Error::Unavailable(_)) | ApiError::Refusal(Refusal::TooManyBodies),
        ) => "unavailable",
        Err(_) => "failed",
    };
    let channel = channel.as_str();
    metrics::counter!("inboxd_updates_total", "channel" => channel, "outcome" => label)
        .increment(1);
    let outcome = outcome?;
    for (what, count) in [
        ("stored", outcome.stored),
        ("known", outcome.known),
        ("changes", outcome.changes),
        ("quarantined", outcome.quarantined),
        ("ignored", outcome.ignored),
        ("foreign", outcome.foreign),
    ] {
        metrics::counter!("inboxd_update_items_total", "channel" => channel, "outcome" => what)
            .increment(count);
    }
    Ok((StatusCode::OK, Body::empty()).into_response())
}
