//! `/inboxes`: turns requests into calls of the operations, and their results into answers.

use crate::{
    domain::{Channel, Inbox, InboxStatus, Scope},
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader, Writer, recall},
        body::{JsonObject, Nothing},
        envelope::{self, ApiError, Pagination},
        observe::AtOnce,
        query::Query,
        representation::{Wanted, represent},
    },
    id::InboxId,
    ops::{
        connect, inboxes,
        setup::{self, Setup},
    },
    rendered::Rendered,
    store::inboxes::{Filter, Page},
};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The query parameters, for the OpenAPI document. [`list`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document is made from it")]
struct ListParams {
    /// Filter by inbox type.
    r#type: Option<Channel>,
    /// Filter by status.
    status: Option<InboxStatus>,
    /// Maximum number of results to return.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i64>,
    /// Number of results to skip for pagination.
    #[param(minimum = 0, default = 0)]
    offset: Option<i64>,
}

/// The headers of a conditional request, for the OpenAPI document. [`Wanted`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "the document is made from it")]
struct Conditional {
    /// The `ETag` of the answer that the client has.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// A page of inboxes.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct InboxPage {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The inboxes of this page.
    data: Vec<Inbox>,
    /// The position of the page in the list.
    pagination: Pagination,
}

/// The answer with one inbox.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct InboxAnswer {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The inbox.
    data: Inbox,
}

/// The answer with the setup of an inbox.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct SetupAnswer {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The setup.
    data: Setup,
}

/// The request to create an inbox, for the OpenAPI document. The operation reads it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct NewInbox {
    /// Display name.
    #[schema(example = "Customer Support", min_length = 1, max_length = 100)]
    name: String,
    /// Channel type.
    r#type: Channel,
    /// Phone number, E.164 with `+`. Required for type whatsapp, and not allowed for other types.
    #[schema(
        nullable = false,
        example = "+62812345678",
        pattern = r"^\+[1-9][0-9]{6,14}$"
    )]
    phone_number: Option<String>,
    /// Instagram account ID. Required for type instagram, and not allowed for other types.
    #[schema(nullable = false, example = "ig_789")]
    instagram_account_id: Option<String>,
    /// Settings of the channel. Which ones, depends on the type.
    #[schema(nullable = false)]
    channel: Option<ChannelSettings>,
}

/// The request to change an inbox.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct InboxChange {
    /// Display name.
    #[schema(nullable = false, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// `inactive` switches the inbox off. `active` switches it on again; its status is then `pending` if its channel
    /// has never proved that it works.
    #[schema(nullable = false, example = "inactive")]
    status: Option<String>,
    /// Settings of the channel to change. `null` removes an optional one.
    #[schema(nullable = false)]
    channel: Option<ChannelSettings>,
}

/// Settings of a channel. Secrets can be set, but never read.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct ChannelSettings {
    /// whatsapp, required: the phone number's id at Meta.
    #[schema(nullable = false, example = "106540352242922")]
    phone_number_id: Option<String>,
    /// whatsapp, optional: the business account's id at Meta.
    business_account_id: Option<String>,
    /// whatsapp and instagram, required: the secret with which Meta signs updates.
    #[schema(nullable = false, write_only)]
    app_secret: Option<String>,
    /// whatsapp and instagram, optional: the token for Meta's API.
    #[schema(write_only)]
    access_token: Option<String>,
    /// telegram, required: the token from BotFather.
    #[schema(nullable = false, write_only)]
    bot_token: Option<String>,
    /// livechat, optional: the origins of the pages that may embed the chat, at most 50. Without this setting every
    /// page may.
    allowed_origins: Option<Vec<String>>,
}

