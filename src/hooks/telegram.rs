//! `/hooks/telegram/{inbox_id}`: Telegram Bot API. Each inbox has one bot, and each bot its own URL.
//!
//! Source: <https://core.telegram.org/bots/api#setwebhook>. After an answer other than 2xx, Telegram sends the update again
//! for a day, and no other update of that chat meanwhile. So an update that can never be stored must get a 2xx.

use super::{answer, source};
use crate::{
    domain::Channel,
    http::{
        App,
        auth::IdPath,
        envelope::{ApiError, Refusal},
    },
    id::InboxId,
    ops::{hooks, ingest::Outcome},
};
use axum::{
    extract::{Request, State},
    response::Response,
};

/// Updates of a Telegram bot
///
/// 200 with an empty body once everything is durably stored. A redelivery changes nothing and gets 200.
#[utoipa::path(
    post, path = "/hooks/telegram/{id}", operation_id = "receiveTelegramUpdate", tag = "Hooks", security(()),
    request_body(description = "An Update, as Telegram sends it", content_type = "application/json", content = String),
    params(
        ("id" = String, Path, description = "Inbox id"),
        ("X-Telegram-Bot-Api-Secret-Token" = String, Header, description = "The secret token from the inbox's setup")
    ),
    responses(
        (status = 200, description = "Stored"),
        (status = 401, description = "The token is missing or wrong; nothing was stored", body = crate::http::envelope::Failure),
        (status = 404, description = "No such inbox", body = crate::http::envelope::Failure)
    )
)]
pub async fn deliver(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(Channel::Telegram, receive(&app, &inbox, request).await)
}

async fn receive(app: &App, inbox: &InboxId, request: Request) -> Result<Outcome, ApiError> {
    let token = request
        .headers()
        .get("x-telegram-bot-api-secret-token")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let source = source(app, request).await?;
    let channel = Channel::Telegram;
    let arrivals = hooks::check_token(&app.context, channel, inbox, &token, source)
        .await?
        .ok_or(Refusal::BadSignature)?;
    Ok(app.ingest.deliver(arrivals).await?)
}
