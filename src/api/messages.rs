//! `/messages`: lists and reads messages.

use crate::{
    domain::Message,
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader},
        envelope::{self, ApiError, CursorPagination, Page, Success},
        query::{Limit, query},
    },
    id::{ConversationId, InboxId, MessageId},
    ops::messages,
    store::messages::Thread,
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only messages of this conversation. Either this or `inbox_id` is required.
        conversation_id: Option<ConversationId>,
        /// Only messages of this inbox.
        inbox_id: Option<InboxId>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
        /// Only messages before this one: the `next_cursor` of the previous page, or the id of any message.
        before: Option<MessageId>,
    }
}

type MessagePage = Page<Message, CursorPagination>;
type MessageAnswer = Success<Message>;

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
    let params = ListParams::parse(query.as_deref())?;
    let limit = params.limit.unwrap_or_default().0;
    let thread = match (params.conversation_id, params.inbox_id) {
        (Some(id), None) => Thread::Conversation(id),
        (None, Some(id)) => Thread::Inbox(id),
        _ => {
            let rule = "give either conversation_id or inbox_id";
            return Err(Error::field("conversation_id", rule).into());
        }
    };
    let (page, has_more) = messages::list(
        &app.context,
        principal.account(),
        &thread,
        params.before.as_ref(),
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
