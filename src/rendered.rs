//! A body that is made once and sent many times: with its fingerprint, and compressed forms that are made when first asked for.
//!
//! Which form a client wants, and in which headers it says so, is not known here.
//!
//! Invariant: all forms are of the same bytes, which never change.

use bytes::Bytes;
use data_encoding::BASE32_DNSSEC;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    io::{self, Write},
    sync::OnceLock,
};

/// A shorter body is not worth compressing: it fits into one packet as it is.
const WORTH: usize = 1024;
/// Where brotli is quicker than gzip's usual level, and makes less of it. Its best is a hundred times slower.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
/// Bytes around the forms.
const AROUND: usize = 256;

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

/// A body in one of its forms.
pub struct Written {
    /// Which.
    pub form: Form,
    /// The body.
    pub bytes: Bytes,
    /// The same for the same bytes, another for others, in quotes.
    pub tag: Bytes,
}

/// The body.
pub struct Rendered {
    plain: Written,
    links: Option<Bytes>,
    /// Nothing where it would be no shorter.
    gzip: OnceLock<Option<Written>>,
    brotli: OnceLock<Option<Written>>,
}

impl Rendered {
    /// Of these bytes. `links` is what goes with them about other pages.
    pub fn new(plain: Bytes, links: Option<String>) -> Self {
        let digest = Sha256::digest(&plain);
        // 128 bits: nobody finds two bodies that share them.
        let fingerprint = BASE32_DNSSEC.encode(&digest[..16]);
        let tag = format!("\"{fingerprint}\"");
        // All that an answer takes is in one piece: of very many, little else is in the processor's caches.
        let text = links.as_deref().unwrap_or_default();
        let mut rest: Bytes = [tag.as_bytes(), text.as_bytes(), &plain].concat().into();
        Rendered {
            plain: Written {
                form: Form::Plain,
                tag: rest.split_to(tag.len()),
                bytes: rest.split_off(text.len()),
            },
            links: links.is_some().then_some(rest),
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
        }
    }

    /// What goes with it about other pages.
    pub fn links(&self) -> Option<&Bytes> {
        self.links.as_ref()
    }

    /// The body in this form, or as it is where the form is not worth it.
    pub fn body(&self, form: Form) -> &Written {
        let made = match form {
            Form::Plain => None,
            Form::Gzip => self.gzip.get_or_init(|| self.shorter(form, gzip)).as_ref(),
            Form::Brotli => self
                .brotli
                .get_or_init(|| self.shorter(form, brotli))
                .as_ref(),
        };
        made.unwrap_or(&self.plain)
    }

    /// Bytes of memory that it may come to take.
    pub fn bytes(&self) -> usize {
        // JSON of many things of one kind shrinks to less than an eighth, in either form.
        let plain = self.plain.bytes.len();
        let forms = if plain < WORTH { 0 } else { plain / 4 };
        plain + forms + self.links.as_ref().map_or(0, Bytes::len) + AROUND
    }

    fn shorter(&self, form: Form, compress: fn(&[u8]) -> io::Result<Vec<u8>>) -> Option<Written> {
        let Written { bytes, tag, .. } = &self.plain;
        if bytes.len() < WORTH {
            return None;
        }
        let made = compress(bytes)
            .inspect_err(|error| tracing::error!(%error, "a body cannot be compressed"))
            .ok()?;
        (made.len() < bytes.len()).then(|| Written {
            form,
            tag: form.tag(tag).into(),
            bytes: made.into_boxed_slice().into(),
        })
    }
}

impl Form {
    /// Each form has a tag of its own, since its bytes are others.
    fn tag(self, plain: &[u8]) -> Vec<u8> {
        let suffix = match self {
            Form::Plain => "",
            Form::Gzip => "-gzip",
            Form::Brotli => "-br",
        };
        let bare = plain.strip_suffix(b"\"").unwrap_or(plain);
        [bare, suffix.as_bytes(), b"\""].concat()
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Rendered({:?})", self.plain.tag)
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
