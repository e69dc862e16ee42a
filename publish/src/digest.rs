//! SHA-256 digests of what is published.

use std::{
    fmt,
    io::{self, Read, Write},
    path::Path,
};

use kiln_durable::regular;
use sha2::Digest;

use crate::error::PublishError;

/// A SHA-256 digest; displayed as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// A published file and its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileDigest {
    /// Its path, relative to the directory that was asked about.
    pub path: String,
    /// The digest of its content.
    pub sha256: Sha256,
}

/// Digests a file.
///
/// # Errors
/// Fails if it cannot be read.
pub fn digest_file(path: &Path) -> Result<Sha256, PublishError> {
    let mut hasher = Hasher(sha2::Sha256::new());
    let read = regular::open_at_once(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    read.map_err(PublishError::read(path))?;
    Ok(Sha256(hasher.0.finalize().into()))
}

struct Hasher(sha2::Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the MD5 digest that dpkg's md5sums(5) wants of what is read through it.
pub(crate) struct Md5Reader<R> {
    inner: R,
    hasher: md5::Md5,
}

impl<R> Md5Reader<R> {
    pub(crate) fn new(inner: R) -> Self {
        let hasher = md5::Md5::new();
        Self { inner, hasher }
    }

    /// The digest, as hexadecimal digits.
    pub(crate) fn digest(self) -> impl fmt::Display {
        struct Md5([u8; 16]);
        impl fmt::Display for Md5 {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
        Md5(self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Md5Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
