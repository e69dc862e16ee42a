//! What stands at a path itself: a link, a directory that was listed, or nothing.
//!
//! Files have their content and trees their entries; a spot has no digest. It is there to notice that a
//! link led elsewhere for a while, or that a name came and went. Nothing is followed at the path's end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD};

use crate::tree::identity::{Started, StatIdentity, Witness};
use crate::tree::recheck::is_gone;

/// A path, and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    path: PathBuf,
    /// None where there was nothing.
    witness: Option<Witness>,
}

impl Spot {
    /// Looks at a path. That nothing is there is an answer.
    ///
    /// # Errors
    ///
    /// When the path cannot be looked at.
    pub fn look_at(path: &Path) -> io::Result<Self> {
        let started = Started::now();
        Ok(Self {
            path: path.to_path_buf(),
            witness: identity(path)?.map(|identity| Witness::new(identity, started)),
        })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// If `stat` cannot tell yet that this was not touched since: how long after it can.
    pub fn settles_in(&self) -> Option<Duration> {
        self.witness.and_then(|witness| witness.settles_in())
    }

    /// Whether this was touched since, is another thing, or cannot be looked at.
    pub fn has_moved(&self) -> bool {
        let before = self.witness.map(|witness| witness.identity);
        !identity(&self.path).is_ok_and(|now| now == before)
    }
}

fn identity(path: &Path) -> io::Result<Option<StatIdentity>> {
    match StatIdentity::at(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(identity) => Ok(Some(identity)),
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
