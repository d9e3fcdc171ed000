//! What happens around every request: its id, its line in the log, its metrics, and the headers that every answer has.
//!
//! Invariant: what is logged of a request is its method, its path and how it ended. The query, the headers
//! and the bodies may hold keys and people's words, and are not looked at here.

use super::{
    App, body,
    body_memory::Reservations,
    envelope::{Cause, JSON, Refusal, success},
    meters,
    query::decode,
    rates::{Counted, Quota},
};
use crate::{clock, config::REQUEST_LOG};
use axum::{
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};
use tower_http::catch_panic::CatchPanicLayer;
use uuid::fmt::Simple;

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Surrounds a request.
pub async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let begun = Begun {
        at: clock::stopwatch(),
        id: request_id(&app, request.headers()),
        method: request.method().clone(),
        path: without_keys(request.uri().path()).into(),
    };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    let reservations = Reservations::default();
    if !request.body().is_end_stream() {
        request.extensions_mut().insert(reservations.clone());
    }

    let response = if is_preflight(&request) {
        preflight(request.headers())
    } else {
        match admit(&app, &mut request).await {
            Ok(()) => filled(next.run(request).await),
            Err(response) => response,
        }
    };
    drop(reservations);
    begun.end(route, response, counted.quota())
}

/// An answer that memory has, and how the key's count stands with it.
pub struct AtOnce {
    /// The answer.
    pub response: Response,
    /// The count, if the key has a limit.
    pub quota: Option<Quota>,
}

/// Surrounds a `GET` of this route that has an answer at once. `None`, and nothing is noted, if it has none.
pub fn observe_at_once(
    app: &App,
    request: &Parts,
    route: &'static str,
    answer: impl FnOnce(&App, &Parts) -> Option<AtOnce>,
) -> Option<Response> {
    if head_size(&request.uri, &request.headers) > app.limits.head {
        return None;
    }
    let at = clock::stopwatch();
    // Who panics here does so again by the routes, where it becomes an answer.
    let AtOnce { response, quota } =
        catch_unwind(AssertUnwindSafe(|| answer(app, request))).ok()??;
    let begun = Begun {
        at,
        id: request_id(app, &request.headers),
        method: Method::GET,
        path: route.into(),
    };
    Some(begun.end(route, response, quota))
}

/// A request that has no answer yet.
struct Begun<'a> {
    at: Instant,
    id: HeaderValue,
    method: Method,
    path: Cow<'a, str>,
}

impl Begun<'_> {
    /// Notes how it ended, and completes its answer.
    fn end(self, route: &str, mut response: Response, quota: Option<Quota>) -> Response {
        let cause = response.extensions_mut().remove::<Cause>();
        self.note(route, response.status(), cause);
        let headers = response.headers_mut();
        headers.entry(header::CONTENT_TYPE).or_insert(JSON);
        headers.insert(REQUEST_ID, self.id);
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let Some(quota) = quota {
            quota.write(headers);
        }
        response
    }

    /// Notes how it ended.
    fn note(&self, route: &str, status: StatusCode, cause: Option<Cause>) {
        let took = self.at.elapsed();
        meters::record(&self.method, route, status, took.as_secs_f64());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // It was made of text.
        let request_id = self.id.to_str().unwrap_or_default();
        let (method, path) = (self.method.as_str(), &*self.path);
        let status = status.as_u16();
        match cause {
            Some(Cause(cause)) => tracing::error!(
                target: REQUEST_LOG,
                request_id,
                method,
                path,
                status,
                micros,
                cause,
                "request failed"
            ),
            None => tracing::info!(
                target: REQUEST_LOG,
                request_id, method, path, status, micros, "request"),
        }
    }
}

/// A path for the log. A key that was put there by mistake, however it is written, is left out.
fn without_keys(path: &str) -> String {
    let decoded = decode(path).unwrap_or(Cow::Borrowed(path));
    match decoded.find("ibx_") {
        Some(at) => format!("{}ibx_…", &decoded[..at]),
        None => path.to_owned(),
    }
}

const ANY: HeaderValue = HeaderValue::from_static("*");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Link, ETag",
);

/// The caller's id if it sent a sane one, else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        (1..=128).contains(&value.len())
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
            // Not even a key that was sent in the wrong place may reach the log.
            && !value.contains("ibx_")
    };
    let new = || {
        let mut text = [0; Simple::LENGTH];
        let id = app.context.clock.uuid().simple().encode_lower(&mut text);
        HeaderValue::from_str(id).expect("hex digits are fit for a header")
    };
    headers
        .get(REQUEST_ID)
        .filter(sane)
        .cloned()
        .unwrap_or_else(new)
}

/// Whether a browser asks before it sends the real request. <https://fetch.spec.whatwg.org/#cors-preflight-request>
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Any origin may call, with any header. `*` would not cover `Authorization`, so the asked ones are named back.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, A_DAY);
    headers.insert(header::VARY, VARY);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const VARY: HeaderValue = HeaderValue::from_static("Access-Control-Request-Headers");

/// Refuses a head that is too large (hyper's own bound is a rough one), and reads and drops the body of a request that
/// has no use for one: existing clients send `{}` with a GET, and a body that is left unread would end the connection.
async fn admit(app: &App, request: &mut Request) -> Result<(), Response> {
    if head_size(request.uri(), request.headers()) > app.limits.head {
        return Err(Refusal::HeadTooLarge.into_response());
    }
    let idle = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::DELETE
    );
    if !idle || request.body().is_end_stream() {
        return Ok(());
    }
    let unread = std::mem::take(request.body_mut());
    let read = body::discard(app, request.headers(), unread).await;
    read.map_err(IntoResponse::into_response)
}

/// Bytes of a request's URL and headers, as they were sent.
fn head_size(uri: &Uri, headers: &HeaderMap) -> usize {
    let query = uri.query().map_or(0, |query| query.len() + 1);
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS);
    uri.path().len() + query + fields.sum::<usize>()
}

/// Bytes between a header's name and its value, and after it.
const SEPARATORS: usize = ": \r\n".len();

/// The documentation's files answer some requests with nothing: those, too, get the one shape.
fn filled(response: Response) -> Response {
    let status = response.status();
    let bare =
        response.body().is_end_stream() && !response.headers().contains_key(header::CONTENT_TYPE);
    if !bare
        || status.is_success()
        || status.is_informational()
        || status == StatusCode::NOT_MODIFIED
    {
        return response;
    }
    if status == StatusCode::NOT_FOUND {
        return Refusal::NoSuchPath.into_response();
    }
    let location = response.headers().get(header::LOCATION).cloned();
    let Some(location) = location else {
        return response;
    };
    let data = json!({"location": String::from_utf8_lossy(location.as_bytes())});
    let mut filled = success(status, data);
    filled.headers_mut().insert(header::LOCATION, location);
    filled
}

/// Turns a panic in a handler into the answer of any other fault of ours.
pub fn catch_panic() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(on_panic as OnPanic)
}

/// What a panic is turned into.
pub type OnPanic = fn(Box<dyn std::any::Any + Send>) -> Response<Body>;

fn on_panic(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a handler panicked".to_owned());
    crate::error::Error::Internal(text).into_response()
}
