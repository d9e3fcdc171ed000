//! Header fields, read and written without regard to who keeps them: hyper in a map, or [`super::plain`] as bytes.
//!
//! Invariant: what is written is fit for a header, wherever its value comes from.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header fields of a request.
pub trait Fields {
    /// The values of all fields of this name, in the order in which they were sent.
    fn all<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]>;

    /// All names and values.
    fn each(&self) -> impl Iterator<Item = (&str, &[u8])>;

    /// Bytes of all names and values, with what separates them.
    fn size(&self) -> usize {
        self.each()
            .map(|(name, value)| name.len() + value.len() + SEPARATORS)
            .sum()
    }

    /// The first value of this name.
    fn first<'a>(&'a self, name: &'a HeaderName) -> Option<&'a [u8]> {
        self.all(name).next()
    }
}

/// Bytes between a name and its value, and after it.
const SEPARATORS: usize = ": \r\n".len();

impl Fields for HeaderMap {
    fn all<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn each(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

impl Fields for [httparse::Header<'_>] {
    fn all<'a>(&'a self, name: &'a HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name.as_str()))
            .map(|field| field.value)
    }

    fn each(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter().map(|field| (field.name, field.value))
    }
}

/// A value as text, if it is one: visible ASCII, spaces and tabs.
pub fn text(value: &[u8]) -> Option<&str> {
    let visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    value.iter().all(visible).then_some(())?;
    std::str::from_utf8(value).ok()
}

/// Where the header fields of an answer are written.
pub trait Head {
    /// Writes one that is not there yet.
    fn put(&mut self, name: HeaderName, value: &[u8]);
}

/// Tells the operator that a field is missing.
pub(super) fn left_out(name: &HeaderName) {
    tracing::error!(%name, "a header is left out: its value is not fit for one");
}

impl Head for HeaderMap {
    fn put(&mut self, name: HeaderName, value: &[u8]) {
        match HeaderValue::from_bytes(value) {
            Ok(value) => {
                self.insert(name, value);
            }
            Err(_) => left_out(&name),
        }
    }
}
