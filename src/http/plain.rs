//! Requests so plain, and answers so short, that they need no more of HTTP than is here: a `GET` without a body that has
//! arrived as a whole and asks nothing of the connection.
//! <https://www.rfc-editor.org/rfc/rfc9112>
//!
//! hyper knows all of HTTP, and keeps a map of each head and a state of each message. For a list from memory that is a fifth
//! of the whole; so whoever asks for nothing else is spared it. Whatever is not plain is hyper's.
//!
//! Invariant: what is plain means the same to hyper, to the letter; in doubt, nothing is plain.

use super::fields::{Head, left_out};
use crate::clock;
use axum::{
    body::{Body, HttpBody},
    http::{
        HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
        header::{
            CONNECTION, CONTENT_LENGTH, DATE, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
        },
    },
};
use bytes::Bytes;
use http_body_util::BodyExt;
use httparse::{EMPTY_HEADER, Header, Status};
use std::{cell::RefCell, io::Write};

/// Bytes of the longest head that is plain.
pub const HEAD: usize = 4096;
/// Fields in it.
const FIELDS: usize = 32;
/// What has a say in how messages are framed, or in what becomes of the connection.
const NOT_PLAIN: [HeaderName; 6] = [
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    TE,
    TRAILER,
];

/// Room for the fields of a head.
pub struct Room<'a>([Header<'a>; FIELDS]);

impl Default for Room<'_> {
    fn default() -> Self {
        Room([EMPTY_HEADER; FIELDS])
    }
}

/// A plain request.
#[derive(Debug)]
pub struct Plain<'a> {
    /// Bytes of its head, which is all of it.
    pub length: usize,
    /// The query of its URL.
    pub query: Option<&'a str>,
    /// Its header fields.
    pub fields: &'a [Header<'a>],
}

/// The request with which these bytes begin, if it is a plain one for this path.
pub fn read<'a>(bytes: &'a [u8], path: &str, room: &'a mut Room<'a>) -> Option<Plain<'a>> {
    let after = bytes.strip_prefix(b"GET ")?.strip_prefix(path.as_bytes())?;
    if !matches!(after.first(), Some(b' ' | b'?')) {
        return None;
    }
    let mut request = httparse::Request::new(&mut room.0);
    let Ok(Status::Complete(length)) = request.parse(bytes) else {
        return None;
    };
    let query = match request.path?.strip_prefix(path)? {
        "" => None,
        query => Some(query.strip_prefix('?')?),
    };
    let fields = &*request.headers;
    let plain = length <= HEAD
        && request.version == Some(1)
        && query.is_none_or(|query| query.bytes().all(is_plain))
        && fields.iter().all(is_no_matter_of_the_connection);
    plain.then_some(Plain {
        length,
        query,
        fields,
    })
}

/// Whether everybody reads this byte of a query alike.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%=&+".contains(&byte)
}

fn is_no_matter_of_the_connection(field: &Header<'_>) -> bool {
    if field.name.eq_ignore_ascii_case(CONNECTION.as_str()) {
        return field.value.eq_ignore_ascii_case(b"keep-alive");
    }
    let is = |name: &HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
    !NOT_PLAIN.iter().any(is)
}

impl Plain<'_> {
    /// The same as hyper would have it. `None` if hyper would not have it.
    pub fn request(&self, path: &str) -> Option<Request<Body>> {
        let uri = match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri.parse::<Uri>().ok()?;
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(field.value).ok()?;
            request.headers_mut().append(name, value);
        }
        Some(request)
    }
}

/// Writes the line with which an answer begins.
pub fn begin(head: &mut Vec<u8>, status: StatusCode) {
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
}

impl Head for Vec<u8> {
    fn put(&mut self, name: HeaderName, value: &[u8]) {
        // Each byte is looked at, without an early end: then many can be looked at in one step.
        if value.iter().fold(true, |fit, byte| fit & is_fit(*byte)) {
            for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
                self.extend_from_slice(part);
            }
        } else {
            left_out(&name);
        }
    }
}

/// Whether a header's value may have this byte: as [`HeaderValue`] says.
fn is_fit(byte: u8) -> bool {
    (byte >= b' ') & (byte != 127) | (byte == b'\t')
}

