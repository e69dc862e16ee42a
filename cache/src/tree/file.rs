//! Single files: their digest, and how to notice cheaply that it still holds.
//!
//! Unlike in a tree, links are followed: a snapshot speaks of the file that a path leads to.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::digest::ObjectDigest;
use crate::tree::identity::{Started, StatIdentity, Witness};
use crate::tree::scan::{Opened, ScanError, Stop, hash_open_file};

/// What the index keeps of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSnapshot {
    path: Vec<u8>,
    witness: Witness,
    digest: ObjectDigest,
}

/// What was found out about a file.
#[derive(Clone, Debug)]
pub struct FileScan {
    /// What to keep for the next time.
    pub snapshot: FileSnapshot,
    /// Whether the file had to be read.
    pub read: bool,
}

impl FileSnapshot {
    /// The path as it was asked for.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.path.clone()))
    }

    /// The digest of the content.
    pub fn digest(&self) -> ObjectDigest {
        self.digest
    }

    /// How the file looked when it was read.
    pub fn identity(&self) -> StatIdentity {
        self.witness.identity
    }

    /// If `stat` cannot tell yet that the file is as it was when it was read: how long after it can.
    pub fn settles_in(&self) -> Option<Duration> {
        self.witness.settles_in()
    }

    /// Whether the file was touched since it was read, or has other content, or cannot be looked at.
    ///
    /// One that got its old content back was touched. Where `stat` cannot vouch, the file is read again.
    pub fn has_moved(&self) -> bool {
        let now = StatIdentity::at(CWD, self.path.as_slice(), AtFlags::empty());
        if !now.is_ok_and(|now| now == self.witness.identity) {
            return true;
        }
        !self.witness.settled
            && !scan_file(&self.path(), None).is_ok_and(|now| now.snapshot.digest == self.digest)
    }

    /// Whether the file certainly still has this content: one `stat`, nothing is read.
    pub fn is_current(&self) -> bool {
        StatIdentity::at(CWD, self.path.as_slice(), AtFlags::empty())
            .is_ok_and(|now| self.witness.vouches_for(&now))
    }
}

/// Fingerprints the regular file that `path` leads to, links followed.
///
/// It is not read if it still looks as it did in `previous`, whatever path that was made for.
///
/// # Errors
///
/// [`ScanError::Io`] also when the file is not there; the other variants as for trees.
pub fn scan_file(path: &Path, previous: Option<&FileSnapshot>) -> Result<FileScan, ScanError> {
    scan_file_until(path, previous, &Stop::default())
}

/// The same, if it is not stopped before it is done.
///
/// # Errors
///
/// As [`scan_file`], and [`ScanError::Stopped`].
pub fn scan_file_until(
    path: &Path,
    previous: Option<&FileSnapshot>,
    stop: &Stop,
) -> Result<FileScan, ScanError> {
    let bytes = path.as_os_str().as_bytes();
    let failed = |errno: rustix::io::Errno| ScanError::Io {
        path: path.to_path_buf(),
        source: errno.into(),
    };
    let started = Started::now();
    if let Some(previous) = previous {
        let now = StatIdentity::at(CWD, path, AtFlags::empty()).map_err(failed)?;
        if previous.witness.vouches_for(&now) {
            return Ok(FileScan {
                snapshot: FileSnapshot {
                    path: bytes.to_vec(),
                    ..previous.clone()
                },
                read: false,
            });
        }
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
    let opened = Opened::new(File::from(fd)).map_err(|fault| fault.at(path.to_path_buf()))?;
    let identity = opened.identity;
    let digest = hash_open_file(opened, stop).map_err(|fault| fault.at(path.to_path_buf()))?;
    Ok(FileScan {
        snapshot: FileSnapshot {
            path: bytes.to_vec(),
            witness: Witness::new(identity, started),
            digest,
        },
        read: true,
    })
}
