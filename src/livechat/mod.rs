//! `/livechat/{inbox_id}/…`: what the chat on a website calls. docs/livechat.md is its protocol.
//!
//! A visitor gets a token, and sends and receives over a WebSocket, or over plain HTTP where there is none.
//!
//! Invariant: a message is acknowledged only after it is durable.

pub mod messages;
pub mod sessions;
pub mod socket;

use crate::{
    error::Error,
    http::{App, envelope::ApiError},
    id::InboxId,
    ops::livechat::{self, Visitor},
};
use axum::http::{HeaderMap, header};

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN)?.to_str().ok()
}

/// The visitor whose token a request carries.
async fn visitor(app: &App, inbox: &InboxId, headers: &HeaderMap) -> Result<Visitor, ApiError> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(Error::UnknownVisitor)?;
    Ok(livechat::recognise(&app.context, inbox, origin(headers), token).await?)
}
