//! Which form of a body a client gets, and whether it has it already.
//! <https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation>
//!
//! Invariant: two answers with the same `ETag` have the same bytes.

use super::{
    App,
    envelope::JSON,
    fields::{Fields, Head, text},
};
use crate::rendered::{Form, Rendered};
use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::convert::Infallible;

/// What a client says of the body that it wants.
pub struct Wanted {
    /// In which form, if that is worth it.
    pub form: Form,
    /// The `ETag`s of what it has.
    has: Vec<Vec<u8>>,
}

impl FromRequestParts<App> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Wanted::read(&parts.headers))
    }
}

impl Wanted {
    /// Reads it from a request's headers.
    pub fn read(fields: &(impl Fields + ?Sized)) -> Self {
        Wanted {
            form: best_form(fields),
            has: fields
                .all(&header::IF_NONE_MATCH)
                .map(<[u8]>::to_vec)
                .collect(),
        }
    }
}

/// What a client gets of a body.
pub struct Represented {
    /// 200 with the body in the form that is wanted, or 304 to a client that has it.
    pub status: StatusCode,
    /// The body; empty if the client has it.
    pub body: Bytes,
    form: Form,
    rendered: Rendered,
}

/// Finds out what a client gets.
pub fn represent(wanted: &Wanted, rendered: Rendered) -> Represented {
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

impl Represented {
    /// Writes the headers.
    pub fn write(&self, head: &mut impl Head) {
        head.put(header::CONTENT_TYPE, JSON.as_bytes());
        head.put(header::CACHE_CONTROL, REVALIDATE);
        head.put(header::VARY, VARY);
        head.put(header::ETAG, &self.rendered.tag(self.form));
        if let Some(name) = encoding(self.form)
            && self.status == StatusCode::OK
        {
            head.put(header::CONTENT_ENCODING, name);
        }
        if let Some(links) = self.rendered.links() {
            head.put(header::LINK, links);
        }
    }
}

impl IntoResponse for Represented {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        self.write(&mut headers);
        (self.status, headers, Body::from(self.body)).into_response()
    }
}

/// For its reader alone, who asks each time whether it is still so: it may have changed the moment after.
const REVALIDATE: &[u8] = b"private, no-cache";
/// Whose inboxes they are depends on the key, wherever it is sent.
const VARY: &[u8] = b"Authorization, api_key, Accept-Encoding";

fn encoding(form: Form) -> Option<&'static [u8]> {
    match form {
        Form::Plain => None,
        Form::Gzip => Some(b"gzip"),
        Form::Brotli => Some(b"br"),
    }
}

/// Whether a list of `ETag`s names this one. A proxy that compresses makes a strong one weak, which is as good here.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match>
fn names(list: &[u8], tag: &[u8]) -> bool {
    let Some(list) = text(list) else {
        return false;
    };
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag)
}

/// The shortest form of those that the client likes best.
fn best_form(fields: &(impl Fields + ?Sized)) -> Form {
    let mut best = (Form::Plain, 0);
    for (name, form) in [("br", Form::Brotli), ("gzip", Form::Gzip)] {
        let liking = liking(fields, &header::ACCEPT_ENCODING, name);
        if liking > best.1 {
            best = (form, liking);
        }
    }
    best.0
}

/// How much a client likes an encoding, in thousandths. One that it does not name it likes as `*`, or not at all.
fn liking(fields: &(impl Fields + ?Sized), header: &HeaderName, name: &str) -> u16 {
    let mut any = 0;
    for value in fields.all(header) {
        for entry in text(value).unwrap_or_default().split(',') {
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

/// `q=0.5` is 500. No weight is 1000, and one that makes no sense is 0: what is not understood is not sent.
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
    use axum::http::HeaderValue;

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
            assert!(names(list.as_bytes(), tag), "{list}");
        }
        for list in ["", "a", "\"b\"", "\"a-br\""] {
            assert!(!names(list.as_bytes(), tag), "{list}");
        }
    }
}
