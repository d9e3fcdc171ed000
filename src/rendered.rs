//! A body that is made once and sent many times: with its fingerprint, and compressed forms that are made when first asked for.
//!
//! Which form a client wants, and in which headers it says so, is not known here.
//!
//! Invariant: all forms are of the same bytes, which never change.

use bytes::{Buf, Bytes};
use data_encoding::BASE32_DNSSEC;
use flate2::{Compression, write::GzEncoder};
use std::{
    borrow::Cow,
    io::{self, Write},
    iter::repeat_n,
    sync::{Arc, OnceLock},
};

/// A shorter body is not worth compressing: it fits into one packet as it is.
const WORTH: usize = 1024;
/// Where brotli is quicker than gzip's usual level, and makes less of it. Its best is a hundred times slower.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
/// Bytes around all that.
const AROUND: usize = 256;
/// Bytes of a body's BLAKE3 in its tag: nobody finds two bodies that share 128 bits.
const FINGERPRINT: usize = 16;
/// Bytes of a tag: the fingerprint in base32, and two quotes.
const TAG: usize = (FINGERPRINT * 8).div_ceil(5) + 2;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// <https://www.rfc-editor.org/rfc/rfc1952>
    Gzip,
    /// <https://www.rfc-editor.org/rfc/rfc7932>
    Brotli,
}

/// The body.
pub struct Rendered {
    /// The tag, the links and the body in one piece: of very many bodies, few are in the processor's caches, and each piece
    /// would have to be waited for.
    text: Arc<[u8]>,
    /// Bytes of the links.
    links: usize,
    /// The compressed forms. `None` where it would be no shorter.
    gzip: OnceLock<Option<Bytes>>,
    brotli: OnceLock<Option<Bytes>>,
}

type Compress = fn(&[u8]) -> io::Result<Vec<u8>>;

impl Rendered {
    /// Of these bytes, one piece behind the other. `links` is what goes with them about other pages.
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

    /// Whether it is the same body with the same links.
    pub fn is_same(&self, other: &Rendered) -> bool {
        // Fingerprint and links tell.
        self.text.get(..TAG + self.links) == other.text.get(..TAG + other.links)
    }

    /// The fingerprint, in quotes: the same for the same bytes, another for others, and for every [`Form`] its own.
    pub fn tag(&self, form: Form) -> Cow<'_, [u8]> {
        form.tag(&self.text[..TAG])
    }

    /// What goes with it about other pages.
    pub fn links(&self) -> Option<&[u8]> {
        let links = &self.text[TAG..TAG + self.links];
        (!links.is_empty()).then_some(links)
    }

    /// The body in this form, or as it is where the form is not worth it. Returns which form it has.
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

    /// Bytes of memory that it may come to take.
    pub fn bytes(&self) -> usize {
        // JSON of many things of one kind shrinks to less than an eighth, in either form.
        let text = self.text.len();
        let forms = if text < WORTH { 0 } else { text / 4 };
        text + forms + AROUND
    }
}

/// All of these, copied only once.
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
    /// Each form has a tag of its own, since its bytes are others.
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
