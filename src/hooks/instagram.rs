//! `/hooks/instagram`: Instagram messaging.

use super::meta;
use crate::{
    domain::Channel,
    http::{App, envelope::ApiError},
};
use axum::{
    extract::{RawQuery, Request, State},
    response::Response,
};

/// Meta's verification of the callback URL
///
/// Answers with the challenge if the token is some inbox's, which proves that inbox.
#[utoipa::path(
    get, path = "/hooks/instagram", operation_id = "verifyInstagramHook", tag = "Hooks", security(()), params(meta::VerificationParams),
    responses(
        (status = 200, description = "The challenge", content_type = "text/plain", body = String),
        (status = 403, description = "Not a verification, or not with a token of ours", body = crate::http::envelope::Failure)
    )
)]
pub async fn verify(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    meta::verify(&app, Channel::Instagram, query.as_deref()).await
}

/// Updates of Instagram messaging
///
/// 200 with an empty body once everything is durably stored. A redelivery changes nothing and gets 200.
/// The signature is checked with the app secrets of the inboxes that the body names, of at most 64 addresses.
#[utoipa::path(
    post, path = "/hooks/instagram", operation_id = "receiveInstagramUpdates", tag = "Hooks", security(()),
    request_body(description = "A webhook payload, as Meta signs it", content_type = "application/json", content = String),
    params(("X-Hub-Signature-256" = String, Header, description = "`sha256=` and the HMAC-SHA256 of the raw body with the app secret, in lower-case hex")),
    responses(
        (status = 200, description = "Stored"),
        (status = 401, description = "The signature is missing or wrong; nothing was stored", body = crate::http::envelope::Failure),
        (status = 404, description = "No part of the update is for a known inbox", body = crate::http::envelope::Failure)
    )
)]
pub async fn deliver(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    meta::deliver(&app, Channel::Instagram, request).await
}
