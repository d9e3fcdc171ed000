//! The shape of every answer: `{"success":true,"data":…}` or `{"success":false,"error":{…}}`.
//!
//! How answers are documented is in `answers`.
//!
//! Invariant: the status of an error alone decides its code.

use crate::error::{Error, FieldError, Reason};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, in the envelope.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure {
    /// Always `false`.
    #[schema(example = false)]
    pub success: bool,
    /// What went wrong.
    pub error: Problem,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// For programs: one of the documented codes.
    #[schema(example = "VALIDATION_ERROR")]
    pub code: &'static str,
    /// For people.
    #[schema(example = "The request has invalid fields")]
    pub message: String,
    /// For programs: why the state of the object does not allow this. Every `CONFLICT` has it, and no other error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<Reason>,
    /// Each wrong field, where fields are at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<Vec<FieldError>>,
}

/// A success with its data.
#[derive(Debug, Serialize)]
pub struct Success<T> {
    success: bool,
    data: T,
}

/// The place of a page in its list.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Pagination {
    /// The total number of matches of the filters.
    #[schema(example = 15, minimum = 0)]
    pub total: i64,
    /// The limit that was applied.
    #[schema(example = 50, minimum = 1, maximum = 100)]
    pub limit: i64,
    /// The offset that was applied.
    #[schema(example = 0, minimum = 0)]
    pub offset: i64,
}

/// A page of a list, with its place in the list.
#[derive(Debug, Serialize)]
pub struct Page<T, P> {
    success: bool,
    data: Vec<T>,
    pagination: P,
}

/// The place of a page in a list that is read by cursor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CursorPagination {
    /// The limit that was applied.
    #[schema(example = 50, minimum = 1, maximum = 100)]
    pub limit: i64,
    /// Whether there is a next page.
    pub has_more: bool,
    /// The `cursor` of the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

impl CursorPagination {
    /// Creates the pagination of a page. `next_cursor` is `None` if this is the last page.
    pub fn new(limit: i64, next_cursor: Option<String>) -> Self {
        CursorPagination {
            limit,
            has_more: next_cursor.is_some(),
            next_cursor,
        }
    }

    /// As JSON.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        write(self)
    }
}

/// 200 with a page of a list that is read by cursor.
pub fn walk<T: Serialize>(data: Vec<T>, pagination: CursorPagination) -> Response {
    json(
        StatusCode::OK,
        &Page {
            success: true,
            data,
            pagination,
        },
    )
}

/// 200 with data.
pub fn ok(data: impl Serialize) -> Response {
    success(StatusCode::OK, data)
}

/// A success with this status and data.
pub fn success(status: StatusCode, data: impl Serialize) -> Response {
    json(
        status,
        &Success {
            success: true,
            data,
        },
    )
}

/// The body of a page of a list.
pub fn page(data: &[impl Serialize], pagination: Pagination) -> Result<Bytes, Error> {
    let page = Page {
        success: true,
        data: data.iter().collect(),
        pagination,
    };
    Ok(write(&page)?.into())
}

/// The body of a page of a list, in pieces. Its rows are JSON already, separated by commas, and so is its pagination.
pub fn written_page<'a>(rows: &'a [u8], pagination: &'a [u8]) -> [&'a [u8]; 5] {
    [
        br#"{"success":true,"data":["#,
        rows,
        br#"],"pagination":"#,
        pagination,
        b"}",
    ]
}

/// The body of a success with data.
pub fn body(data: impl Serialize) -> Result<Bytes, Error> {
    let success = Success {
        success: true,
        data,
    };
    Ok(write(&success)?.into())
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match write(body) {
        Ok(bytes) => with_type(status, bytes),
        Err(error) => error.into_response(),
    }
}

fn write(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    // Enough for a page of inboxes, which would otherwise be copied whenever the vector grows.
    let mut bytes = Vec::with_capacity(4096);
    serde_json::to_writer(&mut bytes, body).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(bytes)
}

fn with_type(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, JSON.clone());
    response
}

/// `Content-Type: application/json`.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error that only HTTP knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such path.
    NoSuchPath,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body is longer than allowed.
    BodyTooLarge,
    /// The body did not arrive in time, or its memory was needed for other bodies.
    BodyTooSlow,
    /// There is no memory for the body, because there are too many at once.
    TooManyBodies,
    /// The maximum number of streams and sockets is open.
    TooManyStreams,
    /// The body's `Content-Type` is not JSON.
    NotJson,
    /// The request is not valid HTTP.
    BadRequest,
    /// The request has no `Host` header, or more than one.
    NotOneHost,
    /// The URL is longer than allowed.
    UrlTooLong,
    /// The request's URL and headers are larger than allowed.
    HeadTooLarge,
    /// The request's head did not arrive in time.
    HeadTooSlow,
    /// A provider's update is not signed, or not with the secret of its inbox.
    BadSignature,
    /// The request is not a provider's verification, or its token is not one of ours.
    NotVerified,
}

