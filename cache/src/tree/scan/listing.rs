//! What one directory holds, as far as `readdir`, `stat` and the previous snapshot can tell.
//!
//! Nothing is read here. A directory that looks as before is not listed either: its names are known.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use super::{Scan, ScanError};
use crate::digest::ObjectDigest;
use crate::tree::identity::{StatIdentity, Witness};
use crate::tree::recheck::is_gone;
use crate::tree::snapshot::{Node, join};

/// One directory: its own identity and its entries by name.
pub(super) struct Listing {
    pub(super) path: Vec<u8>,
    pub(super) identity: StatIdentity,
    pub(super) entries: Vec<(Vec<u8>, Found)>,
}

/// What stands in a directory.
pub(super) enum Found {
    /// A file that looks as before.
    Known(Witness, ObjectDigest),
    /// A file that has to be read.
    Unread(StatIdentity),
    /// A link and its target.
    Symlink(Witness, Vec<u8>),
    /// A directory, and which of the previous snapshot's it was.
    Directory(Option<usize>),
}

impl Listing {
    /// The directories below, in order, with what they were before.
    pub(super) fn subdirectories(&self) -> impl Iterator<Item = (Vec<u8>, Option<usize>)> + '_ {
        self.entries.iter().filter_map(|(name, found)| match found {
            Found::Directory(before) => Some((join(&self.path, name), *before)),
            _ => None,
        })
    }

    /// The files to read, in order.
    pub(super) fn unread(&self) -> impl Iterator<Item = (Vec<u8>, StatIdentity)> + '_ {
        self.entries.iter().filter_map(|(name, found)| match found {
            Found::Unread(identity) => Some((join(&self.path, name), *identity)),
            _ => None,
        })
    }
}

/// Looks at one directory; `before` is its place in the previous snapshot.
pub(super) fn list(
    scan: &Scan<'_>,
    path: Vec<u8>,
    before: Option<usize>,
) -> Result<Listing, ScanError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let here: &[u8] = if path.is_empty() { b"." } else { &path };
    let directory = rustix::fs::openat(&scan.root_fd, here, flags, Mode::empty())
        .map_err(|errno| fault(scan, &path, errno))?;
    let identity =
        StatIdentity::of_open(directory.as_fd()).map_err(|errno| fault(scan, &path, errno))?;

    let mut names = match names_before(scan, before, &identity) {
        Some(names) => names,
        None => names_now(directory.as_fd()).map_err(|errno| fault(scan, &path, errno))?,
    };
    if !scan.exclude.is_empty() {
        names.retain(|name| scan.exclude.binary_search(&join(&path, name)).is_err());
    }
    names.sort_unstable();

    let entries = names.into_iter().map(|name| {
        let found = look_at(scan, directory.as_fd(), &path, &name, before)?;
        Ok((name, found))
    });
    Ok(Listing {
        entries: entries.collect::<Result<_, _>>()?,
        path,
        identity,
    })
}

/// Makes sure that a directory still is as it was when it was listed.
pub(super) fn recheck(scan: &Scan<'_>, listing: &Listing) -> Result<(), ScanError> {
    let here: &[u8] = if listing.path.is_empty() {
        b"."
    } else {
        &listing.path
    };
    let now = StatIdentity::at(scan.root_fd.as_fd(), here, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| fault(scan, &listing.path, errno))?;
    if now == listing.identity {
        Ok(())
    } else {
        Err(ScanError::ChangedWhileRead {
            path: scan.absolute(&listing.path),
        })
    }
}

/// The names that the directory had, if it certainly has the same ones now.
fn names_before(
    scan: &Scan<'_>,
    before: Option<usize>,
    now: &StatIdentity,
) -> Option<Vec<Vec<u8>>> {
    let (tree, at) = (scan.previous?, before?);
    let directory = &tree.directories[at];
    if tree.exclude != scan.exclude || !directory.witness.vouches_for(now) {
        return None;
    }
    let entries = &tree.entries[directory.entries.clone()];
    Some(
        entries
            .iter()
            .map(|entry| tree.text(entry.name).to_vec())
            .collect(),
    )
}

fn names_now(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // A socket has nothing to read, and is where somebody listens now: git's file watcher, for one.
        let is_socket = entry.file_type() == FileType::Socket;
        if name != b"." && name != b".." && !is_socket {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn look_at(
    scan: &Scan<'_>,
    directory: BorrowedFd<'_>,
    parent: &[u8],
    name: &[u8],
    before: Option<usize>,
) -> Result<Found, ScanError> {
    let here = |errno| fault(scan, &join(parent, name), errno);
    let identity = StatIdentity::at(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(here)?;
    let known = scan
        .previous
        .zip(before)
        .and_then(|(tree, at)| Some((tree, tree.child(at, name)?.node)));
    match FileType::from_raw_mode(identity.mode) {
        FileType::RegularFile => Ok(match known {
            Some((_, Node::File(witness, digest))) if witness.vouches_for(&identity) => {
                Found::Known(witness, digest)
            }
            _ => Found::Unread(identity),
        }),
        FileType::Directory => Ok(Found::Directory(match known {
            Some((_, Node::Directory(at))) => Some(at),
            _ => None,
        })),
        FileType::Symlink => {
            if let Some((tree, Node::Symlink(witness, target))) = known
                && witness.vouches_for(&identity)
            {
                return Ok(Found::Symlink(witness, tree.text(target).to_vec()));
            }
            let target = rustix::fs::readlinkat(directory, name, Vec::new()).map_err(here)?;
            let witness = Witness::new(identity, scan.started);
            Ok(Found::Symlink(witness, target.into_bytes()))
        }
        _ => Err(ScanError::NotRegular {
            path: scan.absolute(&join(parent, name)),
        }),
    }
}

/// What was there a moment ago and is not now has changed; anything else is an error of the system.
fn fault(scan: &Scan<'_>, path: &[u8], errno: rustix::io::Errno) -> ScanError {
    if is_gone(errno) {
        return ScanError::ChangedWhileRead {
            path: scan.absolute(path),
        };
    }
    ScanError::Io {
        path: scan.absolute(path),
        source: errno.into(),
    }
}
