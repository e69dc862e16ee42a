//! Blobs: what the CAS keeps, named by SHA-256 and size, and where their content comes from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kiln_durable::regular;

use sha2::{Digest as _, Sha256};

use crate::proto::reapi;

/// The name of a blob on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobDigest {
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
    /// The length of its content in bytes.
    pub size: u64,
}

impl BlobDigest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self {
            sha256: Sha256::digest(content).into(),
            size: content.len() as u64,
        }
    }

    /// The digest of what is left of a reader.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = BlobHasher::default();
        // Most files of a kernel are smaller; a larger one would be cleared for each of ten thousands.
        let mut piece = [0; 16 << 10];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The SHA-256 in lower-case hexadecimal digits.
    pub fn hash(&self) -> String {
        hex(&self.sha256)
    }

    pub(crate) fn to_proto(self) -> reapi::Digest {
        reapi::Digest {
            hash: self.hash(),
            size_bytes: self.size as i64,
        }
    }

    /// `None` for what is no SHA-256 digest.
    pub(crate) fn from_proto(digest: Option<&reapi::Digest>) -> Option<Self> {
        let digest = digest?;
        let parsed: kiln_cache::Digest = digest.hash.parse().ok()?;
        Some(Self {
            sha256: *parsed.as_bytes(),
            size: u64::try_from(digest.size_bytes).ok()?,
        })
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hash(), self.size)
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", hex(&self.sha256[..4]), self.size)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a blob that comes in pieces.
#[derive(Clone, Default)]
pub(crate) struct BlobHasher {
    hasher: Sha256,
    size: u64,
}

impl BlobHasher {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> BlobDigest {
        BlobDigest {
            sha256: self.hasher.finalize().into(),
            size: self.size,
        }
    }
}

/// A blob that can be uploaded: its digest, and where its content is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blob {
    digest: BlobDigest,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(Bytes),
    Path(Arc<Path>),
    Open(Arc<File>),
}

impl Blob {
    /// A blob of these bytes.
    pub fn bytes(content: impl Into<Vec<u8>>) -> Self {
        let content = Bytes::from(content.into());
        Self {
            digest: BlobDigest::of(&content),
            source: Source::Memory(content),
        }
    }

    /// A blob with the content of a file, which is hashed now and read again when it is uploaded.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(path: &Path) -> io::Result<Self> {
        let digest = BlobDigest::of_reader(regular::open_at_once(path)?)?;
        Ok(Self::known(path, digest))
    }

    /// A blob with the content of a file whose digest is known.
    pub fn known(path: impl Into<PathBuf>, digest: BlobDigest) -> Self {
        Self {
            digest,
            source: Source::Path(path.into().into()),
        }
    }

    /// A blob with the content of an open file, whatever becomes of its name; hashed now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn open(file: File) -> io::Result<Self> {
        let digest = BlobDigest::of_reader(At(&file, 0))?;
        Ok(Self {
            digest,
            source: Source::Open(Arc::new(file)),
        })
    }

    /// The blob's name.
    pub fn digest(&self) -> BlobDigest {
        self.digest
    }

    /// A reader of the content. What it gives may have changed since it was hashed.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.source {
            Source::Memory(bytes) => Box::new(io::Cursor::new(bytes.clone())),
            Source::Path(path) => Box::new(regular::open_at_once(path)?),
            Source::Open(file) => Box::new(OwnedAt(Arc::clone(file), 0)),
        })
    }

    /// The content, if it still is what it was.
    pub(crate) fn content(&self) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::with_capacity(self.digest.size as usize);
        self.reader()?
            .take(self.digest.size + 1)
            .read_to_end(&mut content)?;
        Ok((BlobDigest::of(&content) == self.digest).then_some(content))
    }

    /// Where the content is, for messages.
    pub(crate) fn place(&self) -> PathBuf {
        match &self.source {
            Source::Path(path) => path.to_path_buf(),
            Source::Memory(_) | Source::Open(_) => PathBuf::from("a blob in memory"),
        }
    }
}

/// Reads an open file from a place of its own, so that several may read it at once.
struct At<'f>(&'f File, u64);

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

struct OwnedAt(Arc<File>, u64);

impl Read for OwnedAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}
