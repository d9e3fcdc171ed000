//! `POST /livechat/{inbox_id}/sessions`: creates a session for a visitor.

use super::origin;
use crate::{
    http::{
        App,
        auth::IdPath,
        body::JsonObject,
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
    /// The token that the browser keeps, and sends with every later request. It does not expire.
    token: String,
}

type SessionAnswer = Success<Session>;

/// Create a visitor's session
///
/// Nothing is stored about a visitor before its first message.
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
    let (visitor, token) =
        livechat::create_session(&app.context, &inbox, origin(&headers), body).await?;
    let session = Session {
        visitor_id: visitor.identity.id,
        token,
    };
    Ok(envelope::success(StatusCode::CREATED, session))
}
