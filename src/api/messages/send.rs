//! `POST /messages`, and what can be done about a message that was sent: from a request to the operation and back.

use super::MessageAnswer;
use crate::{
    http::{
        App,
        auth::{IdPath, Sender},
        body::{JsonObject, Nothing, Reservations},
        envelope::{ApiError, Failure},
        idempotency::{IdempotencyKey, created, ok, once},
    },
    id::MessageId,
    ops::{
        messages::{self, NewMessage},
        outbox::{self, Settlement},
    },
};
use axum::{Extension, extract::State, http::HeaderMap, response::Response};
use std::time::Duration;

/// The longest that a request can wait for the provider, in seconds.
const LONGEST_WAIT: u64 = 30;

/// Send a message
///
/// The message is accepted once it is stored, and sent as soon as possible. `status` tells how far it is: `queued`, then
/// `sent`, `delivered` and `read`; or `failed`, with `error`; or `unknown`, if the provider may have it and has not said so.
/// Messages of one conversation are sent in order. With `Prefer: wait=10` the answer comes when the provider has
/// answered, or after that many seconds (at most 30).
#[utoipa::path(
    post, path = "/messages", operation_id = "sendMessage", tag = "Messages",
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: answer once the provider has, or after N seconds. An answer that is repeated (`Idempotency-Key`) comes at once, and shows the message as it was accepted")),
    request_body(content = NewMessage, examples(
        ("1. text" = (value = json!({"conversation_id": "conv_06cqm0d4vdtqf5b5r9e2k8a1p4", "type": "text",
            "content": {"text": "Yes, the blue one is still available."}}))),
        ("2. location" = (value = json!({"conversation_id": "conv_06cqm0d4vdtqf5b5r9e2k8a1p4", "type": "location",
            "content": {"latitude": -6.2, "longitude": 106.8, "name": "Toko Biru", "address": "Jl. Jaksa 1, Jakarta"}})))
    )),
    responses(
        (status = 201, description = "The message is accepted", body = MessageAnswer,
            headers(("Location" = String, description = "The path of the message"))),
        (status = 404, description = "No such conversation or inbox in this account", body = Failure),
        (status = 409, description = "Nothing can be sent there now", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "outside_window",
                "message": "The contact has not written within 24 hours: until it writes again, only a template can be sent"}}))
    )
)]
pub async fn send(
    Sender(principal): Sender,
    State(app): State<App>,
    headers: HeaderMap,
    key: IdempotencyKey,
    reservations: Option<Extension<Reservations>>,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let wait = preferred_wait(&headers, reservations);
    let request = key.request(&principal, Some(&body))?;
    let new = NewMessage::parse(body)?;
    let (context, request) = (&app.context, request.as_ref());
    let (account, sent_by) = (principal.account(), principal.sent_by());
    let work = messages::send(context, account, &sent_by, new, request, wait);
    once(context, request, created("/messages"), work).await
}

/// How long the client would wait for the provider. Then the memory of the request's body is free: it is short now, and
/// waiting must not keep others from sending theirs.
pub(super) fn preferred_wait(
    headers: &HeaderMap,
    reservations: Option<Extension<Reservations>>,
) -> Option<Duration> {
    let wait = wait(headers)?;
    if let Some(Extension(reservations)) = reservations {
        reservations.release();
    }
    Some(wait)
}

/// The client's preference (RFC 7240). What cannot be read is none.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter();
    let mut preferences = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    let seconds: u64 = preferences
        .find_map(|one| one.trim().strip_prefix("wait="))?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// Retry a message
///
/// Tries a message again that is `failed` or `unknown`. It is then the last of its conversation. One that is `unknown` may
/// arrive twice.
#[utoipa::path(
    post, path = "/messages/{id}/retry", operation_id = "retryMessage", tag = "Messages",
    params(("id" = String, Path, description = "Message id")),
    responses(
        (status = 200, description = "The message is queued again", body = MessageAnswer),
        (status = 409, description = "It is neither `failed` nor `unknown`, or nothing can be sent there now", body = Failure)
    )
)]
pub async fn retry(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<MessageId>,
    key: IdempotencyKey,
    Nothing: Nothing,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, None)?;
    let (context, request) = (&app.context, request.as_ref());
    let work = outbox::retry(context, principal.account(), &id, request);
    once(context, request, ok, work).await
}

/// Cancel a message
///
/// Takes back a message that is `queued` and not being sent at this moment.
#[utoipa::path(
    post, path = "/messages/{id}/cancel", operation_id = "cancelMessage", tag = "Messages",
    params(("id" = String, Path, description = "Message id")),
    responses(
        (status = 200, description = "The message is canceled", body = MessageAnswer),
        (status = 409, description = "It is not `queued`, or is being sent at this moment", body = Failure)
    )
)]
pub async fn cancel(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<MessageId>,
    key: IdempotencyKey,
    Nothing: Nothing,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, None)?;
    let (context, request) = (&app.context, request.as_ref());
    let work = outbox::cancel(context, principal.account(), None, &id, request);
    once(context, request, ok, work).await
}

/// Settle a message
///
/// Records what became of a message that is `unknown`, for example after a look into the channel's own app. If the provider
/// reports otherwise later, that counts.
#[utoipa::path(
    post, path = "/messages/{id}/settle", operation_id = "settleMessage", tag = "Messages",
    params(("id" = String, Path, description = "Message id")),
    request_body(content = Settlement, example = json!({"status": "sent"})),
    responses(
        (status = 200, description = "The message is settled", body = MessageAnswer),
        (status = 409, description = "It is not `unknown`", body = Failure)
    )
)]
pub async fn settle(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<MessageId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, request) = (&app.context, request.as_ref());
    let work = outbox::settle(context, principal.account(), &id, body, request);
    once(context, request, ok, work).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, header};

    #[test]
    fn a_wait_is_read_among_other_preferences_and_has_an_end() {
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static("prefer"),
                HeaderValue::from_static(value),
            )]);
            super::wait(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("wait=10"), Some(10));
        assert_eq!(wait("respond-async, wait=9000"), Some(LONGEST_WAIT));
        assert_eq!(wait("wait=soon"), None);
        assert_eq!(wait("return=minimal"), None);
    }
}
