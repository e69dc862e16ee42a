//! The scan of a tree: listed level by level, files read on all cores, unchanged ones not at all.
//!
//! A scan yields the content of one moment or an error: whatever is seen to change meanwhile is
//! [`ScanError::ChangedWhileRead`]. It follows no links, keeps at most one file open per thread, and
//! does not recurse, so the depth of a tree costs no stack.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::digest::ObjectDigest;
use crate::tree::identity::{Started, Witness};
use crate::tree::manifest::Manifest;
use crate::tree::recheck::{open_root, unchanged};
use crate::tree::snapshot::{Directory, Entry, Node, Tree, TreeSnapshot};

mod listing;
mod reading;

use listing::{Found, Listing};
pub(crate) use reading::{Opened, hash_open_file};

/// Why a tree or file could not be fingerprinted.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something was written, added or removed while the scan ran; the caller may try again.
    #[error("{} changed while it was read", path.display())]
    ChangedWhileRead {
        /// What changed.
        path: PathBuf,
    },
    /// A fifo or device: it has no content that could be fingerprinted. Sockets are passed over.
    #[error("{} is neither a regular file, a directory nor a link", path.display())]
    NotRegular {
        /// Where it is.
        path: PathBuf,
    },
    /// Something could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any that is a source, or a part of a kernel's tree.
    #[error("{} has more than {} GiB", path.display(), LARGEST >> 30)]
    LargeFile {
        /// Where it is.
        path: PathBuf,
    },
    /// The caller wants it no more.
    #[error("interrupted while {} was read", path.display())]
    Stopped {
        /// What was read.
        path: PathBuf,
    },
    /// The names add up to more than 4 GiB.
    #[error("{} has too many names", path.display())]
    TooLarge {
        /// The root of the tree.
        path: PathBuf,
    },
}

/// No file of a tree is larger, in bytes. A sparse one takes minutes to read, and no room where it lies.
const LARGEST: u64 = 2 << 30;

/// What of a tree counts, and for how long it may be read.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// Relative paths that are left out, each with everything below it.
    pub exclude: Vec<Vec<u8>>,
    /// When to give up.
    pub stop: Stop,
}

/// Says whether something is wanted no more; never, by default.
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    /// From when this is true.
    pub fn when(is_asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_asked)))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.as_ref().is_some_and(|is_asked| is_asked())
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_asked()).finish()
    }
}

/// What a scan found.
#[derive(Clone, Debug)]
pub struct TreeScan {
    /// What to keep for the next scan.
    pub snapshot: TreeSnapshot,
    /// The digest of the tree's manifest.
    pub digest: ObjectDigest,
    /// How many files were read; the others looked as before.
    pub files_read: u64,
    /// How many bytes they had.
    pub bytes_read: u64,
    /// Whether the content is that of the previous snapshot.
    pub unchanged: bool,
}

impl TreeScan {
    /// The tree's content, put together anew: some milliseconds for a large tree.
    pub fn manifest(&self) -> Manifest {
        self.snapshot.manifest()
    }
}

/// Fingerprints the tree below `root`, which may be a link to a directory.
///
/// Files that still look as they did in `previous` are not read; when nothing changed at all, nothing
/// is listed or encoded either and the digest is the previous one. A `previous` made with other options
/// still saves reading. Names need not be UTF-8. Runs on the current rayon pool.
///
/// # Errors
///
/// See [`ScanError`]. Nothing is half-right: a scan that fails leaves `previous` as good as it was.
pub fn scan_tree(
    root: &Path,
    previous: Option<&TreeSnapshot>,
    options: &ScanOptions,
) -> Result<TreeScan, ScanError> {
    let mut exclude = options.exclude.clone();
    exclude.sort_unstable();
    exclude.dedup();
    let comparable = previous.filter(|previous| previous.tree().exclude == exclude);
    if let Some(previous) = comparable
        && unchanged(root, previous)?.is_none()
    {
        return Ok(TreeScan {
            snapshot: previous.clone(),
            digest: previous.digest(),
            files_read: 0,
            bytes_read: 0,
            unchanged: true,
        });
    }
    let mut scan = Scan {
        root,
        root_fd: open_root(root)?,
        previous: previous.map(TreeSnapshot::tree),
        exclude: &exclude,
        stop: &options.stop,
        started: Started::now(),
    };
    let listings = scan.list()?;
    let (files_read, bytes_read, tree) = scan.read(listings)?;
    let same = comparable.filter(|previous| previous.tree().same_content(&tree));
    let digest = match same {
        Some(previous) => previous.digest(),
        None => tree.manifest().digest(),
    };
    let snapshot = TreeSnapshot::new(Tree {
        manifest: Some(digest),
        exclude,
        ..tree
    });
    Ok(TreeScan {
        snapshot,
        digest,
        files_read,
        bytes_read,
        unchanged: same.is_some(),
    })
}

