//! A file operation that failed, before it is known what that means.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What failed, and what the system said.
#[derive(Debug)]
pub struct Failure {
    /// What was worked on.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Failure {
    /// The failure of an operation on a path.
    pub fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self { path, source }
    }

    /// Whether what should be changed is no longer there.
    pub fn is_vanished(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}", self.path.display())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
