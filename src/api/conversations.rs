//! `/conversations`: lists and reads conversations, and changes their state.

pub mod typing;

use crate::{
    domain::{CONVERSATION_STATUSES, Conversation},
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader, Sender},
        body::JsonObject,
        envelope::{self, ApiError, CursorPagination, Page, Success},
        idempotency::{IdempotencyKey, ok, once},
        query::{Choice, Limit, Time, query},
        representation::{Represented, Wanted, represent_once},
    },
    id::{ContactId, ConversationId, InboxId},
    input::{Text, text, word},
    ops::{
        conversations::{self, ConversationChange, Filter, ReadMark, Sort},
        signals,
    },
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use utoipa::openapi::{RefOr, schema::Schema};

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only conversations of this inbox.
        inbox_id: Option<InboxId>,
        /// Only conversations with this status.
        status: Option<ConversationStatus>,
        /// Only conversations with this contact.
        contact_id: Option<ContactId>,
        /// `true`: only conversations whose contact waits for an answer.
        waiting: Option<Choice>,
        /// `true`: only conversations with messages that your team has not read.
        unread: Option<Choice>,
        /// `true`: only conversations in which a message of yours failed or is `unknown`, and in which your team has neither
        /// written nor resolved anything since that is known.
        undelivered: Option<Choice>,
        /// Only conversations that were updated at this time or later.
        updated_since: Option<Time>,
        /// `latest` sorts by the last message, newest first; `waiting` lists only those that wait, longest first. By default,
        /// conversations are sorted by when they began, newest first.
        sort: Option<Sort>,
        /// The `next_cursor` of the previous page, in the same order.
        cursor: Option<Cursor>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
    }
}

text! {
    /// `open` or `resolved`.
    struct ConversationStatus(String): status, |text| text.enum_values(Some(CONVERSATION_STATUSES));
}

text! {
    /// The `next_cursor` of a page.
    struct Cursor(String): cursor, |text| text;
}

fn status(text: &str) -> Result<String, &'static str> {
    match CONVERSATION_STATUSES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err("must be open or resolved"),
    }
}

impl Text for Sort {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Sort::Latest),
            "waiting" => Ok(Sort::Waiting),
            _ => Err("must be latest or waiting".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        word(&["latest", "waiting"])
    }
}

fn cursor(text: &str) -> Result<String, &'static str> {
    let one_of = [Sort::Created, Sort::Latest, Sort::Waiting];
    match one_of.iter().any(|sort| sort.cursor(text).is_some()) {
        true => Ok(text.to_owned()),
        false => Err("must be the next_cursor of a page"),
    }
}

type ConversationPage = Page<Conversation<'static>, CursorPagination>;
type ConversationAnswer = Success<Conversation<'static>>;

/// List conversations
///
/// Conversations are sorted by the time when they began, newest first. Reading all pages returns each of them exactly
/// once, even if new ones arrive in the meantime. With `sort=latest`, they are sorted by their last message: a
/// conversation in which something is written in the meantime moves to the front, so reading all pages may miss it, but
/// returns none twice; so it is with `sort=waiting` for one that is answered, or begins to wait. A page ends early when it
/// reaches 4 MB. With filters, it also ends where it has looked at 2,000 conversations: it may be empty and still have a
/// `next_cursor`.
#[utoipa::path(
    get, path = "/conversations", operation_id = "listConversations", tag = "Conversations", params(ListParams, Wanted),
    responses(
        (status = 200, description = "A page of conversations", body = ConversationPage,
            headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"),
        (status = 404, description = "No such inbox or contact in this account", body = crate::http::envelope::Failure)
    )
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    RawQuery(query): RawQuery,
) -> Result<Represented, ApiError> {
    let params = ListParams::parse(query.as_deref())?;
    let sort = params.sort.unwrap_or_default();
    let start = match params.cursor {
        None => sort.start(),
        Some(cursor) => sort.cursor(&cursor.0).ok_or_else(|| {
            Error::field("cursor", "must be the next_cursor of a page in this order")
        })?,
    };
    let limit = params.limit.unwrap_or_default().0;
    let choice = |choice: Option<Choice>| choice.map(|choice| choice.0);
    let filter = Filter {
        inbox: params.inbox_id,
        contact: params.contact_id,
        status: params.status.map(|status| status.0),
        waiting: choice(params.waiting),
        unread: choice(params.unread),
        undelivered: choice(params.undelivered),
        updated_since: params.updated_since.map(|time| time.0),
    };
    if sort == Sort::Waiting && filter.waiting == Some(false) {
        return Err(Error::field("waiting", "must not be false with sort=waiting").into());
    }
    let account = principal.account();
    let page = conversations::list(&app.context, account, &filter, &start, limit).await?;
    let pagination = CursorPagination::new(limit, page.next).write()?;
    let body = envelope::written_page(&page.rows, &pagination);
    Ok(represent_once(wanted, &body))
}

/// Get a conversation
#[utoipa::path(
    get, path = "/conversations/{id}", operation_id = "getConversation", tag = "Conversations",
    params(("id" = String, Path, description = "Conversation id"), Wanted),
    responses((status = 200, description = "The conversation", body = ConversationAnswer,
        headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"))
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    IdPath(id): IdPath<ConversationId>,
) -> Result<Represented, ApiError> {
    let found = conversations::get(&app.context, principal.account(), &id).await?;
    Ok(represent_once(wanted, &[&envelope::body(found)?]))
}

/// Change a conversation
///
/// Resolves it, or opens it again. A resolved conversation does not wait for an answer, and nothing in it is unread. It opens
/// by itself when the contact writes again; an answer does not open it.
#[utoipa::path(
    patch, path = "/conversations/{id}", operation_id = "updateConversation", tag = "Conversations",
    params(("id" = String, Path, description = "Conversation id")),
    request_body(content = ConversationChange, example = json!({"status": "resolved"})),
    responses((status = 200, description = "The conversation", body = ConversationAnswer))
)]
pub async fn update(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<ConversationId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, request) = (&app.context, request.as_ref());
    let work = conversations::update(context, principal.account(), &id, body, request);
    once(context, request, ok, work).await
}

/// Mark a conversation as read
///
/// Your team has read what came up to this message. What was read before stays read. A message that is sent, here or in the
/// channel's own app, does the same for what came before it. The contact is shown it, too, unless the inbox's `read_receipts` is
/// `never`.
#[utoipa::path(
    post, path = "/conversations/{id}/read", operation_id = "readConversation", tag = "Conversations",
    params(("id" = String, Path, description = "Conversation id")),
    request_body(content = ReadMark, example = json!({"message_id": "msg_06cqm0d4vdtqf5b5r9e2k8a1p4"})),
    responses((status = 200, description = "The conversation", body = ConversationAnswer))
)]
pub async fn read(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<ConversationId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, request) = (&app.context, request.as_ref());
    let account = principal.account();
    let work = async {
        let (read, message) = conversations::read(context, account, &id, body, request).await?;
        signals::read(context, account, &id, &message);
        Ok(read)
    };
    once(context, request, ok, work).await
}
