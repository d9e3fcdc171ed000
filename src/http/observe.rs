//! The middleware around every request: its id, its line in the log, and its metrics.
//!
//! Invariant: the log has the outcome of a request, and its method and path only if this server knows them. Everything else
//! (the query, headers, bodies, unknown methods and paths) may contain keys or people's words.

use super::{App, envelope::Cause, meters, middleware::check_head};
use crate::{clock, config::REQUEST_LOG};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};
use uuid::fmt::Simple;

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Observes a request.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = Begun {
        at: clock::stopwatch(),
        id: request_id(&app, request.headers()),
        method: request.method().clone(),
        path: for_the_log(request.uri().path(), route.as_ref()).into(),
    };
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let response = next.run(request).await;
    begun.end(route, response)
}

/// Observes a `GET` request of this route that `answer` can answer from the cache. If it cannot, returns `None`, and nothing
/// is recorded.
pub fn observe_cached(
    app: &App,
    request: &Parts,
    route: &'static str,
    answer: impl FnOnce(&App, &Parts) -> Option<Response>,
) -> Option<Response> {
    check_head(app, request).ok()?;
    let at = clock::stopwatch();
    // A panic here happens again in the route's handler, where it becomes an answer.
    let response = catch_unwind(AssertUnwindSafe(|| answer(app, request))).ok()??;
    let begun = Begun {
        at,
        id: request_id(app, &request.headers),
        method: Method::GET,
        path: route.into(),
    };
    Some(begun.end(route, response))
}

/// A request that has no answer yet.
struct Begun<'a> {
    at: Instant,
    id: HeaderValue,
    method: Method,
    path: Cow<'a, str>,
}

impl Begun<'_> {
    /// Records the outcome, and adds the headers that every answer has.
    fn end(self, route: &str, mut response: Response) -> Response {
        let cause = response.extensions_mut().remove::<Cause>();
        self.note(route, response.status(), cause);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.id);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        response
    }

    /// Records the outcome in the metrics and the log.
    fn note(&self, route: &str, status: StatusCode, cause: Option<Cause>) {
        let took = self.at.elapsed();
        meters::record(&self.method, route, status, took.as_secs_f64());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // The value was made from text, so it is text.
        let request_id = self.id.to_str().unwrap_or_default();
        let (method, path) = (meters::known(&self.method), &*self.path);
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

/// The path for the log, if it has a route and only harmless characters. Of any other path the log has only the length,
/// since it may contain a key.
fn for_the_log(path: &str, route: Option<&MatchedPath>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
    let harmless = path.bytes().all(plain) && !path.contains("ibx_");
    match route {
        Some(_) if harmless => path.to_owned(),
        Some(route) => format!("{} ({} bytes)", route.as_str(), path.len()),
        None => format!("unmatched ({} bytes)", path.len()),
    }
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The request id of the client if it is short and harmless, otherwise a new one.
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
