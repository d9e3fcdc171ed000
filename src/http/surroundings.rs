//! What surrounds the routes, by whom they are for: programs and pages that call the API, providers that call hooks, people
//! who read the documentation.
//!
//! Invariant: no header that one kind of caller needs is on another's answers.

use super::{
    App, body,
    body_memory::Reservations,
    envelope::{JSON, Refusal},
    rates::{Counted, Quota},
};
use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::any::Any;
use tower_http::catch_panic::CatchPanicLayer;

/// Around the API, live chat and what anybody asks for that is not there: pages of any origin may call it, and every answer
/// is JSON.
pub async fn api(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if is_preflight(&request) {
        return of_api(preflight(request.headers()), None);
    }
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    let response = admit(&app, request, next).await;
    of_api(response, counted.quota())
}

/// Completes an answer of the API.
pub fn of_api(mut response: Response, quota: Option<Quota>) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_TYPE).or_insert(JSON);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if let Some(quota) = quota {
        quota.write(headers);
    }
    response
}

/// Around hooks: providers are no browsers.
pub async fn hooks(State(app): State<App>, request: Request, next: Next) -> Response {
    admit(&app, request, next).await
}

/// Around the documentation: no page may show it in a frame, where a click could be stolen from a reader who has put in a
/// key.
pub async fn documents(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = admit(&app, request, next).await;
    let nothing = response.body().is_end_stream();
    if response.status() == StatusCode::NOT_FOUND && nothing {
        response = Refusal::NoSuchPath.into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, NO_FRAMES);
    headers.insert(header::X_FRAME_OPTIONS, DENY);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    response
}

const ANY: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Link, ETag",
);
const NO_FRAMES: HeaderValue = HeaderValue::from_static("frame-ancestors 'none'");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

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

/// Lets a request in, and reads and drops the body of one that has no use for it: existing clients send `{}` with a GET, and a
/// body that is left unread would end the connection. What is reserved for a body is held until the answer is there.
async fn admit(app: &App, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(refusal) = check_head(app, &parts) {
        return refusal.into_response();
    }
    let mut request = Request::from_parts(parts, body);
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::DELETE
    ) {
        let unread = std::mem::take(request.body_mut());
        if let Err(error) = body::discard(app, request.headers(), unread).await {
            return error.into_response();
        }
        return next.run(request).await;
    }
    let reservations = Reservations::default();
    request.extensions_mut().insert(reservations.clone());
    let response = next.run(request).await;
    drop(reservations);
    response
}

/// Refuses a head that is too large (hyper's own bound is a rough one), or is for no host, or for several.
/// <https://www.rfc-editor.org/rfc/rfc9112#name-request-target>
pub fn check_head(app: &App, head: &Parts) -> Result<(), Refusal> {
    if head_size(&head.uri, &head.headers) > app.limits.head {
        return Err(Refusal::HeadTooLarge);
    }
    let hosts = head.headers.get_all(header::HOST).iter().count();
    match hosts {
        1 => Ok(()),
        // Whoever speaks an older version need not say it.
        0 if head.version < Version::HTTP_11 => Ok(()),
        _ => Err(Refusal::NotOneHost),
    }
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

/// Turns a panic in a handler into the answer of any other fault of ours.
pub fn catch_panic() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(on_panic as OnPanic)
}

/// What a panic is turned into.
pub type OnPanic = fn(Box<dyn Any + Send>) -> Response<Body>;

fn on_panic(panic: Box<dyn Any + Send>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a handler panicked".to_owned());
    crate::error::Error::Internal(text).into_response()
}
