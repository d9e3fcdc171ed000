//! `/livechat/{inbox_id}/messages`: sends and lists messages over plain HTTP, for browsers that cannot open a
//! WebSocket.

use super::visitor;
use crate::{
    http::{
        App,
        auth::IdPath,
        body::JsonObject,
        client::Client,
        envelope::{self, ApiError, CursorPagination, Page, Success},
        query::{Limit, query},
    },
    id::InboxId,
    ops::livechat::{self, After, NewVisitorMessage, VisitorMessage},
};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

type VisitorMessageAnswer = Success<VisitorMessage>;
type VisitorMessagePage = Page<VisitorMessage, CursorPagination>;

/// Send a message
///
/// Answers 201 once the message is durable, or 200 if it was stored before.
#[utoipa::path(
    post, path = "/livechat/{id}/messages", operation_id = "sendLivechatMessage", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id")),
    request_body(content = NewVisitorMessage, example = json!({"client_id": "b8f1c2", "text": "Is the blue one still available?"})),
    responses(
        (status = 201, description = "The message is stored", body = VisitorMessageAnswer),
        (status = 200, description = "The message was stored before", body = VisitorMessageAnswer),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many messages. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn send(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    Client(address): Client,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let visitor = visitor(&app, &inbox, &headers).await?;
    app.bounds
        .message(&visitor.inbox, &visitor.identity.id, address)?;
    let (message, new) = livechat::store_message(&app.context, &app.ingest, &visitor, body).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(envelope::success(status, message))
}

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only messages that were received after this one.
        after: Option<After>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
    }
}

/// List a visitor's messages
///
/// The messages of the visitor's own conversation, in the order in which they were received.
#[utoipa::path(
    get, path = "/livechat/{id}/messages", operation_id = "listLivechatMessages", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id"), ListParams),
    responses(
        (status = 200, description = "A page of messages", body = VisitorMessagePage),
        (status = 400, description = "A parameter is wrong", body = crate::http::envelope::Failure),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure)
    )
)]
pub async fn list(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let visitor = visitor(&app, &inbox, &headers).await?;
    let params = ListParams::parse(query.as_deref())?;
    let after = params.after.map(|after| after.0);
    let limit = params.limit.unwrap_or_default().0;
    let mut page =
        livechat::messages_after(&app.context, &visitor, after.as_ref(), limit + 1).await?;
    let has_more = page.len() as i64 > limit;
    page.truncate(usize::try_from(limit).unwrap_or(0));
    let last = page.last().filter(|_| has_more);
    let next = last.map(|last| last.id.to_string());
    let pagination = CursorPagination::new(limit, next);
    Ok(envelope::walk(page, pagination))
}
