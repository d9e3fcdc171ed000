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

/// The body.
pub struct Rendered {
    plain: Bytes,
    fingerprint: String,
    links: Option<Bytes>,
    /// Nothing where it would be no shorter.
    gzip: OnceLock<Option<Bytes>>,
    brotli: OnceLock<Option<Bytes>>,
}

impl Rendered {
    /// Of these bytes. `links` is what goes with them about other pages.
    pub fn new(plain: Bytes, links: Option<String>) -> Self {
        let digest = Sha256::digest(&plain);
        Rendered {
            // 128 bits: nobody finds two bodies that share them.
            fingerprint: BASE32_DNSSEC.encode(&digest[..16]),
            plain,
            links: links.map(Bytes::from),
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
        }
    }

    /// The same for the same bytes, another for others.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What goes with it about other pages.
    pub fn links(&self) -> Option<&Bytes> {
        self.links.as_ref()
    }

    /// The body in this form, or as it is where the form is not worth it.
    pub fn body(&self, form: Form) -> (Form, Bytes) {
        let made = match form {
            Form::Plain => None,
            Form::Gzip => self.gzip.get_or_init(|| self.shorter(gzip)).clone(),
            Form::Brotli => self.brotli.get_or_init(|| self.shorter(brotli)).clone(),
        };
        match made {
            Some(made) => (form, made),
            None => (Form::Plain, self.plain.clone()),
        }
    }

    /// Bytes of memory that it may come to take.
    pub fn bytes(&self) -> usize {
        // JSON of many things of one kind shrinks to less than an eighth, in either form.
        let forms = if self.plain.len() < WORTH {
            0
        } else {
            self.plain.len() / 4
        };
        self.plain.len() + forms + self.links.as_ref().map_or(0, Bytes::len) + AROUND
    }

    fn shorter(&self, compress: fn(&[u8]) -> io::Result<Vec<u8>>) -> Option<Bytes> {
        if self.plain.len() < WORTH {
            return None;
        }
        let made = compress(&self.plain)
            .inspect_err(|error| tracing::error!(%error, "a body cannot be compressed"))
            .ok()?;
        (made.len() < self.plain.len()).then(|| made.into_boxed_slice().into())
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Rendered({})", self.fingerprint)
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
