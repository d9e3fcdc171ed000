//! `POST /messages/whatsapp`: for programs that were written for another API.

use super::send::preferred_wait;
use crate::{
    error::Error,
    http::{
        App,
        auth::Sender,
        body::{JsonObject, Reservations},
        envelope::{self, ApiError, Failure, Success},
        idempotency::{IdempotencyKey, once},
    },
    ops::messages::{self, NewWhatsappMessage},
};
use axum::{Extension, extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

/// A message that was accepted. If it was asked for with `conversation_id` and `receiver`, all other fields of a message are
/// beside these.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhatsappSent {
    /// The message's id.
    #[schema(example = "msg_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    message_id: String,
    /// How far it is: `queued` as long as the provider has not taken it.
    #[schema(example = "queued")]
    status: String,
    /// Whom it is for: a phone number with `+`, or a WhatsApp user id.
    #[schema(example = "+628111111111")]
    to: String,
    /// When it was accepted.
    #[schema(format = DateTime, example = "2025-01-15T08:00:00Z")]
    timestamp: String,
    /// The other fields of the message.
    #[serde(flatten)]
    #[schema(ignore)]
    beside: Map<String, Value>,
}

type WhatsappSentAnswer = Success<WhatsappSent>;

/// Send a WhatsApp message
///
/// For programs that were written for another API: the same as `POST /messages`, with two other bodies and a short answer. With
/// `inbox_id`, `to`, `type` and `content` it writes to a number; with `conversation_id`, `receiver` and `message` (or `location`) it
/// answers in a conversation, whose contact the receiver must be.
#[utoipa::path(
    post, path = "/messages/whatsapp", operation_id = "sendWhatsappMessage", tag = "Messages",
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: answer once the provider has, or after N seconds")),
    request_body(content = NewWhatsappMessage, examples(
        ("1. to a number" = (value = json!({"inbox_id": "inbox_06cqm0d4vdtqf5b5r9e2k8a1p4", "to": "+628111111111", "type": "text",
            "content": {"text": "Your order is on its way."}}))),
        ("2. into a conversation" = (value = json!({"conversation_id": "conv_06cqm0d4vdtqf5b5r9e2k8a1p4", "receiver": "628111111111",
            "message": "Your order is on its way."})))
    )),
    responses(
        (status = 200, description = "The message is accepted", body = WhatsappSentAnswer),
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
    let new = NewWhatsappMessage::parse(body)?;
    let (to, is_whole) = (new.to.clone(), new.in_conversation);
    let shape = move |message: &RawValue| short(message, &to, is_whole);
    let (context, request) = (&app.context, request.as_ref());
    let (account, sent_by) = (principal.account(), principal.sent_by());
    let work = messages::send_whatsapp(context, account, &sent_by, new, request, wait);
    once(context, request, shape, work).await
}

/// The answer that tells of a message, with all of its fields or the most important ones.
fn short(message: &RawValue, to: &str, is_whole: bool) -> Result<Response, Error> {
    let message: Map<String, Value> =
        serde_json::from_str(message.get()).map_err(|error| Error::Internal(error.to_string()))?;
    let text = |name: &str| {
        message
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut sent = WhatsappSent {
        message_id: text("id").to_owned(),
        status: text("status").to_owned(),
        to: to.to_owned(),
        timestamp: text("timestamp").to_owned(),
        beside: Map::new(),
    };
    if is_whole {
        sent.beside = message;
        for name in ["status", "timestamp"] {
            sent.beside.shift_remove(name);
        }
    }
    Ok(envelope::ok(sent))
}
