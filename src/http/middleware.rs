//! The middleware around each kind of route: the API (programs and web pages), hooks (providers), and the documentation
//! (people).
//!
//! Invariant: answers of one kind of route have no headers that only another kind needs.

use super::{
    App,
    body::{self, Held, Reservations},
    client,
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

/// Around the API, live chat and unknown paths. Web pages of any origin may call them, and every answer is JSON.
pub async fn api(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if is_preflight(&request) {
        return of_api(preflight(request.headers()), None);
    }
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    let network = client::address_of(request.extensions(), request.headers(), &app);
    let response = admit(&app, request, next).await;
    let response = match network.map(client::network) {
        Ok(network) => reserve(&app, network, response),
        // Without a connection there is no client that could leave it unread.
        Err(_) => response,
    };
    of_api(response, counted.quota())
}

/// The length in bytes from which an answer takes reserved memory. A usual page of a hundred messages is shorter.
const LONG: u64 = 128 * 1024;

/// Reserves memory for a long answer until it was written. Otherwise a client that requests many and reads none would
/// take all memory.
fn reserve(app: &App, network: u128, response: Response) -> Response {
    let length = response.body().size_hint().exact().unwrap_or(0);
    if length <= LONG {
        return response;
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match app.body_memory.answer(network, length) {
        Ok(memory) => response.map(|body| Body::new(Held::new(body, memory))),
        Err(refusal) => refusal.into_response(),
    }
}

/// Adds the headers that every answer of the API has.
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

/// Around hooks. Providers are not browsers, and need no such headers.
pub async fn hooks(State(app): State<App>, request: Request, next: Next) -> Response {
    admit(&app, request, next).await
}

/// Around the documentation. No page may show it in a frame, since a click there could be hijacked after a reader has
/// entered a key.
pub async fn documents(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = admit(&app, request, next).await;
    if response.status() == StatusCode::NOT_FOUND && response.body().is_end_stream() {
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
    "X-Request-Id, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Link, ETag, Idempotent-Replayed",
);
const NO_FRAMES: HeaderValue = HeaderValue::from_static("frame-ancestors 'none'");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Whether this is a browser's preflight request. <https://fetch.spec.whatwg.org/#cors-preflight-request>
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Allows any origin and any header. `*` would not include `Authorization`, so the requested names are repeated.
fn preflight(requested: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, A_DAY);
    headers.insert(header::VARY, VARY);
    if let Some(names) = requested.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const VARY: HeaderValue = HeaderValue::from_static("Access-Control-Request-Headers");

/// Checks a request's head, and passes the request on. The body of a method that does not use one is read and dropped, since
/// existing clients send `{}` with a GET, and an unread body would end the connection. The memory of a body stays reserved
/// until the answer is there.
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

/// Refuses a head that is too large (hyper's own limit is only approximate), or that has no `Host` header or several.
/// <https://www.rfc-editor.org/rfc/rfc9112#name-request-target>
pub fn check_head(app: &App, head: &Parts) -> Result<(), Refusal> {
    if head_size(&head.uri, &head.headers) > app.limits.head {
        return Err(Refusal::HeadTooLarge);
    }
    let hosts = head.headers.get_all(header::HOST).iter().count();
    match hosts {
        1 => Ok(()),
        // HTTP/1.0 does not require it.
        0 if head.version < Version::HTTP_11 => Ok(()),
        _ => Err(Refusal::NotOneHost),
    }
}

/// The size of a request's URL and headers as they were sent, in bytes.
fn head_size(uri: &Uri, headers: &HeaderMap) -> usize {
    let query = uri.query().map_or(0, |query| query.len() + 1);
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS);
    uri.path().len() + query + fields.sum::<usize>()
}

/// The number of bytes between a header's name and value, and after the value.
const SEPARATORS: usize = ": \r\n".len();

/// Turns a panic in a handler into the answer of any other internal error.
pub fn catch_panic() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(on_panic as OnPanic)
}

/// The function that makes an answer from a panic.
pub type OnPanic = fn(Box<dyn Any + Send>) -> Response<Body>;

fn on_panic(panic: Box<dyn Any + Send>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a handler panicked".to_owned());
    crate::error::Error::Internal(text).into_response()
}
