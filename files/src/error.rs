//! Why a file was left as it is.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What keeps files from being copied, replaced or removed. Nothing is lost then.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system refused.
    #[error("{}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A copy would overwrite what it is made from.
    #[error("{} and {} are one inside the other", from.display(), to.display())]
    Overlap {
        /// What was to be copied.
        from: PathBuf,
        /// Where to.
        to: PathBuf,
    },
    /// Something of another kind is there: a link where a directory is to go, a directory
    /// where a file is.
    #[error("{} is in the way", path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// It is a pipe or a device, of which there is no copy.
    #[error("{} is neither a file, a directory nor a link", path.display())]
    Special {
        /// The place.
        path: PathBuf,
    },
    /// Something is mounted there, whose files would go too.
    #[error("something is mounted on {}", path.display())]
    MountPoint {
        /// The place.
        path: PathBuf,
    },
    /// It has more files, or longer names, than any source.
    #[error("{} has more in it than can be copied", path.display())]
    TooMuch {
        /// The directory.
        path: PathBuf,
    },
}

impl FilesError {
    /// Makes an error of the system one of a path.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<FilesError> for io::Error {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Io { source, .. } => source,
            other => Self::other(other),
        }
    }
}
