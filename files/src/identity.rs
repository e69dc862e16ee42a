//! Which file it is, whatever path leads to it.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A file's device and inode: the same for all of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The file that a path leads to, through links.
    ///
    /// # Errors
    /// Fails if there is none, or if it cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| (&metadata).into())
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Whether two paths lead to one file. One that leads to none is the same as no other.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    Identity::of(one).is_ok_and(|one| Identity::of(other).is_ok_and(|other| one == other))
}