/// What every step of a scan needs to know.
struct Scan<'s> {
    root: &'s Path,
    root_fd: OwnedFd,
    previous: Option<&'s Tree>,
    exclude: &'s [Vec<u8>],
    stop: &'s Stop,
    started: Started,
}

impl Scan<'_> {
    fn absolute(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() {
            return self.root.to_path_buf();
        }
        self.root.join(OsStr::from_bytes(relative))
    }

    /// Lists every directory, parents before children, each level in parallel.
    fn list(&mut self) -> Result<Vec<Listing>, ScanError> {
        let mut listings = Vec::new();
        let mut level = vec![(Vec::new(), self.previous.map(|_| 0))];
        while !level.is_empty() {
            let listed = level
                .into_par_iter()
                .map(|(path, before)| listing::list(self, path, before))
                .collect::<Result<Vec<_>, _>>()?;
            level = listed.iter().flat_map(Listing::subdirectories).collect();
            listings.extend(listed);
        }
        Ok(listings)
    }

    /// Reads every file that has to be read and puts the tree together.
    fn read(&self, listings: Vec<Listing>) -> Result<(u64, u64, Tree), ScanError> {
        let unread: Vec<_> = listings.iter().flat_map(Listing::unread).collect();
        let large = unread.iter().find(|(_, identity)| identity.size > LARGEST);
        if let Some((path, _)) = large {
            let path = self.absolute(path);
            return Err(ScanError::LargeFile { path });
        }
        let digests = unread
            .par_iter()
            .map(|(path, identity)| {
                reading::hash_file(self.root_fd.as_fd(), path, identity, self.stop)
                    .map_err(|fault| fault.at(self.absolute(path)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = unread.iter().map(|(_, identity)| identity.size).sum();
        listings
            .par_iter()
            .try_for_each(|listing| listing::recheck(self, listing))?;
        let tree = assemble(self.started, listings, &digests);
        let tree = tree.ok_or_else(|| ScanError::TooLarge {
            path: self.root.to_path_buf(),
        })?;
        Ok((digests.len() as u64, bytes, tree))
    }
}

/// Puts listings and the digests of the files that were read into one tree; `None` if it is too large.
fn assemble(started: Started, listings: Vec<Listing>, digests: &[ObjectDigest]) -> Option<Tree> {
    let mut tree = Tree::default();
    let mut digests = digests.iter();
    let mut next_directory = 1;
    for listing in listings {
        let path = tree.intern(&listing.path)?;
        let start = tree.entries.len();
        for (name, found) in listing.entries {
            let name = tree.intern(&name)?;
            let node = match found {
                Found::Known(witness, digest) => Node::File(witness, digest),
                Found::Unread(identity) => {
                    let digest = digests.next().expect("every unread file was read");
                    Node::File(Witness::new(identity, started), *digest)
                }
                Found::Symlink(witness, target) => Node::Symlink(witness, tree.intern(&target)?),
                Found::Directory(_) => {
                    next_directory += 1;
                    Node::Directory(next_directory - 1)
                }
            };
            tree.entries.push(Entry { name, node });
        }
        tree.directories.push(Directory {
            path,
            witness: Witness::new(listing.identity, started),
            entries: start..tree.entries.len(),
        });
    }
    Some(tree)
}
