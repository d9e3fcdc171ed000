//! `/inboxes`: from a request to the operation and back. The list is in [`list`].

pub mod list;
pub mod queue;

use crate::{
    domain::Inbox,
    http::{
        App,
        auth::{IdPath, Reader, Writer},
        body::{JsonObject, Nothing},
        envelope::{self, ApiError, Failure, Success},
        idempotency::{IdempotencyKey, begun, created, no_content, ok, once},
        query::{Flag, query},
        representation::{Wanted, represent},
    },
    id::InboxId,
    ops::{
        connect,
        inboxes::{self, InboxChange, NewInbox},
        setup::{self, Setup},
    },
    rendered::Rendered,
};
use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

type InboxAnswer = Success<Inbox>;
type SetupAnswer = Success<Setup>;

/// Create an inbox
///
/// A new inbox is `pending` until its channel has proved that it works. A live chat is `active` from the start. Its
/// setup shows what to paste at the provider.
#[utoipa::path(
    post, path = "/inboxes", operation_id = "createInbox", tag = "Inboxes",
    request_body(content = NewInbox, examples(
        ("1. whatsapp" = (value = json!({"name": "Customer Support", "type": "whatsapp", "phone_number": "+62812345678",
            "channel": {"phone_number_id": "106540352242922", "app_secret": "0123456789abcdef0123456789abcdef"}}))),
        ("2. instagram" = (value = json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": "17841405822304914",
            "channel": {"app_secret": "0123456789abcdef0123456789abcdef"}}))),
        ("3. telegram" = (value = json!({"name": "Telegram", "type": "telegram",
            "channel": {"bot_token": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"}}))),
        ("4. livechat" = (value = json!({"name": "Website", "type": "livechat",
            "channel": {"allowed_origins": ["https://www.example.com"]}})))
    )),
    responses(
        (status = 201, description = "The new inbox", body = InboxAnswer,
            headers(("Location" = String, description = "The path of the new inbox"))),
        (status = 409, description = "The channel address is already connected", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "address_taken",
                "message": "This whatsapp address is already connected to an inbox of this server (channel.phone_number_id)"}}))
    )
)]
pub async fn create(
    Writer(principal): Writer,
    State(app): State<App>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, request) = (&app.context, request.as_ref());
    let work = inboxes::create(context, principal.account(), body, request);
    once(context, request, created("/inboxes"), work).await
}

/// Get an inbox
#[utoipa::path(
    get, path = "/inboxes/{id}", operation_id = "getInbox", tag = "Inboxes",
    params(("id" = String, Path, description = "Inbox id"), Wanted),
    responses(
        (status = 200, description = "The inbox", body = InboxAnswer,
            headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names")
    )
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    IdPath(id): IdPath<InboxId>,
) -> Result<Response, ApiError> {
    let inbox = inboxes::get(&app.context, principal.account(), &id).await?;
    app.context.cache.note_read(principal.account());
    let rendered = Rendered::new(&[&envelope::body(inbox)?], None);
    Ok(represent(&wanted, Arc::new(rendered)).into_response())
}

/// Change an inbox
///
/// Fields that are not given stay as they are. A new `phone_number_id` makes the inbox `pending` until that number has
/// proved that it works. A new token of the same bot is accepted; for another bot, create another inbox.
#[utoipa::path(
    patch, path = "/inboxes/{id}", operation_id = "updateInbox", tag = "Inboxes", params(("id" = String, Path, description = "Inbox id")),
    request_body(content = InboxChange, example = json!({"name": "Support", "status": "inactive"})),
    responses(
        (status = 200, description = "The changed inbox", body = InboxAnswer),
        (status = 409, description = "The channel address is already connected, or cannot be changed",
            body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "address_fixed",
                "message": "This inbox belongs to bot 110201543, and channel.bot_token is of bot 700002: create another inbox for that bot"}}))
    )
)]
pub async fn update(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath<InboxId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, request) = (&app.context, request.as_ref());
    let work = inboxes::update(context, principal.account(), &id, body, request);
    once(context, request, ok, work).await
}

query! {
    /// The query parameters of a deletion.
    struct DeleteParams {
        /// Delete the inbox's messages with it. They cannot be recovered.
        purge: Option<Flag>,
    }
}

/// Delete an inbox
///
/// An inbox that holds messages is not deleted (409), unless `purge=true` deletes its messages with it. From the answer on, the inbox and all that it
/// held are not found any more, and its address is free; the data itself is removed in the background.
#[utoipa::path(
    delete, path = "/inboxes/{id}", operation_id = "deleteInbox", tag = "Inboxes",
    params(("id" = String, Path, description = "Inbox id"), DeleteParams),
    responses(
        (status = 204, description = "The inbox is deleted"),
        (status = 409, description = "The inbox has messages", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "has_messages",
                "message": "Messages in this inbox: 3. To keep them, switch it off with PATCH and {\"status\":\"inactive\"}; to delete them with it, add ?purge=true"}}))
    )
)]
pub async fn delete(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath<InboxId>,
    key: IdempotencyKey,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, None)?;
    let (context, request) = (&app.context, request.as_ref());
    let params = DeleteParams::parse(query.as_deref())?;
    let purge = params.purge.unwrap_or_default().0;
    let work = inboxes::delete(context, principal.account(), &id, purge, request);
    once(context, request, no_content, work).await
}

/// Get the setup of an inbox
///
/// Shows what to paste at the provider, which credentials are set (never their values), and which proof is still
/// missing. For a connected telegram inbox, `provider` also has Telegram's own report on the webhook, or after a few
/// seconds the reason why there is none.
#[utoipa::path(
    get, path = "/inboxes/{id}/setup", operation_id = "getInboxSetup", tag = "Inboxes", params(("id" = String, Path, description = "Inbox id")),
    responses((status = 200, description = "The setup", body = SetupAnswer))
)]
pub async fn setup(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath<InboxId>,
) -> Result<Response, ApiError> {
    let setup = setup::get(&app.context, principal.account(), &id).await?;
    Ok(envelope::ok(setup))
}

/// Connect an inbox
///
/// telegram: checks `bot_token`, sets the webhook with its secret, and stores the bot's name. The inbox is then proved,
/// and `active` unless you have switched it off. whatsapp, instagram: checks `access_token`. This does not change the
/// status; the result is in `provider`. livechat: nothing to do, since it is always connected. The answer is the
/// inbox's setup. You can call this again at any time. A request body is ignored.
#[utoipa::path(
    post, path = "/inboxes/{id}/connect", operation_id = "connectInbox", tag = "Inboxes", params(("id" = String, Path, description = "Inbox id")),
    responses(
        (status = 200, description = "The inbox is connected, or its credential is valid. The answer is its setup", body = SetupAnswer),
        (status = 409, description = "The provider refuses, there is no credential to call it with, or the credential was replaced in the meantime",
            body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "provider_refused",
                "message": "Telegram refuses this bot_token. It says: Unauthorized"}})),
        (status = 503, description = "The provider gives no clear answer, or the store cannot be reached; nothing was changed. With `Retry-After`",
            body = Failure,
            example = json!({"success": false, "error": {"code": "UNAVAILABLE",
                "message": "Telegram cannot be reached, or gives no clear answer: nothing was changed, try again"}}))
    )
)]
pub async fn connect(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath<InboxId>,
    key: IdempotencyKey,
    Nothing: Nothing,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, None)?;
    let (context, account) = (app.context.clone(), principal.account().clone());
    let work = async move { connect::connect(&context, &account, &id).await };
    begun(&app.context, request, ok, work).await
}
