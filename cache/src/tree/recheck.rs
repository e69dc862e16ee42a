//! Whether a tree still looks as it did: `stat` only, nothing is read.
//!
//! Adding, removing or renaming an entry changes its directory's times, so comparing every known
//! directory and entry is enough; no directory is listed. Work is split between cores by directory.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::tree::identity::{StatIdentity, Witness};
use crate::tree::scan::{ScanError, ScanOptions, scan_tree};
use crate::tree::snapshot::{Node, Tree, TreeSnapshot, join};

/// Compares a tree with its snapshot by `stat` alone.
///
/// Returns the first path, relative to the root, that may have changed, or `None` if nothing has. The
/// root itself is the empty path. An entry that was too fresh when it was scanned always counts as
/// perhaps changed: [`scan_tree`](crate::scan_tree) reads it again and settles the question.
///
/// # Errors
///
/// [`ScanError::Io`] when the root cannot be opened or an entry cannot be looked at; an entry that is
/// gone has changed.
pub fn unchanged(root: &Path, snapshot: &TreeSnapshot) -> Result<Option<PathBuf>, ScanError> {
    differing(root, snapshot, Witness::vouches_for)
}

/// The first path, relative to the root, that was touched since the snapshot was made, or whose content
/// is another.
///
/// A file that was written and got its old content back counts: its change time tells. What `stat` cannot
/// vouch for is read again besides.
///
/// # Errors
///
/// As [`unchanged`], and as [`scan_tree`] where something has to be read.
pub fn moved(root: &Path, snapshot: &TreeSnapshot) -> Result<Option<PathBuf>, ScanError> {
    let looks_the_same = |witness: &Witness, now: &StatIdentity| witness.identity == *now;
    let found = differing(root, snapshot, looks_the_same)?;
    if found.is_some() || snapshot.is_settled() {
        return Ok(found);
    }
    let options = ScanOptions {
        exclude: snapshot.tree().exclude.clone(),
        ..ScanOptions::default()
    };
    let again = scan_tree(root, Some(snapshot), &options)?;
    Ok((again.digest != snapshot.digest()).then(PathBuf::new))
}

/// The first path whose witness does not stand for what is there now.
fn differing(
    root: &Path,
    snapshot: &TreeSnapshot,
    stands: impl Fn(&Witness, &StatIdentity) -> bool + Sync,
) -> Result<Option<PathBuf>, ScanError> {
    let tree = snapshot.tree();
    let root_fd = open_root(root)?;
    // The least directory index found to differ so far; directories after it need no look.
    let first = AtomicUsize::new(usize::MAX);
    let found = (0..tree.directories.len())
        .into_par_iter()
        .with_min_len(8)
        .filter(|at| *at <= first.load(Ordering::Relaxed))
        .map(|at| {
            let found = check_directory(root_fd.as_fd(), tree, at, &stands);
            if !matches!(found, Ok(None)) {
                first.fetch_min(at, Ordering::Relaxed);
            }
            found.map_err(|(path, errno)| ScanError::io(root, &path, errno))
        })
        .find_first(|found| !matches!(found, Ok(None)));
    match found {
        None => Ok(None),
        Some(found) => Ok(found?.map(|path| PathBuf::from(OsStr::from_bytes(&path)))),
    }
}

pub(crate) fn open_root(root: &Path) -> Result<OwnedFd, ScanError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| ScanError::Io {
        path: root.to_path_buf(),
        source: errno.into(),
    })
}

/// The first path in a directory that differs: its own, or that of an entry which is no directory.
fn check_directory(
    root: BorrowedFd<'_>,
    tree: &Tree,
    at: usize,
    stands: &impl Fn(&Witness, &StatIdentity) -> bool,
) -> Result<Option<Vec<u8>>, (Vec<u8>, Errno)> {
    let directory = &tree.directories[at];
    let path = tree.text(directory.path);
    let opened;
    let fd = if path.is_empty() {
        root
    } else {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(root, path, flags, Mode::empty()) {
            Ok(fd) => opened = fd,
            Err(errno) if is_gone(errno) => return Ok(Some(path.to_vec())),
            Err(errno) => return Err((path.to_vec(), errno)),
        }
        opened.as_fd()
    };
    let now = StatIdentity::of_open(fd).map_err(|errno| (path.to_vec(), errno))?;
    if !stands(&directory.witness, &now) {
        return Ok(Some(path.to_vec()));
    }
    for entry in &tree.entries[directory.entries.clone()] {
        let (Node::File(witness, _) | Node::Symlink(witness, _)) = &entry.node else {
            continue;
        };
        let name = tree.text(entry.name);
        match StatIdentity::at(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if stands(witness, &now) => {}
            Ok(_) => return Ok(Some(join(path, name))),
            Err(errno) if is_gone(errno) => return Ok(Some(join(path, name))),
            Err(errno) => return Err((join(path, name), errno)),
        }
    }
    Ok(None)
}

/// Whether the error says that what was there is now something else or nothing.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

impl ScanError {
    pub(crate) fn io(root: &Path, relative: &[u8], errno: Errno) -> Self {
        Self::Io {
            path: root.join(OsStr::from_bytes(relative)),
            source: io::Error::from(errno),
        }
    }
}
