//! `GET /inboxes`: a page of an account's inboxes, from the cache where that has it.

use crate::{
    domain::{Channel, Inbox, InboxStatus, Scope},
    error::Error,
    http::{
        App,
        auth::{Reader, authorise_cached},
        envelope::{self, ApiError, Pagination},
        middleware::of_api,
        query::{Limit, Offset, query},
        representation::{Wanted, represent},
    },
    ops,
    rendered::Rendered,
    store::inboxes::{Filter, Page},
};
use axum::{
    extract::{RawQuery, State},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

query! {
    /// The parameters of a listing.
    struct ListParams {
        /// Filter by inbox type.
        r#type: Option<Channel>,
        /// Filter by status.
        status: Option<InboxStatus>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
        /// Number of results to skip for pagination.
        offset: Option<Offset>,
    }
}

type InboxPage = envelope::Page<Inbox, Pagination>;

/// List inboxes
///
/// All inboxes of your account, oldest first. A bad `limit` or `offset` is an error, not silently replaced. Asking again
/// with the `ETag` as `If-None-Match` costs next to nothing while nothing changes.
#[utoipa::path(
    get, path = "/inboxes", operation_id = "listInboxes", tag = "Inboxes", params(ListParams, Wanted),
    responses((status = 200, description = "A page of inboxes", body = InboxPage,
        headers(
            ("ETag" = String, description = "Another for every other answer"),
            ("Link" = String, description = "The `first`, `prev`, `next` and `last` page under the same filters, where there is one (RFC 8288)")
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
    })), (status = 304, description = "The answer is the one that `If-None-Match` names"))
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
    let (rows, total) = ops::inboxes::list(&app.context, principal.account(), page).await?;
    let rendered = Arc::new(render(&app.context.public_url, page, &rows, total)?);
    cache.fill_page(fill, &rendered);
    Ok(represent(&wanted, rendered).into_response())
}

/// The answer of [`list`], if the key and the page are cached and the key is within its rate limit. `None` if [`list`] has to
/// answer. The request is not counted then.
pub fn cached_answer(app: &App, request: &Parts) -> Option<Response> {
    let page = page_of(request.uri.query()).ok()?;
    let now = app.context.clock.now();
    let (key, address) = authorise_cached(request, app, Scope::Read, now)?;
    let cache = &app.context.cache;
    let cached = cache.page(key.freshness, &key.account, page)?;
    let quota = app.rates.count(&key.principal, address, now);
    if quota.is_some_and(|quota| quota.check(now).is_err()) {
        // One too many is not counted, so it can be tried again, and refused there.
        return None;
    }
    Some(of_api(
        represent(&Wanted::read(&request.headers), cached).into_response(),
        quota,
    ))
}

fn page_of(query: Option<&str>) -> Result<Page, Error> {
    let params = ListParams::parse(query)?;
    Ok(Page {
        filter: Filter {
            channel: params.r#type,
            status: params.status,
        },
        limit: params.limit.unwrap_or_default().0,
        offset: params.offset.unwrap_or_default().0,
    })
}

/// Writes a page with its links.
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

/// Where the other pages are, under the same filters. <https://www.rfc-editor.org/rfc/rfc8288>
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
