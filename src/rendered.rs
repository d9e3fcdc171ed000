//! A response body that is made once and sent many times, with its fingerprint. Its compressed forms are made when they
//! are first needed.
//!
//! Content negotiation and headers are not handled here.
//!
//! Invariant: all forms contain the same bytes, which never change.

use bytes::{Buf, Bytes};
use data_encoding::BASE32_DNSSEC;
use flate2::{Compression, write::GzEncoder};
use std::{
    borrow::Cow,
    io::{self, Write},
    iter::repeat_n,
    sync::{Arc, OnceLock},
};

/// The shortest body that is compressed, in bytes. A shorter one fits into one packet anyway.
const WORTH: usize = 1024;
/// At this quality brotli is faster than gzip at its default level, and its output is smaller. Its best quality is a
/// hundred times slower.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
/// The overhead of one body in memory, in bytes.
const AROUND: usize = 256;
/// How many bytes of a body's BLAKE3 hash are in its tag. 128 bits are enough that no two bodies share a tag.
const FINGERPRINT: usize = 16;
/// The length of a tag in bytes: the fingerprint in base32, and two quotes.
const TAG: usize = (FINGERPRINT * 8).div_ceil(5) + 2;

/// An encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not compressed.
    Plain,
    /// gzip, <https://www.rfc-editor.org/rfc/rfc1952>.
    Gzip,
    /// Brotli, <https://www.rfc-editor.org/rfc/rfc7932>.
    Brotli,
}

/// A response body with its tag and links.
pub struct Rendered {
    /// The tag, the links and the body in one allocation. Of very many bodies few are in the processor's caches, and
    /// each allocation would cost one more cache miss.
    text: Arc<[u8]>,
    /// The length of the links, in bytes.
    links: usize,
    /// The compressed forms. `None` inside if compression does not make the body shorter.
    gzip: OnceLock<Option<Bytes>>,
    brotli: OnceLock<Option<Bytes>>,
}

type Compress = fn(&[u8]) -> io::Result<Vec<u8>>;

impl Rendered {
    /// Creates a body from these pieces, in order. `links` is the value of its `Link` header.
    pub fn new(plain: &[&[u8]], links: Option<&str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for piece in plain {
            hasher.update(piece);
        }
        let fingerprint = BASE32_DNSSEC.encode(&hasher.finalize().as_bytes()[..FINGERPRINT]);
        let tag = format!("\"{fingerprint}\"");
        let links = links.unwrap_or_default();
        Rendered {
            text: joined(&[&[tag.as_bytes(), links.as_bytes()][..], plain].concat()),
            links: links.len(),
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
        }
    }

    /// True if the other has the same body and the same links.
    pub fn is_same(&self, other: &Rendered) -> bool {
        // The fingerprint represents the body, so comparing it and the links is enough.
        self.text.get(..TAG + self.links) == other.text.get(..TAG + other.links)
    }

    /// The `ETag` of the body in this form, in quotes. Equal bodies have equal tags, and each [`Form`] has a different
    /// one.
    pub fn tag(&self, form: Form) -> Cow<'_, [u8]> {
        form.tag(&self.text[..TAG])
    }

    /// The value of its `Link` header, if it has one.
    pub fn links(&self) -> Option<&[u8]> {
        let links = &self.text[TAG..TAG + self.links];
        (!links.is_empty()).then_some(links)
    }

    /// The body in this form, or uncompressed if compression does not make it shorter. Also returns the form of the
    /// result.
    pub fn written(&self, form: Form) -> (Form, Bytes) {
        match self.shorter(form, &self.text[TAG + self.links..]) {
            Some(body) => (form, body),
            None => {
                let mut text = Bytes::from_owner(self.text.clone());
                text.advance(TAG + self.links);
                (Form::Plain, text)
            }
        }
    }

    fn shorter(&self, form: Form, plain: &[u8]) -> Option<Bytes> {
        let (compress, made): (Compress, _) = match form {
            Form::Plain => return None,
            Form::Gzip => (gzip, &self.gzip),
            Form::Brotli => (brotli, &self.brotli),
        };
        if plain.len() < WORTH {
            return None;
        }
        let make = || {
            let made = compress(plain)
                .inspect_err(|error| tracing::error!(%error, "a body cannot be compressed"))
                .ok()?;
            (made.len() < plain.len()).then(|| made.into_boxed_slice().into())
        };
        made.get_or_init(make).clone()
    }

    /// How many bytes of memory it may take, including compressed forms that are made later.
    pub fn bytes(&self) -> usize {
        // A JSON list of similar objects shrinks to less than an eighth in either form.
        let text = self.text.len();
        let forms = if text < WORTH { 0 } else { text / 4 };
        text + forms + AROUND
    }
}

