//! `/livechat/{inbox_id}/sessions`: creates a session for a visitor, goes on with one, and ends it.

use super::{origin, token};
use crate::{
    http::{
        App,
        auth::IdPath,
        body::{JsonObject, Nothing},
        client::Client,
        envelope::{self, ApiError, Success},
    },
    id::InboxId,
    ops::livechat::{self, NewSession},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A visitor's session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The visitor's id.
    #[schema(example = "visitor_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    visitor_id: String,
    /// The token that the browser keeps, and sends with every later request. It ends 90 days after it was issued; whoever
    /// uses it is issued another one.
    token: String,
    /// Whether what the visitor wrote anonymously is the user's now. There if a `user_id` came with a good `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    carried_over: Option<bool>,
}

type SessionAnswer = Success<Session>;

/// Create a visitor's session
///
/// Nothing is stored about a visitor before its first message. With a `token`, its session goes on and gets a new token; with
/// a `user_id` too, the anonymous conversation becomes the user's, and the former token ends.
#[utoipa::path(
    post, path = "/livechat/{id}/sessions", operation_id = "createLivechatSession", tag = "Live chat", security(()),
    params(("id" = String, Path, description = "Inbox id")),
    request_body(content = NewSession, example = json!({"name": "Ayu"})),
    responses(
        (status = 201, description = "The session with its token", body = SessionAnswer),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many sessions from this address. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn create(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    Client(address): Client,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    app.bounds.session(address)?;
    let (context, origin) = (&app.context, origin(&headers));
    let entered = livechat::create_session(context, &app.ingest, &inbox, origin, body).await?;
    let session = Session {
        visitor_id: entered.visitor.identity.id,
        token: entered.token,
        carried_over: entered.carried_over,
    };
    Ok(envelope::success(StatusCode::CREATED, session))
}

/// End a visitor's session
///
/// Logs the visitor out: this token, and every other one of its session, opens nothing any more, and its sockets are closed.
#[utoipa::path(
    delete, path = "/livechat/{id}/sessions", operation_id = "endLivechatSession", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id")),
    responses(
        (status = 204, description = "The session has ended, now or before"),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many sessions from this address. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn end(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    Client(address): Client,
    headers: HeaderMap,
    Nothing: Nothing,
) -> Result<StatusCode, ApiError> {
    // What is stored of it stays for as long as its token would: so there are as many as there are sessions.
    app.bounds.session(address)?;
    livechat::end_session(&app.context, &inbox, origin(&headers), token(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
