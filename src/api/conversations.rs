//! `/conversations`: lists and reads conversations.

use crate::{
    domain::Conversation,
    http::{
        App,
        auth::{IdPath, Reader},
        envelope::{self, ApiError, CursorPagination},
        query::Query,
    },
    id::{ConversationId, InboxId, can_be_id},
    ops::conversations,
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
    /// Only conversations of this inbox.
    inbox_id: Option<String>,
    /// Only conversations with this status: `open` or `resolved`.
    status: Option<String>,
    /// Maximum number of results to return.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of conversations.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct ConversationPage {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The conversations of this page.
    data: Vec<Conversation>,
    /// The position of the page in the list.
    pagination: CursorPagination,
}

/// The answer with one conversation.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct ConversationAnswer {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The conversation.
    data: Conversation,
}

/// List conversations
///
/// Conversations are sorted by the time when they began, newest first. Reading all pages returns each of them exactly
/// once, even if new ones arrive in the meantime.
#[utoipa::path(
    get, path = "/conversations", operation_id = "listConversations", tag = "Conversations", params(ListParams),
    responses(
        (status = 200, description = "A page of conversations", body = ConversationPage),
        (status = 404, description = "No such inbox in this account", body = crate::http::envelope::Failure)
    )
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::read(query.as_deref());
    let inbox = query.id("inbox_id").map(InboxId::from_text);
    let status = query.get("status", |text| match text {
        "open" | "resolved" => Ok(text.to_owned()),
        _ => Err("must be open or resolved"),
    });
    let cursor = query.get("cursor", |text| {
        match text.starts_with("conv_") && can_be_id(text) {
            true => Ok(ConversationId::from_text(text)),
            false => Err("must be the next_cursor of a page"),
        }
    });
    let limit = query.limit();
    query.finish()?;
    let (page, has_more) = conversations::list(
        &app.context,
        principal.account(),
        inbox.as_ref(),
        status.as_deref(),
        cursor.as_ref(),
        limit,
    )
    .await?;
    let last = page.last().map(|last| last.id.to_string());
    let pagination = CursorPagination::new(limit, has_more, last);
    Ok(envelope::walk(page, pagination))
}

/// Get a conversation
#[utoipa::path(
    get, path = "/conversations/{id}", operation_id = "getConversation", tag = "Conversations",
    params(("id" = String, Path, description = "Conversation id")),
    responses((status = 200, description = "The conversation", body = ConversationAnswer))
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    IdPath(id): IdPath,
) -> Result<Response, ApiError> {
    let id = ConversationId::from_text(id);
    Ok(envelope::ok(
        conversations::get(&app.context, principal.account(), &id).await?,
    ))
}