/// Joins the pieces with a single copy.
fn joined(pieces: &[&[u8]]) -> Arc<[u8]> {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut text: Arc<[u8]> = repeat_n(0, length).collect();
    let mut rest = Arc::get_mut(&mut text).expect("nobody shares it yet");
    for piece in pieces {
        let (place, after) = rest.split_at_mut(piece.len());
        place.copy_from_slice(piece);
        rest = after;
    }
    text
}

impl Form {
    /// Each form needs a different tag, since its bytes are different.
    fn tag(self, plain: &[u8]) -> Cow<'_, [u8]> {
        let suffix = match self {
            Form::Plain => return plain.into(),
            Form::Gzip => "-gzip",
            Form::Brotli => "-br",
        };
        let bare = plain.strip_suffix(b"\"").unwrap_or(plain);
        [bare, suffix.as_bytes(), b"\""].concat().into()
    }
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut made = Vec::new();
    let mut encoder =
        brotli::CompressorWriter::new(&mut made, bytes.len(), BROTLI_QUALITY, BROTLI_WINDOW);
    encoder.write_all(bytes)?;
    encoder.flush()?;
    drop(encoder);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_what_it_was_made_of() {
        let body = "long ".repeat(WORTH);
        let (beginning, rest) = body.as_bytes().split_at(7);
        let pieces = [beginning, b"", rest];
        for links in [None, Some("<there>")] {
            let rendered = Rendered::new(&pieces, links);
            assert_eq!(rendered.written(Form::Plain).1, body);
            assert_eq!(rendered.links(), links.map(str::as_bytes));
            let tag = rendered.tag(Form::Plain);
            assert_eq!(tag.len(), TAG);
            for form in [Form::Gzip, Form::Brotli] {
                let (written, shorter) = rendered.written(form);
                assert_eq!(written, form);
                assert!(shorter.len() < body.len() / 8);
                assert_ne!(rendered.tag(form), tag);
            }
        }
    }

    #[test]
    fn each_form_is_made_once() {
        let rendered = Rendered::new(&["long ".repeat(WORTH).as_bytes()], None);
        for form in [Form::Gzip, Form::Brotli] {
            let once = rendered.written(form).1;
            let again = rendered.written(form).1;
            assert_eq!(once.as_ptr(), again.as_ptr());
        }
    }

    #[test]
    fn what_is_short_stays_as_it_is() {
        let rendered = Rendered::new(&[b"short"], None);
        assert_eq!(rendered.written(Form::Gzip).0, Form::Plain);
        assert!(rendered.gzip.get().is_none());
    }

    #[test]
    fn bodies_are_the_same_if_text_and_links_are() {
        let of = |body: &str, links| Rendered::new(&[body.as_bytes()], links);
        assert!(of("a", Some("<b>")).is_same(&of("a", Some("<b>"))));
        assert!(!of("a", Some("<b>")).is_same(&of("b", Some("<b>"))));
        assert!(!of("a", Some("<b>")).is_same(&of("a", Some("<c>"))));
        assert!(!of("a", Some("<b>")).is_same(&of("a", None)));
    }
}
