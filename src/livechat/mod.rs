//! `/livechat/{inbox_id}/…`: the endpoints for the chat on a website. The protocol is described in docs/livechat.md.
//!
//! A visitor gets a token. With it, the chat sends and receives messages over a WebSocket, or over plain HTTP if it
//! cannot open one.
//!
//! Invariant: a message is acknowledged only after it is durable.

pub mod messages;
pub mod receipts;
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

/// The visitor that the request's token belongs to.
async fn visitor(app: &App, inbox: &InboxId, headers: &HeaderMap) -> Result<Visitor, ApiError> {
    let token = token(headers)?;
    Ok(livechat::authenticate(&app.context, inbox, origin(headers), token).await?)
}

fn token(headers: &HeaderMap) -> Result<&str, Error> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(Error::UnknownVisitor)
}
