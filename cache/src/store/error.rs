//! What can be wrong with a cache, split where callers act differently.

use std::io;
use std::path::{Path, PathBuf};

use kiln_durable::Failure;
use kiln_files::Suspicion;

/// Why the store could not do what was asked.
///
/// Damaged objects and records are not errors: they are misses, see
/// [`Store::take_damage`](crate::Store::take_damage).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cache can be read but not written.
    #[error("cache {} is read-only", path.display())]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
    },
    /// The cache belongs to somebody else, who could change what is in it.
    #[error("cache {} belongs to user {owner}", path.display())]
    NotOurs {
        /// The directory in question.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
    },
    /// Others than the owner may change what is in the cache.
    #[error("cache {} may be written by others (mode {mode:04o})", path.display())]
    WritableByOthers {
        /// The directory in question.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than the owner may put another directory in the place of the cache.
    #[error("cache {} may be exchanged by others", path.display())]
    Exposed {
        /// The cache.
        path: PathBuf,
        /// What is wrong on the way to it.
        source: Suspicion,
    },
    /// A later release has written the cache; nothing in it was touched.
    #[error("cache {} has format {found}, later than {supported}", path.display())]
    NewerFormat {
        /// The cache.
        path: PathBuf,
        /// The format that it has.
        found: u32,
        /// The format that this release knows.
        supported: u32,
    },
    /// The disk or the quota is full; nothing half-written is visible.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// What could not be written.
        path: PathBuf,
    },
    /// A part of the cache is not a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What should be one.
        path: PathBuf,
    },
    /// The directory has other things in it and was never a cache; nothing in it was touched.
    #[error("{} is not a cache and not empty", path.display())]
    NotACache {
        /// The directory.
        path: PathBuf,
    },
    /// There is no cache to read.
    #[error("there is no cache at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file that names the format cannot be understood.
    #[error("{} does not name a cache format", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// A file to be stored is not a regular one.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// What should be stored is larger than anything that is read back.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// What should be stored.
        path: PathBuf,
        /// The most bytes that it may have.
        limit: u64,
    },
    /// The index could be opened but not used.
    #[error("cannot use index {}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Anything else that the system refused.
    #[error("cannot access {}", path.display())]
    Io {
        /// What was accessed.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// The error of a failed system call, as the kind that callers act on.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { path, source },
        }
    }
}

impl From<Failure> for StoreError {
    fn from(Failure { path, source }: Failure) -> Self {
        Self::io(&path, source)
    }
}

/// Puts the path to the error of a system call.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::io(path, error.into()))
    }
}
