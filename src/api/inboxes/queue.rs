//! `/inboxes/{id}/queue`: from a request to the operation and back.

use crate::{
    http::{
        App,
        auth::{IdPath, Sender},
        body::JsonObject,
        envelope::{ApiError, Success},
        idempotency::{IdempotencyKey, begun, ok},
    },
    id::InboxId,
    ops::outbox::{self, QueueChange, QueueChanged},
};
use axum::{extract::State, response::Response};

type QueueAnswer = Success<QueueChanged>;

/// Send or discard what an inbox holds
///
/// While the provider refuses everything of an inbox, as after its access token has expired, its messages wait. Once there is
/// a new token, those that have waited for more than ten minutes are held, and so is what follows them in their
/// conversations. They stay `queued` until they are released or discarded here. The answer is 0 and 0 if none was held.
#[utoipa::path(
    post, path = "/inboxes/{id}/queue", operation_id = "changeInboxQueue", tag = "Inboxes", params(("id" = String, Path, description = "Inbox id")),
    request_body(content = QueueChange, example = json!({"send": "all"})),
    responses(
        (status = 200, description = "How many messages are sent now, or were taken back", body = QueueAnswer),
        (status = 409, description = "A message that is to be taken back does not wait any more", body = crate::http::envelope::Failure)
    )
)]
pub async fn change(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<InboxId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, account) = (app.context.clone(), principal.account().clone());
    let work = async move { outbox::change_queue(&context, &account, &id, body).await };
    begun(&app.context, request, ok, work).await
}
