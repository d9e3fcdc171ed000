//! `POST /conversations/{id}/typing`: from a request to the operation and back.

use crate::{
    http::{
        App,
        auth::{IdPath, Sender},
        body::Nothing,
        envelope::{ApiError, Failure},
        idempotency::{IdempotencyKey, begun, no_content},
    },
    id::ConversationId,
    ops::signals,
};
use axum::{extract::State, response::Response};

/// Show that somebody types
///
/// The contact sees for some seconds that an answer is being written. Within three seconds of another call for the same
/// conversation the provider is not asked again. On WhatsApp the contact's last message is marked as read by the same request,
/// whatever the inbox's `read_receipts` says. A request body is ignored.
#[utoipa::path(
    post, path = "/conversations/{id}/typing", operation_id = "showTyping", tag = "Conversations",
    params(("id" = String, Path, description = "Conversation id")),
    responses(
        (status = 204, description = "The provider shows it, or did so a moment ago"),
        (status = 409, description = "It cannot be shown there now, or the provider refuses", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "not_now",
                "message": "The contact has not written here yet"}}))
    )
)]
pub async fn show(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<ConversationId>,
    key: IdempotencyKey,
    Nothing: Nothing,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, None)?;
    let (context, account) = (app.context.clone(), principal.account().clone());
    let work = async move { signals::typing(&context, &account, &id).await };
    begun(&app.context, request, no_content, work).await
}
