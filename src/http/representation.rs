//! Content negotiation and conditional requests: which encoding of a body a client gets, and whether it has the body already.
//! <https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation>
//!
//! Invariant: two answers with the same `ETag` have the same bytes.

use super::{App, envelope::JSON};
use crate::rendered::{Form, Rendered};
use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::{convert::Infallible, sync::Arc};
use utoipa::{
    IntoParams,
    openapi::{
        Object, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

/// The parts of a request that decide how its answer is sent.
pub struct Wanted {
    /// The preferred encoding.
    pub form: Form,
    /// The values of `If-None-Match`.
    has: Vec<HeaderValue>,
}

impl FromRequestParts<App> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Wanted::read(&parts.headers))
    }
}

impl Wanted {
    /// Reads them from the headers.
    pub fn read(headers: &HeaderMap) -> Self {
        Wanted {
            form: best_form(headers),
            has: headers
                .get_all(header::IF_NONE_MATCH)
                .iter()
                .cloned()
                .collect(),
        }
    }
}

impl IntoParams for Wanted {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tag = ParameterBuilder::new()
            .name("If-None-Match")
            .parameter_in(ParameterIn::Header)
            .description(Some("The `ETag` of the answer that you have."))
            .schema(Some(Object::with_type(Type::String)));
        vec![tag.build()]
    }
}

/// An answer in the form that its client wants.
pub struct Represented {
    /// 200, or 304 if the client has the body already.
    pub status: StatusCode,
    /// The body. Empty with a 304.
    pub body: Bytes,
    form: Form,
    rendered: Arc<Rendered>,
}

/// Chooses the form of an answer.
pub fn represent(wanted: &Wanted, rendered: Arc<Rendered>) -> Represented {
    let (form, body) = rendered.written(wanted.form);
    let has = !wanted.has.is_empty() && {
        let tag = rendered.tag(form);
        wanted.has.iter().any(|list| names(list, &tag))
    };
    let (status, body) = match has {
        true => (StatusCode::NOT_MODIFIED, Bytes::new()),
        false => (StatusCode::OK, body),
    };
    Represented {
        status,
        body,
        form,
        rendered,
    }
}

/// The same for a body that is made for a single request. It is not compressed, since that would have to be done each time.
pub fn represent_once(wanted: Wanted, body: &[&[u8]]) -> Represented {
    let plain = Wanted {
        form: Form::Plain,
        ..wanted
    };
    represent(&plain, Arc::new(Rendered::new(body, None)))
}

impl IntoResponse for Represented {
    fn into_response(self) -> Response {
        let encoding = encoding(self.form).filter(|_| self.status == StatusCode::OK);
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::CACHE_CONTROL, REVALIDATE);
        headers.insert(header::VARY, VARY);
        put(headers, header::ETAG, &self.rendered.tag(self.form));
        if let Some(name) = encoding {
            headers.insert(header::CONTENT_ENCODING, name);
        }
        if let Some(links) = self.rendered.links() {
            put(headers, header::LINK, links);
        }
        response
    }
}

/// Adds a header. If its value is not allowed in headers, logs an error instead.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    match HeaderValue::from_bytes(value) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(_) => {
            tracing::error!(%name, "a header is left out, because its value is not allowed in headers")
        }
    }
}

/// Only the client may cache the answer, and must check each time whether it has changed.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The answer depends on the key, wherever it is sent.
const VARY: HeaderValue = HeaderValue::from_static("Authorization, api_key, Accept-Encoding");

fn encoding(form: Form) -> Option<HeaderValue> {
    match form {
        Form::Plain => None,
        Form::Gzip => Some(HeaderValue::from_static("gzip")),
        Form::Brotli => Some(HeaderValue::from_static("br")),
    }
}

/// Whether a list of `ETag`s contains this one. A weak tag counts, too, since a proxy that compresses weakens it.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match>
fn names(list: &HeaderValue, tag: &[u8]) -> bool {
    let Ok(list) = list.to_str() else {
        return false;
    };
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag)
}

/// The form that the client prefers. Of two that it likes equally, the shorter one.
fn best_form(headers: &HeaderMap) -> Form {
    let mut best = (Form::Plain, 0);
    for (name, form) in [("br", Form::Brotli), ("gzip", Form::Gzip)] {
        let weight = weight(headers, name);
        if weight > best.1 {
            best = (form, weight);
        }
    }
    best.0
}

/// The weight of an encoding in `Accept-Encoding`, in thousandths. An encoding that is not listed has the weight of `*`, or
/// 0.
fn weight(headers: &HeaderMap, name: &str) -> u16 {
    let mut any = 0;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for entry in value.to_str().unwrap_or_default().split(',') {
            let (coding, weight) = entry.split_once(';').unwrap_or((entry, ""));
            let coding = coding.trim();
            if coding.eq_ignore_ascii_case(name) {
                return thousandths(weight);
            }
            if coding == "*" {
                any = thousandths(weight);
            }
        }
    }
    any
}

/// `q=0.5` is 500. No weight is 1000, and an invalid one is 0.
fn thousandths(weight: &str) -> u16 {
    let weight = weight.trim();
    if weight.is_empty() {
        return 1000;
    }
    let number = weight
        .strip_prefix("q=")
        .or_else(|| weight.strip_prefix("Q="))
        .and_then(|text| text.trim().parse::<f32>().ok());
    match number {
        Some(number) if (0.0..=1.0).contains(&number) => (number * 1000.0) as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(accepted: &[&'static str]) -> Form {
        let mut headers = HeaderMap::new();
        for value in accepted {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        best_form(&headers)
    }

    #[test]
    fn the_client_says_which_form_it_gets() {
        assert_eq!(best(&[]), Form::Plain);
        assert_eq!(best(&["gzip, deflate, br"]), Form::Brotli);
        assert_eq!(best(&["gzip"]), Form::Gzip);
        assert_eq!(best(&["GZIP;q=1.0, br;q=0.5"]), Form::Gzip);
        assert_eq!(best(&["deflate", "br;q=0.001"]), Form::Brotli);
        assert_eq!(best(&["*"]), Form::Brotli);
        assert_eq!(best(&["br;q=0, *"]), Form::Gzip);
        for none in [
            "identity", "gzip;q=0", "gzip;q=2", "gzip;q=x", "", ";", "deflate",
        ] {
            assert_eq!(best(&[none]), Form::Plain, "{none}");
        }
    }

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not() {
        let tag = b"\"a\"";
        for list in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*"] {
            assert!(names(&HeaderValue::from_static(list), tag), "{list}");
        }
        for list in ["", "a", "\"b\"", "\"a-br\""] {
            assert!(!names(&HeaderValue::from_static(list), tag), "{list}");
        }
    }
}
