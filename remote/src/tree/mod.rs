//! Input trees: directories as the Merkle trees of the API, made once and shared.
//!
//! A tree never changes. Each of its directories has been encoded and hashed, so that a kernel's tree of
//! ten thousand files can be part of a thousand actions for the price of one.

mod builder;
mod links;
mod scan;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use prost::Message;

pub use builder::TreeBuilder;

use crate::blob::{Blob, BlobDigest};
use crate::proto::reapi;

/// What a file in a tree is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be read.
    Plain,
    /// To be executed.
    Executable,
}

impl Mode {
    /// That of a file that anybody may execute, or nobody.
    pub fn of(executable: bool) -> Self {
        match executable {
            true => Self::Executable,
            false => Self::Plain,
        }
    }

    /// That of a file with these permission bits.
    pub fn of_bits(mode: u32) -> Self {
        Self::of(mode & 0o111 != 0)
    }
}

/// Why something is no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A path is absolute, goes up, or is empty.
    #[error("{path:?} is not a path inside of a tree")]
    Path {
        /// The path.
        path: String,
    },
    /// Two different things have one path.
    #[error("two different things are to be at {path:?}")]
    Conflict {
        /// The path.
        path: String,
    },
    /// A file's name is not UTF-8, which the API wants.
    #[error("{} is not UTF-8", path.display())]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// Something is neither file, symbolic link nor directory.
    #[error("{} is neither file, symbolic link nor directory", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
    },
}

/// A tree of files. Cheap to clone as an `Arc`; see [`Tree::builder`] and [`Tree::of_directory`].
#[derive(Debug)]
pub struct Tree {
    pub(crate) root: Arc<Directory>,
    /// Larger trees that went into this one: what is known of them need not be found out again.
    pub(crate) parts: Vec<Part>,
}

/// A larger tree in another.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// How many names below the other's root it is.
    depth: usize,
    pub(crate) root: Arc<Directory>,
}

/// One directory, sealed.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: BTreeMap<String, Node>,
    encoded: Blob,
    /// Whether an absolute link is here or below.
    absolute: bool,
}

#[derive(Clone, Debug)]
enum Node {
    File(Blob, Mode),
    Symlink(String),
    Directory(Arc<Directory>),
}

impl Tree {
    /// Starts a tree.
    pub fn builder() -> TreeBuilder {
        TreeBuilder::default()
    }

    /// The digest of the tree's root: equal for equal trees.
    pub fn digest(&self) -> BlobDigest {
        self.root.digest()
    }

    /// How many files and directories the tree has, each counted as often as it occurs.
    pub fn size(&self) -> usize {
        self.root.size()
    }
}

impl Directory {
    fn seal(entries: BTreeMap<String, Node>) -> Arc<Self> {
        let mut message = reapi::Directory::default();
        let mut absolute = false;
        // The API wants each list sorted by name, as the map is.
        for (name, node) in &entries {
            let name = name.clone();
            match node {
                Node::File(blob, mode) => message.files.push(reapi::FileNode {
                    name,
                    digest: Some(blob.digest().to_proto()),
                    is_executable: *mode == Mode::Executable,
                    ..Default::default()
                }),
                Node::Symlink(target) => {
                    absolute |= target.starts_with('/');
                    message.symlinks.push(reapi::SymlinkNode {
                        name,
                        target: target.clone(),
                        ..Default::default()
                    });
                }
                Node::Directory(directory) => {
                    absolute |= directory.absolute;
                    message.directories.push(reapi::DirectoryNode {
                        name,
                        digest: Some(directory.digest().to_proto()),
                    });
                }
            }
        }
        Arc::new(Self {
            encoded: Blob::bytes(message.encode_to_vec()),
            entries,
            absolute,
        })
    }

    pub(crate) fn digest(&self) -> BlobDigest {
        self.encoded.digest()
    }

    fn size(&self) -> usize {
        let sizes = self.entries.values().map(|node| match node {
            Node::Directory(directory) => directory.size(),
            Node::File(..) | Node::Symlink(_) => 1,
        });
        1 + sizes.sum::<usize>()
    }

    /// Collects the blobs of this directory and of all below, but for those directories of which `known`
    /// says that all of them is known.
    pub(crate) fn blobs(&self, known: &impl Fn(&BlobDigest) -> bool, blobs: &mut Vec<Blob>) {
        if known(&self.digest()) {
            return;
        }
        for node in self.entries.values() {
            match node {
                Node::File(blob, _) if known(&blob.digest()) => {}
                Node::File(blob, _) => blobs.push(blob.clone()),
                Node::Directory(directory) => directory.blobs(known, blobs),
                Node::Symlink(_) => {}
            }
        }
        blobs.push(self.encoded.clone());
    }
}

#[cfg(test)]
mod tests;
