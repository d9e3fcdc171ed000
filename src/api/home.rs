//! `/`: redirects a browser to the documentation. Other clients get the 404 of an unknown path.

use crate::http::envelope::Refusal;
use axum::{
    http::{HeaderMap, Method, header},
    response::{IntoResponse, Redirect, Response},
};

/// The path of the documentation.
const DOCS: &str = "/docs/";

/// Answers with a redirect to the documentation if the client accepts HTML, as browsers do. All others get the 404 of
/// an unknown path.
pub async fn home(method: Method, headers: HeaderMap) -> Response {
    let reads = matches!(method, Method::GET | Method::HEAD);
    let accepted = headers.get_all(header::ACCEPT).iter();
    let html = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|kind| kind.trim().starts_with("text/html"));
    let answer = match reads && html {
        true => Redirect::to(DOCS).into_response(),
        false => Refusal::NoSuchPath.into_response(),
    };
    ([(header::VARY, "Accept")], answer).into_response()
}
