//! A reader that knows the digest of what it has read.

use std::io::{self, Read};

use md5::Md5;
use rpm::DigestAlgorithm;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, digest::DynDigest};

pub(crate) struct Hashed<R> {
    inner: R,
    hasher: Box<dyn DynDigest>,
}

impl<R> Hashed<R> {
    pub(crate) fn sha256(inner: R) -> Self {
        let hasher = Box::new(Sha256::new());
        Self { inner, hasher }
    }

    /// By one of rpm's algorithms; none if it is not known here.
    pub(crate) fn by(algorithm: DigestAlgorithm, inner: R) -> Option<Self> {
        let hasher: Box<dyn DynDigest> = match algorithm {
            DigestAlgorithm::Md5 => Box::new(Md5::new()),
            DigestAlgorithm::Sha2_224 => Box::new(Sha224::new()),
            DigestAlgorithm::Sha2_256 => Box::new(Sha256::new()),
            DigestAlgorithm::Sha2_384 => Box::new(Sha384::new()),
            DigestAlgorithm::Sha2_512 => Box::new(Sha512::new()),
            _ => return None,
        };
        Some(Self { inner, hasher })
    }
}

impl<R: Read> Hashed<R> {
    /// Reads on to the end; whether the digest of all is this one, in hexadecimal.
    pub(crate) fn ends_with(mut self, digest: &str) -> io::Result<bool> {
        io::copy(&mut self, &mut io::sink())?;
        let found: String = self
            .hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(found.eq_ignore_ascii_case(digest))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