impl Refusal {
    /// Its status and message.
    pub fn parts(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Refusal::NoSuchPath => (S::NOT_FOUND, "No such path: /docs lists them"),
            Refusal::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "This path does not take this method")
            }
            Refusal::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Refusal::BodyTooSlow => (S::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Refusal::TooManyBodies => (
                S::SERVICE_UNAVAILABLE,
                "Too many large requests at once: nothing was accepted, try again",
            ),
            Refusal::TooManyStreams => (
                S::SERVICE_UNAVAILABLE,
                "Too many streams and sockets are open: try again",
            ),
            Refusal::NotJson => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "Send the body as application/json",
            ),
            Refusal::BadRequest => (S::BAD_REQUEST, "The request is not valid HTTP"),
            Refusal::NotOneHost => (S::BAD_REQUEST, "Send exactly one Host header"),
            Refusal::UrlTooLong => (S::URI_TOO_LONG, "The URL is too long"),
            Refusal::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request's URL and headers are too large",
            ),
            Refusal::HeadTooSlow => (S::REQUEST_TIMEOUT, "The request did not arrive in time"),
            Refusal::BadSignature => (S::UNAUTHORIZED, "The signature is missing or wrong"),
            Refusal::NotVerified => (
                S::FORBIDDEN,
                "This is not a verification with a token of this server",
            ),
        }
    }

    /// Its body.
    pub fn body(self) -> Vec<u8> {
        failure(ApiError::from(self).problem())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = with_type(self.parts().0, self.body());
        if matches!(self, Refusal::TooManyBodies | Refusal::TooManyStreams) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// Every error of a handler.
#[derive(Debug)]
pub enum ApiError {
    /// An error of the operation.
    Operation(Error),
    /// An error that only HTTP knows.
    Refusal(Refusal),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        ApiError::Operation(error)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        ApiError::Refusal(refusal)
    }
}

impl ApiError {
    /// The status of its answer.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Operation(error) => status(error),
            ApiError::Refusal(refusal) => refusal.parts().0,
        }
    }

    /// What its body says.
    pub fn problem(&self) -> Problem {
        match self {
            ApiError::Operation(error) => problem(error),
            ApiError::Refusal(refusal) => Problem {
                code: code(self.status()),
                message: refusal.parts().1.to_owned(),
                reason: None,
                details: None,
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            ApiError::Operation(error) => error.into_response(),
            ApiError::Refusal(refusal) => refusal.into_response(),
        }
    }
}

/// The cause of an internal error, for the log.
#[derive(Debug, Clone)]
pub struct Cause(pub String);

/// How long a client should wait before it tries again after a 503, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The same if a provider is away and does not say itself how long to wait.
const PROVIDER_RETRY_AFTER: u64 = 10;

/// The code and the message of an error, without its status: for answers that are not HTTP.
pub fn problem(error: &Error) -> Problem {
    Problem {
        code: code(status(error)),
        message: match error {
            Error::Validation(_) => "The request has invalid fields".to_owned(),
            Error::NotFound(noun) => capitalised(noun) + " not found",
            Error::Conflict(reason, message) => match advice(*reason) {
                Some(advice) => format!("{message}. {advice}"),
                None => message.clone(),
            },
            other => other.to_string(),
        },
        reason: match error {
            Error::Conflict(reason, _) => Some(*reason),
            _ => None,
        },
        details: match error {
            Error::Validation(details) => Some(details.clone()),
            _ => None,
        },
    }
}

/// What a client can do about a conflict.
fn advice(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::HasMessages => Some(
            "To keep them, switch it off with PATCH and {\"status\":\"inactive\"}; to delete them with it, add ?purge=true",
        ),
        Reason::CredentialMissing => Some("Set the credential with PATCH, as a field of channel"),
        Reason::InboxInactive => Some("Switch it on with PATCH and {\"status\":\"active\"}"),
        _ => None,
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Validation(_) => StatusCode::BAD_REQUEST,
        Error::Unauthorized | Error::UnknownVisitor => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) | Error::Origin => StatusCode::FORBIDDEN,
        Error::RateLimited(_) | Error::TooManyFailures(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Conflict(..) => StatusCode::CONFLICT,
        Error::Unavailable(_) | Error::Deadlock(_) | Error::ProviderAway { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of every error with this status.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT => "VALIDATION_ERROR",
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::CONFLICT => "CONFLICT",
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "PAYLOAD_TOO_LARGE",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
        StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        _ => "INTERNAL_ERROR",
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let extra: Option<(HeaderName, HeaderValue)> = match &self {
            Error::Unauthorized | Error::UnknownVisitor => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Error::Unavailable(_) | Error::Deadlock(_) => Some((header::RETRY_AFTER, RETRY_AFTER)),
            Error::ProviderAway { retry_after, .. } => {
                let seconds = retry_after.unwrap_or(PROVIDER_RETRY_AFTER);
                Some((header::RETRY_AFTER, seconds.into()))
            }
            Error::RateLimited(seconds) | Error::TooManyFailures(seconds) => {
                Some((header::RETRY_AFTER, (*seconds).into()))
            }
            _ => None,
        };
        let mut response = with_type(status(&self), failure(problem(&self)));
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, value);
        }
        if let Some(cause) = self.cause() {
            response.extensions_mut().insert(Cause(cause.to_owned()));
        }
        response
    }
}

fn failure(error: Problem) -> Vec<u8> {
    let success = false;
    serde_json::to_vec(&Failure { success, error }).expect("a struct of texts is always JSON")
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}
