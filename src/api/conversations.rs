//! `/conversations`: lists and reads conversations.

use crate::{
    domain::{CONVERSATION_STATUSES, Conversation},
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader},
        envelope::{self, ApiError, CursorPagination, Page, Success},
        query::{Limit, query},
        representation::{Represented, Wanted, represent_once},
    },
    id::{ConversationId, InboxId},
    input::{Text, text, word},
    ops::conversations::{self, Sort},
};
use axum::extract::{RawQuery, State};
use utoipa::openapi::{RefOr, schema::Schema};

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only conversations of this inbox.
        inbox_id: Option<InboxId>,
        /// Only conversations with this status.
        status: Option<ConversationStatus>,
        /// `latest` sorts by the last message, newest first. By default, conversations are sorted by when they began.
        sort: Option<Sort>,
        /// The `next_cursor` of the previous page, in the same order.
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
    /// The `next_cursor` of a page.
    struct Cursor(String): cursor, |text| text;
}

fn status(text: &str) -> Result<String, &'static str> {
    match CONVERSATION_STATUSES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err("must be open or resolved"),
    }
}

impl Text for Sort {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Sort::Latest),
            _ => Err("must be latest".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        word(&["latest"])
    }
}

fn cursor(text: &str) -> Result<String, &'static str> {
    let one_of = [Sort::Created, Sort::Latest];
    match one_of.iter().any(|sort| sort.cursor(text).is_some()) {
        true => Ok(text.to_owned()),
        false => Err("must be the next_cursor of a page"),
    }
}

type ConversationPage = Page<Conversation<'static>, CursorPagination>;
type ConversationAnswer = Success<Conversation<'static>>;

/// List conversations
///
/// Conversations are sorted by the time when they began, newest first. Reading all pages returns each of them exactly
/// once, even if new ones arrive in the meantime. With `sort=latest`, they are sorted by their last message: a
/// conversation in which something is written in the meantime moves to the front, so reading all pages may miss it, but
/// returns none twice. A page ends early when it reaches 4 MB.
#[utoipa::path(
    get, path = "/conversations", operation_id = "listConversations", tag = "Conversations", params(ListParams, Wanted),
    responses(
        (status = 200, description = "A page of conversations", body = ConversationPage,
            headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"),
        (status = 404, description = "No such inbox in this account", body = crate::http::envelope::Failure)
    )
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    RawQuery(query): RawQuery,
) -> Result<Represented, ApiError> {
    let params = ListParams::parse(query.as_deref())?;
    let sort = params.sort.unwrap_or_default();
    let start = match params.cursor {
        None => sort.start(),
        Some(cursor) => sort.cursor(&cursor.0).ok_or_else(|| {
            Error::field("cursor", "must be the next_cursor of a page in this order")
        })?,
    };
    let limit = params.limit.unwrap_or_default().0;
    let page = conversations::list(
        &app.context,
        principal.account(),
        params.inbox_id.as_ref(),
        params.status.as_ref().map(|status| status.0.as_str()),
        &start,
        limit,
    )
    .await?;
    let pagination = CursorPagination::new(limit, page.next).write()?;
    let body = envelope::written_page(&page.rows, &pagination);
    Ok(represent_once(wanted, &body))
}

/// Get a conversation
#[utoipa::path(
    get, path = "/conversations/{id}", operation_id = "getConversation", tag = "Conversations",
    params(("id" = String, Path, description = "Conversation id"), Wanted),
    responses((status = 200, description = "The conversation", body = ConversationAnswer,
        headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"))
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    IdPath(id): IdPath<ConversationId>,
) -> Result<Represented, ApiError> {
    let found = conversations::get(&app.context, principal.account(), &id).await?;
    Ok(represent_once(wanted, &[&envelope::body(found)?]))
}
