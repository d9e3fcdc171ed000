//! `/messages`: lists and reads messages. How they are sent is in [`send`].

pub mod send;
pub mod whatsapp;

use crate::{
    domain::Message,
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader},
        envelope::{self, ApiError, CursorPagination, Page, Success},
        query::{Flag, Limit, query},
        representation::{Represented, Wanted, represent_once},
    },
    id::{ConversationId, InboxId, MessageId},
    ops::messages,
    store::messages::Thread,
};
use axum::extract::{RawQuery, State};

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only messages of this conversation. Either this or `inbox_id` is required.
        conversation_id: Option<ConversationId>,
        /// Only messages of this inbox.
        inbox_id: Option<InboxId>,
        /// `true`, with `inbox_id`: only messages that are held, since they have waited for long while the inbox could not send.
        held: Option<Flag>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
        /// Only messages before this one: the `next_cursor` of the previous page, or the id of any message.
        before: Option<MessageId>,
        /// The same as `before`, with the name that it has in every list.
        cursor: Option<MessageId>,
    }
}

type MessagePage = Page<Message<'static>, CursorPagination>;
type MessageAnswer = Success<Message<'static>>;

/// List messages
///
/// Returns the newest messages, oldest first within the page. `before` requests older pages. Content of
/// more than 65,536 bytes is cut, which `truncated` and `content_size` show: `GET /messages/{id}` has all of it. A page
/// ends early when it reaches 4 MB.
#[utoipa::path(
    get, path = "/messages", operation_id = "listMessages", tag = "Messages", params(ListParams, Wanted),
    responses(
        (status = 200, description = "A page of messages", body = MessagePage,
            headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"),
        (status = 404, description = "No such conversation or inbox in this account", body = crate::http::envelope::Failure)
    )
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    RawQuery(query): RawQuery,
) -> Result<Represented, ApiError> {
    let params = ListParams::parse(query.as_deref())?;
    let limit = params.limit.unwrap_or_default().0;
    let held = params.held.unwrap_or_default().0;
    let thread = match (params.conversation_id, params.inbox_id) {
        (Some(_), None) if held => {
            return Err(Error::field("held", "give inbox_id with it").into());
        }
        (Some(id), None) => Thread::Conversation(id),
        (None, Some(id)) if held => Thread::Held(id),
        (None, Some(id)) => Thread::Inbox(id),
        _ => {
            let rule = "give either conversation_id or inbox_id";
            return Err(Error::field("conversation_id", rule).into());
        }
    };
    if params.before.is_some() && params.cursor.is_some() {
        return Err(Error::field("cursor", "give either before or cursor").into());
    }
    let page = messages::list(
        &app.context,
        principal.account(),
        &thread,
        params.before.or(params.cursor).as_ref(),
        limit,
    )
    .await?;
    let pagination = CursorPagination::new(limit, page.next).write()?;
    let body = envelope::written_page(&page.rows, &pagination);
    Ok(represent_once(wanted, &body))
}

/// Get a message
#[utoipa::path(
    get, path = "/messages/{id}", operation_id = "getMessage", tag = "Messages", params(("id" = String, Path, description = "Message id"), Wanted),
    responses((status = 200, description = "The message", body = MessageAnswer,
        headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"))
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    IdPath(id): IdPath<MessageId>,
) -> Result<Represented, ApiError> {
    let found = messages::get(&app.context, principal.account(), &id).await?;
    Ok(represent_once(wanted, &[&envelope::body(found)?]))
}