/// Ends the head of an answer with so many bytes of body. A 304 says nothing of a body.
pub fn end(head: &mut Vec<u8>, status: StatusCode, length: usize) {
    if status != StatusCode::NOT_MODIFIED {
        write!(head, "{CONTENT_LENGTH}: {length}\r\n").expect("a vector takes all");
    }
    put_date(head);
    head.extend_from_slice(b"\r\n");
}

/// Writes the moment of the answer. It is the same for many.
fn put_date(head: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(second, text)| {
        let now = clock::second();
        if *second != now {
            (*second, *text) = (now, clock::http_date(now));
        }
        head.put(DATE, text.as_bytes());
    });
}

/// Writes the head of any answer whose body is there as a whole. Returns the body.
pub async fn whole(head: &mut Vec<u8>, response: Response<Body>) -> Result<Bytes, axum::Error> {
    let (parts, body) = response.into_parts();
    debug_assert!(body.size_hint().exact().is_some(), "an answer with an end");
    let body = body.collect().await?.to_bytes();
    begin(head, parts.status);
    for (name, value) in &parts.headers {
        if name != CONTENT_LENGTH {
            head.put(name.clone(), value.as_bytes());
        }
    }
    end(head, parts.status, body.len());
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/inboxes";

    /// The query of a plain request.
    fn query(bytes: &str) -> Option<Option<String>> {
        let mut room = Room::default();
        let plain = read(bytes.as_bytes(), PATH, &mut room)?;
        Some(plain.query.map(str::to_owned))
    }

    #[test]
    fn what_is_plain_is_read() {
        let two = "GET /inboxes?limit=5 HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\nGET ";
        let mut room = Room::default();
        let plain = read(two.as_bytes(), PATH, &mut room).expect("a plain one");
        assert_eq!(plain.query, Some("limit=5"));
        assert_eq!(plain.length, two.len() - "GET ".len());
        assert_eq!(plain.fields.len(), 2);
        let request = plain.request(PATH).expect("a request");
        assert_eq!(request.uri(), "/inboxes?limit=5");
        assert_eq!(request.headers()["host"], "a");
        assert_eq!(query("GET /inboxes HTTP/1.1\r\n\r\n"), Some(None));
        assert_eq!(
            query("GET /inboxes? HTTP/1.1\r\n\r\n"),
            Some(Some("".into()))
        );
    }

    #[test]
    fn what_is_not_plain_is_left_to_hyper() {
        for line in [
            "POST /inboxes HTTP/1.1",
            "HEAD /inboxes HTTP/1.1",
            "GET /inboxes HTTP/1.0",
            "GET /inboxes/ HTTP/1.1",
            "GET /inboxesx HTTP/1.1",
            "GET /inboxes#a HTTP/1.1",
            "GET /inboxes?a#b HTTP/1.1",
            "GET /inboxes?\"a\" HTTP/1.1",
            "GET http://a/inboxes HTTP/1.1",
            "GET  /inboxes HTTP/1.1",
        ] {
            assert_eq!(query(&format!("{line}\r\nHost: a\r\n\r\n")), None, "{line}");
        }
        let many = "A: b\r\n".repeat(FIELDS + 1);
        let long = format!("A: {}\r\n", "b".repeat(HEAD));
        for fields in [
            "Content-Length: 0\r\n",
            "content-length: 2\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Connection: close\r\n",
            "Connection: keep-alive, upgrade\r\n",
            "Upgrade: h2c\r\n",
            "Expect: 100-continue\r\n",
            "TE: trailers\r\n",
            "Trailer: a\r\n",
            "A: b\r\n folded\r\n",
            "A : b\r\n",
            "no colon\r\n",
            &many,
            &long,
        ] {
            let request = format!("GET /inboxes HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(query(&request), None, "{fields}");
        }
        let whole = "GET /inboxes HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(query(&whole[..end]), None, "{end}");
        }
    }

    #[test]
    fn no_value_can_make_a_header_of_its_own() {
        let mut head = Vec::new();
        for value in ["fit", "a\r\nb: c", "a\nb", "\0", "\x7f"] {
            head.put(DATE, value.as_bytes());
        }
        assert_eq!(head, b"date: fit\r\n");
    }
}