/// List inboxes
///
/// Returns the inboxes of your account, oldest first. A wrong `limit` or `offset` is an error, and not replaced by a
/// default. A request with the `ETag` of the last answer as `If-None-Match` is very cheap as long as nothing has
/// changed.
#[utoipa::path(
    get, path = "/inboxes", operation_id = "listInboxes", tag = "Inboxes", params(ListParams, Conditional),
    responses((status = 200, description = "A page of inboxes", body = InboxPage,
        headers(
            ("ETag" = String, description = "Identifies this very answer"),
            ("Link" = String, description = "Links to the `first`, `prev`, `next` and `last` page with the same filters, as far as they exist (RFC 8288)")
        ),
        example = json!({
        "success": true,
        "data": [
            {"id": "inbox_abc123", "name": "Customer Support", "type": "whatsapp", "status": "active",
             "phone_number": "+62812345678", "created_at": "2025-01-15T08:00:00Z", "messages_count": 15420},
            {"id": "inbox_def456", "name": "Instagram DM", "type": "instagram", "status": "active",
             "instagram_account_id": "ig_789", "created_at": "2025-02-01T10:30:00Z", "messages_count": 8932}
        ],
        "pagination": {"total": 15, "limit": 50, "offset": 0}
    })), (status = 304, description = "The answer is still the one that `If-None-Match` names"))
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let page = page_of(query.as_deref())?;
    let cache = &app.context.cache;
    let (freshness, account) = (cache.freshness(), cache.account(principal.account()));
    if let Some(cached) = cache.page(freshness, &account, page) {
        return Ok(represent(&wanted, cached).into_response());
    }
    let fill = cache.begin_page(freshness, account, page);
    let (rows, total) = inboxes::list(&app.context, principal.account(), page).await?;
    let rendered = Arc::new(render(&app.context.public_url, page, &rows, total)?);
    cache.fill_page(fill, &rendered);
    Ok(represent(&wanted, rendered).into_response())
}

/// The answer of [`list`], if everything that it needs is cached. `None` if [`list`] must handle the request; the
/// request has then not been counted.
pub fn list_at_once(app: &App, request: &Parts) -> Option<AtOnce> {
    let page = page_of(request.uri.query()).ok()?;
    let now = app.context.clock.now();
    let (recalled, address) = recall(request, app, Scope::Read, now)?;
    let cache = &app.context.cache;
    let cached = cache.page(recalled.freshness, &recalled.account, page)?;
    let quota = app.rates.count(&recalled.principal, address, now);
    if quota.is_some_and(|quota| quota.check(now).is_err()) {
        // A request over the limit is not counted here, so [`list`] can count and refuse it.
        return None;
    }
    Some(AtOnce {
        response: represent(&Wanted::read(&request.headers), cached).into_response(),
        quota,
    })
}

fn page_of(query: Option<&str>) -> Result<Page, Error> {
    let mut query = Query::read(query);
    let page = Page {
        filter: Filter {
            channel: query.get("type", |text| text.parse::<Channel>()),
            status: query.get("status", |text| text.parse::<InboxStatus>()),
        },
        limit: query.limit(),
        offset: query.number("offset", 0, i64::MAX).unwrap_or(0),
    };
    query.finish()?;
    Ok(page)
}

/// Writes a page of the list, with its links.
fn render(public_url: &str, page: Page, rows: &[Inbox], total: i64) -> Result<Rendered, ApiError> {
    let pagination = Pagination {
        total,
        limit: page.limit,
        offset: page.offset,
    };
    let body = envelope::page(rows, pagination)?;
    Ok(Rendered::new(
        &[&body],
        Some(&links(public_url, page, total)),
    ))
}

/// The value of the `Link` header: links to the other pages with the same filters.
/// <https://www.rfc-editor.org/rfc/rfc8288>
fn links(public_url: &str, page: Page, total: i64) -> String {
    let Page {
        filter,
        limit,
        offset,
    } = page;
    let mut base = format!("{public_url}/inboxes?");
    if let Some(channel) = filter.channel {
        base += &format!("type={}&", channel.as_str());
    }
    if let Some(status) = filter.status {
        base += &format!("status={}&", status.as_str());
    }
    let last = (total - 1).max(0) / limit * limit;
    let next = offset.saturating_add(limit);
    let pages = [
        ("first", Some(0)),
        (
            "prev",
            (offset > 0).then(|| (offset - limit).clamp(0, last)),
        ),
        ("next", (next < total).then_some(next)),
        ("last", Some(last)),
    ];
    let links = pages.iter().filter_map(|(name, offset)| {
        let offset = (*offset)?;
        Some(format!(
            "<{base}limit={limit}&offset={offset}>; rel=\"{name}\""
        ))
    });
    links.collect::<Vec<_>>().join(", ")
}

