//! What Meta's channels have in common: the verification handshake, the signature, and one URL for all inboxes.
//!
//! Sources: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>.
//!
//! Invariant: nothing of a delivery reaches the store before its own inbox's app secret has vouched for it.

use crate::{
    domain::Channel,
    error::Error,
    http::{
        App,
        body::{self, announces_more_than},
        envelope::{ApiError, Refusal},
        query::Query,
    },
    ops::{
        hooks::{self, Signed},
        ingest::Outcome,
    },
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use channels::{Delivery, Malformed};
use utoipa::IntoParams;

/// How one of Meta's channels is read.
pub(super) struct Format {
    /// Which.
    pub(super) channel: Channel,
    /// Reads a delivery.
    pub(super) parse: fn(&[u8]) -> Result<Delivery, Malformed>,
    /// Finds the addresses in one that cannot be read.
    pub(super) addresses: fn(&[u8]) -> Vec<String>,
}

/// The parameters of a verification, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct VerificationParams {
    /// Always `subscribe`.
    #[param(rename = "hub.mode", example = "subscribe")]
    mode: String,
    /// The verify token from the inbox's setup.
    #[param(rename = "hub.verify_token")]
    verify_token: String,
    /// What to answer with.
    #[param(rename = "hub.challenge", example = "1158201444")]
    challenge: String,
}

/// Answers `GET ?hub.mode=subscribe&hub.verify_token=T&hub.challenge=C`.
pub(super) async fn verify(
    app: &App,
    format: &Format,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let mut query = Query::read(query);
    let mut text = |name| query.get(name, |text| Ok::<_, String>(text.to_owned()));
    let mode = text("hub.mode");
    let token = text("hub.verify_token");
    let challenge = text("hub.challenge");
    let (Some("subscribe"), Some(token), Some(challenge), Ok(())) =
        (mode.as_deref(), token, challenge, query.finish())
    else {
        return Err(Refusal::NotVerified.into());
    };
    if !hooks::verify(&app.context, format.channel, &token).await? {
        return Err(Refusal::NotVerified.into());
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], challenge).into_response())
}

/// Answers `POST`: stores what is signed, and says so only then.
pub(super) async fn deliver(
    app: &App,
    format: &Format,
    request: Request,
) -> Result<Response, ApiError> {
    let outcome = receive(app, format, request).await;
    let label = match &outcome {
        Ok(_) => "accepted",
        Err(ApiError::Refusal(Refusal::BadSignature)) => "unsigned",
        Err(ApiError::Operation(Error::NotFound(_))) => "unknown_inbox",
        Err(ApiError::Operation(Error::Unavailable(_))) => "unavailable",
        Err(_) => "failed",
    };
    let channel = format.channel.as_str();
    metrics::counter!("inboxd_deliveries_total", "channel" => channel, "outcome" => label)
        .increment(1);
    let outcome = outcome?;
    for (what, count) in [
        ("stored", outcome.stored),
        ("known", outcome.known),
        ("changes", outcome.changes),
        ("quarantined", outcome.quarantined),
        ("ignored", outcome.ignored),
    ] {
        metrics::counter!("inboxd_delivered_items_total", "channel" => channel, "outcome" => what)
            .increment(count);
    }
    // An empty body: some providers execute what they find in one.
    Ok((StatusCode::OK, Body::empty()).into_response())
}

async fn receive(app: &App, format: &Format, request: Request) -> Result<Outcome, ApiError> {
    let (parts, body) = request.into_parts();
    let signature = parts
        .headers
        .get("x-hub-signature-256")
        .and_then(|value| value.to_str().ok())
        .ok_or(Refusal::BadSignature)?;
    let limits = &app.limits;
    if announces_more_than(&parts.headers, limits.delivery) {
        return Err(Refusal::BodyTooLarge.into());
    }
    let bytes = body::read(body, limits.delivery, limits.body_timeout).await?;
    let signed = Signed {
        channel: format.channel,
        delivery: (format.parse)(&bytes).map_err(|malformed| hooks::Unreadable {
            reason: malformed.reason,
            addresses: (format.addresses)(&bytes),
        }),
        body: &bytes,
        signature,
    };
    let arrivals = hooks::vouched(&app.context, signed)
        .await?
        .ok_or(Refusal::BadSignature)?;
    Ok(app.ingest.deliver(arrivals).await?)
}
