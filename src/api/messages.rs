//! `/messages`: lists and reads messages.

use crate::{
    domain::Message,
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader},
        envelope::{self, ApiError, CursorPagination},
        query::Query,
    },
    id::{ConversationId, InboxId, MessageId},
    ops::messages,
    store::messages::Thread,
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// The query parameters, for the OpenAPI document. [`list`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document is made from it")]
struct ListParams {
    /// Only messages of this conversation. Either this or `inbox_id` is required.
    conversation_id: Option<String>,
    /// Only messages of this inbox.
    inbox_id: Option<String>,
    /// Maximum number of results to return.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i64>,
    /// Only messages before this one: the `next_cursor` of the previous page, or the id of any message.
    before: Option<String>,
}

/// A page of messages.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct MessagePage {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The messages of this page, oldest first.
    data: Vec<Message>,
    /// The position of the page in the list.
    pagination: CursorPagination,
}

/// The answer with one message.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct MessageAnswer {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The message.
    data: Message,
}

/// List messages
///
/// Returns the newest messages, oldest first within the page. `before` requests older pages.
#[utoipa::path(
    get, path = "/messages", operation_id = "listMessages", tag = "Messages", params(ListParams),
    responses(
        (status = 200, description = "A page of messages", body = MessagePage),
        (status = 404, description = "No such conversation or inbox in this account", body = crate::http::envelope::Failure)
    )
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::read(query.as_deref());
    let conversation = query.id("conversation_id");
    let inbox = query.id("inbox_id");
    let before = query.id("before").map(MessageId::from_text);
    let limit = query.limit();
    query.finish()?;
    let thread = match (conversation, inbox) {
        (Some(id), None) => Thread::Conversation(ConversationId::from_text(id)),
        (None, Some(id)) => Thread::Inbox(InboxId::from_text(id)),
        _ => {
            let rule = "give either conversation_id or inbox_id";
            return Err(Error::field("conversation_id", rule).into());
        }
    };
    let (page, has_more) = messages::list(
        &app.context,
        principal.account(),
        &thread,
        before.as_ref(),
        limit,
    )
    .await?;
    let oldest = page.first().map(|oldest| oldest.id.to_string());
    let pagination = CursorPagination::new(limit, has_more, oldest);
    Ok(envelope::walk(page, pagination))
}

/// Get a message
#[utoipa::path(
    get, path = "/messages/{id}", operation_id = "getMessage", tag = "Messages", params(("id" = String, Path, description = "Message id")),
    responses((status = 200, description = "The message", body = MessageAnswer))
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    IdPath(id): IdPath,
) -> Result<Response, ApiError> {
    let id = MessageId::from_text(id);
    Ok(envelope::ok(
        messages::get(&app.context, principal.account(), &id).await?,
    ))
}
