//! `/livechat/{inbox_id}/delivered` and `/read`: what a page has received and shown, over plain HTTP. On a socket, frames of
//! the same names say it.

use super::visitor;
use crate::{
    http::{App, auth::IdPath, body::JsonObject, client::Client, envelope::ApiError},
    id::InboxId,
    ops::livechat::{self, NewReceipt},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use channels::DeliveryStatus;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Acknowledge answers
///
/// A page has received the answers up to and including this message.
#[utoipa::path(
    post, path = "/livechat/{id}/delivered", operation_id = "acknowledgeLivechatMessages", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id")),
    request_body(content = NewReceipt, example = json!({"id": "msg_06cqm0d4vdtqf5b5r9e2k8a1p4"})),
    responses(
        (status = 204, description = "The answers are `delivered`"),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many receipts. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn delivered(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    Client(address): Client,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<StatusCode, ApiError> {
    acknowledge(
        &app,
        &inbox,
        address,
        &headers,
        DeliveryStatus::Delivered,
        body,
    )
    .await
}

/// Mark answers as read
///
/// The visitor has seen the answers up to and including this message.
#[utoipa::path(
    post, path = "/livechat/{id}/read", operation_id = "readLivechatMessages", tag = "Live chat", security(("visitor" = [])),
    params(("id" = String, Path, description = "Inbox id")),
    request_body(content = NewReceipt, example = json!({"id": "msg_06cqm0d4vdtqf5b5r9e2k8a1p4"})),
    responses(
        (status = 204, description = "The answers are `read`"),
        (status = 401, description = "The token is missing or wrong", body = crate::http::envelope::Failure),
        (status = 403, description = "The page may not use this chat", body = crate::http::envelope::Failure),
        (status = 404, description = "No such chat", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many receipts. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn read(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    Client(address): Client,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<StatusCode, ApiError> {
    acknowledge(&app, &inbox, address, &headers, DeliveryStatus::Read, body).await
}

async fn acknowledge(
    app: &App,
    inbox: &InboxId,
    address: IpAddr,
    headers: &HeaderMap,
    status: DeliveryStatus,
    body: Map<String, Value>,
) -> Result<StatusCode, ApiError> {
    let visitor = visitor(app, inbox, headers).await?;
    app.bounds
        .receipt(&visitor.inbox, &visitor.identity.id, address)?;
    let until = NewReceipt::parse(body)?.id.0;
    livechat::acknowledge(&app.context, &app.ingest, &visitor, status, &until).await?;
    Ok(StatusCode::NO_CONTENT)
}