/// Create an inbox
///
/// A new inbox is `pending` until its channel has proved that it works. A live chat is `active` from the start. Its
/// setup shows what to paste at the provider.
#[utoipa::path(
    post, path = "/inboxes", operation_id = "createInbox", tag = "Inboxes",
    request_body(content = NewInbox, examples(
        ("whatsapp" = (value = json!({"name": "Customer Support", "type": "whatsapp", "phone_number": "+62812345678",
            "channel": {"phone_number_id": "106540352242922", "app_secret": "0123456789abcdef0123456789abcdef"}}))),
        ("instagram" = (value = json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": "17841405822304914",
            "channel": {"app_secret": "0123456789abcdef0123456789abcdef"}}))),
        ("telegram" = (value = json!({"name": "Telegram", "type": "telegram",
            "channel": {"bot_token": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"}}))),
        ("livechat" = (value = json!({"name": "Website", "type": "livechat",
            "channel": {"allowed_origins": ["https://www.example.com"]}})))
    )),
    responses(
        (status = 201, description = "The new inbox", body = InboxAnswer,
            headers(("Location" = String, description = "The path of the new inbox"))),
        (status = 409, description = "The channel address is already connected", body = crate::http::envelope::Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "address_taken",
                "message": "This whatsapp address is already connected to an inbox of this server (channel.phone_number_id)"}}))
    )
)]
pub async fn create(
    Writer(principal): Writer,
    State(app): State<App>,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let inbox = inboxes::create(&app.context, principal.account(), body).await?;
    let location = HeaderValue::from_str(&format!("/inboxes/{}", inbox.id))
        .map_err(|error| Error::Internal(error.to_string()))?;
    let mut response = envelope::success(StatusCode::CREATED, inbox);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Get an inbox
#[utoipa::path(
    get, path = "/inboxes/{id}", operation_id = "getInbox", tag = "Inboxes",
    params(("id" = String, Path, description = "Inbox id"), Conditional),
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
    IdPath(id): IdPath,
) -> Result<Response, ApiError> {
    let inbox = inboxes::get(&app.context, principal.account(), &InboxId::from_text(id)).await?;
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
            body = crate::http::envelope::Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "address_fixed",
                "message": "This inbox belongs to bot 110201543, and channel.bot_token is of bot 700002: create another inbox for that bot"}}))
    )
)]
pub async fn update(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let inbox = inboxes::update(
        &app.context,
        principal.account(),
        &InboxId::from_text(id),
        body,
    )
    .await?;
    Ok(envelope::ok(inbox))
}

/// The query parameters, for the OpenAPI document. [`delete`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document is made from it")]
struct DeleteParams {
    /// Delete the inbox's messages, too. They cannot be recovered.
    #[param(default = false)]
    purge: Option<bool>,
}

/// Delete an inbox
///
/// An inbox with messages is deleted only with `purge=true`, which deletes the messages, too.
#[utoipa::path(
    delete, path = "/inboxes/{id}", operation_id = "deleteInbox", tag = "Inboxes",
    params(("id" = String, Path, description = "Inbox id"), DeleteParams),
    responses(
        (status = 204, description = "The inbox is deleted"),
        (status = 409, description = "The inbox has messages", body = crate::http::envelope::Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "has_messages",
                "message": "Messages in this inbox: 3. To keep them, switch it off with PATCH and {\"status\":\"inactive\"}; to delete them with it, add ?purge=true"}}))
    )
)]
pub async fn delete(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::read(query.as_deref());
    let purge = query.get("purge", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    });
    query.finish()?;
    inboxes::delete(
        &app.context,
        principal.account(),
        &InboxId::from_text(id),
        purge.unwrap_or(false),
    )
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
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
    IdPath(id): IdPath,
) -> Result<Response, ApiError> {
    let setup = setup::get(&app.context, principal.account(), &InboxId::from_text(id)).await?;
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
            body = crate::http::envelope::Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "provider_refused",
                "message": "Telegram refuses this bot_token. It says: Unauthorized"}})),
        (status = 503, description = "The provider gives no clear answer, or the store cannot be reached; nothing was changed. With `Retry-After`",
            body = crate::http::envelope::Failure,
            example = json!({"success": false, "error": {"code": "UNAVAILABLE",
                "message": "Telegram cannot be reached, or gives no clear answer: nothing was changed, try again"}}))
    )
)]
pub async fn connect(
    Writer(principal): Writer,
    State(app): State<App>,
    IdPath(id): IdPath,
    Nothing: Nothing,
) -> Result<Response, ApiError> {
    let id = InboxId::from_text(id);
    let setup = connect::connect(&app.context, principal.account(), &id).await?;
    Ok(envelope::ok(setup))
}
