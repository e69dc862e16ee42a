//! Which file it is, whatever path leads to it.

use std::{
    fs::{self, File, Metadata},
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

/// Whether a path leads to a file that is open, and not to another by now.
#[must_use]
pub fn is_still(path: &Path, open: &File) -> bool {
    is_one(path.metadata(), open)
}

/// As [`is_still`], where a link that leads to it is not it.
#[must_use]
pub fn is_still_itself(path: &Path, open: &File) -> bool {
    is_one(path.symlink_metadata(), open)
}

fn is_one(named: io::Result<Metadata>, open: &File) -> bool {
    match (named, open.metadata()) {
        (Ok(named), Ok(open)) => Identity::from(&named) == Identity::from(&open),
        _ => false,
    }
}

/// Whether two paths lead to one file. One that leads to none is the same as no other.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    Identity::of(one).is_ok_and(|one| Identity::of(other).is_ok_and(|other| one == other))
}
