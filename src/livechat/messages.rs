//! `/livechat/{inbox_id}/messages`: sends and lists messages over plain HTTP, for browsers that cannot open a
//! WebSocket.

use super::visitor;
use crate::{
    http::{
        App,
        auth::IdPath,
        body::JsonObject,
        client::Client,
        envelope::{self, ApiError, CursorPagination},
        query::Query,
    },
    id::InboxId,
    ops::livechat::{self, Heard},
};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use utoipa::{IntoParams, ToSchema};

/// A message of a visitor.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct NewMessage {
    /// The browser's own id for the message. Sending the same id again does not store the message again.
    #[schema(example = "b8f1c2", min_length = 1, max_length = 64)]
    client_id: String,
    /// The text of the message.
    #[schema(
        example = "Is the blue one still available?",
        min_length = 1,
        max_length = 4096
    )]
    text: String,
}

/// One message.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct VisitorMessageAnswer {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The message.
    data: Heard,
}

/// A page of a visitor's conversation.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct VisitorMessagePage {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The page, in the order in which it came.
    data: Vec<Heard>,
    /// Where it is in the conversation.
    pagination: CursorPagination,
}

/// Says something
///
/// Answers 201 once the message is durable, or 200 if it was stored before.
#[utoipa::path(
    post, path = "/livechat/{id}/messages", operation_id = "sendLivechatMessage", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id")),
    request_body(content = NewMessage, example = json!({"client_id": "b8f1c2", "text": "Is the blue one still available?"})),
    responses(
        (status = 201, description = "It is stored", body = VisitorMessageAnswer),
        (status = 200, description = "It was there already", body = VisitorMessageAnswer),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many messages. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn say(
    State(app): State<App>,
    IdPath(id): IdPath,
    Client(address): Client,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let visitor = visitor(&app, &InboxId::from_text(id), &headers).await?;
    app.bounds.message(&visitor.who.id, address)?;
    let (message, new) = livechat::say(&app.context, &app.ingest, &visitor, body).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(envelope::success(status, message))
}

/// The query parameters, for the OpenAPI document. [`hear`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document is made from it")]
struct ListParams {
    /// Only messages that were received after this one.
    after: Option<String>,
    /// Maximum number of results to return.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i64>,
}

/// List a visitor's messages
///
/// The messages of the visitor's own conversation, in the order in which they were received.
#[utoipa::path(
    get, path = "/livechat/{id}/messages", operation_id = "listLivechatMessages", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id"), ListParams),
    responses(
        (status = 200, description = "What was said", body = VisitorMessagePage),
        (status = 400, description = "A parameter is wrong", body = crate::http::envelope::Failure),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure)
    )
)]
pub async fn hear(
    State(app): State<App>,
    IdPath(id): IdPath,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let visitor = visitor(&app, &InboxId::from_text(id), &headers).await?;
    let mut query = Query::read(query.as_deref());
    let after = query.get("after", livechat::after);
    let limit = query.limit();
    query.finish()?;
    let mut page = livechat::hear(&app.context, &visitor, after.as_ref(), limit + 1).await?;
    let has_more = page.len() as i64 > limit;
    page.truncate(usize::try_from(limit).unwrap_or(0));
    let last = page.last().map(|last| last.id.to_string());
    let pagination = CursorPagination::new(limit, has_more, last);
    Ok(envelope::walk(page, pagination))
}
