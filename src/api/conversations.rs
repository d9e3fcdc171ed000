//! `/conversations`: lists and reads conversations.

use crate::{
    domain::{CONVERSATION_STATUSES, Conversation},
    http::{
        App,
        auth::{IdPath, Reader},
        envelope::{self, ApiError, CursorPagination, Page, Success},
        query::{Limit, query},
    },
    id::{ConversationId, InboxId, can_be_id},
    input::text,
    ops::conversations,
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only conversations of this inbox.
        inbox_id: Option<InboxId>,
        /// Only conversations with this status.
        status: Option<ConversationStatus>,
        /// The `next_cursor` of the previous page.
        cursor: Option<Cursor>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
    }
}

text! {
    /// `open` or `resolved`.
    struct ConversationStatus(String): status, |text| text.enum_values(Some(CONVERSATION_STATUSES));
}

text! {
    /// The `next_cursor` of a page: the id of its last conversation.
    struct Cursor(String): cursor, |text| text;
}

fn status(text: &str) -> Result<String, &'static str> {
    match CONVERSATION_STATUSES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err("must be open or resolved"),
    }
}

fn cursor(text: &str) -> Result<String, &'static str> {
    match text.starts_with("conv_") && can_be_id(text) {
        true => Ok(text.to_owned()),
        false => Err("must be the next_cursor of a page"),
    }
}

type ConversationPage = Page<Conversation, CursorPagination>;
type ConversationAnswer = Success<Conversation>;

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
    let params = ListParams::parse(query.as_deref())?;
    let cursor = params
        .cursor
        .map(|cursor| ConversationId::from_text(cursor.0));
    let limit = params.limit.unwrap_or_default().0;
    let (page, has_more) = conversations::list(
        &app.context,
        principal.account(),
        params.inbox_id.as_ref(),
        params.status.as_ref().map(|status| status.0.as_str()),
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
