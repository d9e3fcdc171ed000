//! `/contacts`: from a request to the operation and back.

use crate::{
    domain::contact::ContactDetails,
    error::Error,
    http::{
        App,
        auth::{IdPath, Reader, Sender},
        body::JsonObject,
        envelope::{self, ApiError, CursorPagination, Failure, Page, Success},
        idempotency::{IdempotencyKey, begun, created, ok},
        query::{Limit, query},
        representation::{Represented, Wanted, represent_once},
    },
    id::ContactId,
    input::text,
    ops::contacts::{self, By, ContactChange, Merge, NewContact},
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The longest search, in characters.
const LONGEST_SEARCH: usize = 200;

query! {
    /// The query parameters of the list.
    struct ListParams {
        /// Only contacts with words that begin with each word of this text: of the name, phone number, user name, e-mail address and
        /// identities. Case and accents make no difference.
        q: Option<SearchText>,
        /// Only contacts with this phone number, E.164. Write `+` as `%2B`, or leave it out.
        phone: Option<Phone>,
        /// Only the contact with this id of yours.
        external_id: Option<OwnId>,
        /// The `next_cursor` of the previous page.
        cursor: Option<Cursor>,
        /// Maximum number of results to return.
        limit: Option<Limit>,
    }
}

text! {
    /// A search.
    struct SearchText(String): search, |text| text.min_length(Some(1)).max_length(Some(LONGEST_SEARCH));
}

text! {
    /// A phone number.
    struct Phone(String): phone, |text| text.pattern(Some("^[+ ]?[1-9][0-9]{6,14}$")).examples(["+628111111111"]);
}

text! {
    /// The business's own id.
    struct OwnId(String): own_id, |text| text.min_length(Some(1)).max_length(Some(255)).pattern(Some(r"^[^\x00]+$"));
}

text! {
    /// The `next_cursor` of a page.
    struct Cursor(String): |text| Ok(text.to_owned()), |text| text;
}

fn search(text: &str) -> Result<String, &'static str> {
    match text.chars().count() <= LONGEST_SEARCH {
        true => Ok(text.to_owned()),
        false => Err("must have at most 200 characters"),
    }
}

fn phone(text: &str) -> Result<String, &'static str> {
    // An unescaped plus of a URL is a space.
    let digits = text.strip_prefix(['+', ' ']).unwrap_or(text);
    let good = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    good.then(|| format!("+{digits}"))
        .ok_or("must be an E.164 phone number: + and 7 to 15 digits, as in +62812345678")
}

fn own_id(text: &str) -> Result<String, &'static str> {
    match text.chars().count() <= 255 && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err("must have 1 to 255 characters"),
    }
}

impl ListParams {
    fn by(&self) -> Result<By, Error> {
        match (&self.q, &self.phone, &self.external_id) {
            (None, None, None) => Ok(By::All),
            (Some(q), None, None) => contacts::Wanted::read(&q.0)
                .map(By::Words)
                .ok_or_else(|| Error::field("q", "must have 1 to 8 words")),
            (None, Some(phone), None) => Ok(By::Phone(phone.0.clone())),
            (None, None, Some(id)) => Ok(By::ExternalId(id.0.clone())),
            (Some(_), _, _) => Err(Error::field("q", "must be given alone")),
            (None, Some(_), Some(_)) => Err(Error::field("phone", "must be given alone")),
        }
    }
}

type ContactPage = Page<ContactDetails, CursorPagination>;
type ContactAnswer = Success<ContactDetails>;

/// List contacts
///
/// Contacts come newest first; with `q`, in the order of the words that were found. Give one of `q`, `phone` and `external_id`,
/// or none. A page looks at 2,000 entries at most: it may end early, even without a result, with a `next_cursor` that leads
/// on.
#[utoipa::path(
    get, path = "/contacts", operation_id = "listContacts", tag = "Contacts", params(ListParams, Wanted),
    responses(
        (status = 200, description = "A page of contacts", body = ContactPage,
            headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names")
    )
)]
pub async fn list(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    RawQuery(query): RawQuery,
) -> Result<Represented, ApiError> {
    let params = ListParams::parse(query.as_deref())?;
    let by = params.by()?;
    let cursor = match &params.cursor {
        None => None,
        Some(cursor) => Some(by.cursor(&cursor.0).ok_or_else(|| {
            Error::field("cursor", "must be the next_cursor of a page of this list")
        })?),
    };
    let limit = params.limit.unwrap_or_default().0;
    let page = contacts::list(&app.context, principal.account(), by, cursor, limit).await?;
    let pagination = CursorPagination::new(limit, page.next).write()?;
    let body = envelope::written_page(&page.rows, &pagination);
    Ok(represent_once(wanted, &body))
}

/// Get a contact
///
/// With its newest conversations, 20 at most. The id of a contact that was joined with another one leads to that one.
#[utoipa::path(
    get, path = "/contacts/{id}", operation_id = "getContact", tag = "Contacts",
    params(("id" = String, Path, description = "Contact id"), Wanted),
    responses((status = 200, description = "The contact", body = ContactAnswer,
        headers(("ETag" = String, description = "Identifies this very answer"))),
        (status = 304, description = "The answer is still the one that `If-None-Match` names"))
)]
pub async fn get(
    Reader(principal): Reader,
    State(app): State<App>,
    wanted: Wanted,
    IdPath(id): IdPath<ContactId>,
) -> Result<Represented, ApiError> {
    let found = contacts::get(&app.context, principal.account(), &id).await?;
    Ok(represent_once(wanted, &[&envelope::body(found)?]))
}

/// Add or change a contact
///
/// Finds the contact by `external_id`, else by `phone`, and changes what is given; or adds it. WhatsApp messages of the number
/// are that contact's.
#[utoipa::path(
    post, path = "/contacts", operation_id = "upsertContact", tag = "Contacts",
    request_body(content = NewContact, example = json!({"external_id": "customer-17", "phone": "+628111111111",
        "name": "Ayu Lestari", "attributes": {"plan": "gold", "orders": 3}})),
    responses(
        (status = 200, description = "The contact was there, and is changed", body = ContactAnswer),
        (status = 201, description = "The new contact", body = ContactAnswer,
            headers(("Location" = String, description = "The path of the contact"))),
        (status = 409, description = "The external id and the phone number are of different contacts", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "different_contacts",
                "message": "external_id is of contact contact_06cqm0d4vdtqf5b5r9e2k8a1p4, and phone is of contact_06cqm0d4vdtqf5b5r9e2k8a1p5: merge them, or give one of the two"}}))
    )
)]
pub async fn upsert(
    Sender(principal): Sender,
    State(app): State<App>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, account) = (app.context.clone(), principal.account().clone());
    let work = async move {
        let (contact, is_new) = contacts::upsert(&context, &account, body).await?;
        Ok(Upserted { is_new, contact })
    };
    begun(&app.context, request, upserted, work).await
}

/// What came of an upsert, as it is kept under an idempotency key.
#[derive(Serialize, Deserialize)]
struct Upserted<T> {
    is_new: bool,
    contact: T,
}

fn upserted(data: &RawValue) -> Result<Response, Error> {
    let done: Upserted<Box<RawValue>> =
        serde_json::from_str(data.get()).map_err(|error| Error::Internal(error.to_string()))?;
    match done.is_new {
        true => created("/contacts")(&done.contact),
        false => ok(&done.contact),
    }
}

/// Change a contact
///
/// Fields that are not given stay as they are, `null` removes a value. Of `attributes`, those that are named are set, and `null`
/// takes one away. A name that you set is not changed by what a provider says later.
#[utoipa::path(
    patch, path = "/contacts/{id}", operation_id = "updateContact", tag = "Contacts",
    params(("id" = String, Path, description = "Contact id")),
    request_body(content = ContactChange, example = json!({"name": "Ayu Lestari", "muted": false})),
    responses(
        (status = 200, description = "The changed contact", body = ContactAnswer),
        (status = 409, description = "The external id is of another contact", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "external_id_taken",
                "message": "This external_id is of another contact"}}))
    )
)]
pub async fn update(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<ContactId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, account) = (app.context.clone(), principal.account().clone());
    let work = async move { contacts::update(&context, &account, &id, body).await };
    begun(&app.context, request, ok, work).await
}

/// Merge contacts
///
/// The contact `from` becomes this one: its conversations, identities and values are this contact's, and its id leads here. Where
/// both have a value, this contact keeps its own; notes are put together. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/contacts/{id}/merge", operation_id = "mergeContacts", tag = "Contacts",
    params(("id" = String, Path, description = "Id of the contact that stays")),
    request_body(content = Merge, example = json!({"from": "contact_06cqm0d4vdtqf5b5r9e2k8a1p5"})),
    responses(
        (status = 200, description = "The contact that stays", body = ContactAnswer),
        (status = 409, description = "They cannot be one", body = Failure,
            example = json!({"success": false, "error": {"code": "CONFLICT", "reason": "same_inbox",
                "message": "Both contacts have a conversation in inbox inbox_06cqm0d4vdtqf5b5r9e2k8a1p4"}}))
    )
)]
pub async fn merge(
    Sender(principal): Sender,
    State(app): State<App>,
    IdPath(id): IdPath<ContactId>,
    key: IdempotencyKey,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let request = key.request(&principal, Some(&body))?;
    let (context, account) = (app.context.clone(), principal.account().clone());
    let work = async move { contacts::merge(&context, &account, &id, body).await };
    begun(&app.context, request, ok, work).await
}
