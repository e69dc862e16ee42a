//! Snapshots: a tree's content together with how each entry looked to `stat`.
//!
//! Cheap to clone, compact to keep, quick to decode: one arena of names, one flat list of entries
//! grouped by directory. Directories are listed parents first, entries within one by name. A snapshot
//! is a shortcut only; a lost or unreadable one costs a scan.

mod read;
mod write;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::digest::ObjectDigest;
use crate::encoding::{self, DecodeError, Frame};
use crate::tree::identity::{StatIdentity, Witness};
use crate::tree::manifest::{EntryKind, Manifest, ManifestEntry};

/// What the index keeps of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSnapshot {
    tree: Arc<Tree>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// The digest of the tree's manifest; set when everything else is in place.
    pub(crate) manifest: Option<ObjectDigest>,
    /// What was left out.
    pub(crate) exclude: Vec<Vec<u8>>,
    /// Every path, name and link target, one after the other.
    pub(crate) text: Vec<u8>,
    /// The root first, every directory after its parent.
    pub(crate) directories: Vec<Directory>,
    /// Grouped by directory, in the order of the directories.
    pub(crate) entries: Vec<Entry>,
}

/// A piece of a tree's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    length: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Relative to the root, which itself has the empty path.
    pub(crate) path: Span,
    pub(crate) witness: Witness,
    /// Which entries of the tree are its own.
    pub(crate) entries: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Span,
    pub(crate) node: Node,
}

/// What an entry is. A directory's own witness is with the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File(Witness, ObjectDigest),
    Symlink(Witness, Span),
    Directory(usize),
}

impl Tree {
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..][..span.length as usize]
    }

    /// Appends a text; `None` beyond 4 GiB of names.
    pub(crate) fn intern(&mut self, text: &[u8]) -> Option<Span> {
        let start = u32::try_from(self.text.len()).ok()?;
        let length = u32::try_from(text.len()).ok()?;
        self.text.extend_from_slice(text);
        Some(Span { start, length })
    }

    /// The entry of that name in a directory.
    pub(crate) fn child(&self, directory: usize, name: &[u8]) -> Option<&Entry> {
        let entries = &self.entries[self.directories[directory].entries.clone()];
        let at = entries.binary_search_by(|entry| self.text(entry.name).cmp(name));
        at.ok().map(|at| &entries[at])
    }

    /// Whether both trees have the same content, whatever `stat` says.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        let same_entry = |(a, b): (&Entry, &Entry)| {
            self.text(a.name) == other.text(b.name)
                && match (&a.node, &b.node) {
                    (Node::File(a, old), Node::File(b, new)) => {
                        old == new && a.identity.is_executable() == b.identity.is_executable()
                    }
                    (Node::Symlink(_, old), Node::Symlink(_, new)) => {
                        self.text(*old) == other.text(*new)
                    }
                    (Node::Directory(old), Node::Directory(new)) => old == new,
                    _ => false,
                }
        };
        self.directories.len() == other.directories.len()
            && self.entries.len() == other.entries.len()
            && self
                .directories
                .iter()
                .zip(&other.directories)
                .all(|(a, b)| a.entries == b.entries && self.text(a.path) == other.text(b.path))
            && self.entries.iter().zip(&other.entries).all(same_entry)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let mut entries = Vec::with_capacity(self.entries.len());
        for directory in &self.directories {
            let parent = self.text(directory.path);
            for entry in &self.entries[directory.entries.clone()] {
                let kind = match &entry.node {
                    Node::File(witness, digest) => EntryKind::File {
                        digest: *digest,
                        executable: witness.identity.is_executable(),
                    },
                    Node::Symlink(_, target) => EntryKind::Symlink {
                        target: self.text(*target).to_vec(),
                    },
                    Node::Directory(_) => EntryKind::Directory,
                };
                entries.push(ManifestEntry {
                    path: join(parent, self.text(entry.name)),
                    kind,
                });
            }
        }
        Manifest::new(entries).expect("a tree's paths are relative and each is there once")
    }
}

/// The path of a directory's entry.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    if !parent.is_empty() {
        path.extend_from_slice(parent);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

impl TreeSnapshot {
    pub(crate) fn new(tree: Tree) -> Self {
        Self {
            tree: Arc::new(tree),
        }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The digest of the tree's manifest.
    pub fn digest(&self) -> ObjectDigest {
        self.tree
            .manifest
            .expect("a snapshot is made once its digest is known")
    }

    /// The tree's content, put together anew: some milliseconds for a large tree.
    pub fn manifest(&self) -> Manifest {
        self.tree.manifest()
    }

    /// Whether `stat` can tell of each entry that it is as it was when this snapshot was made.
    pub(crate) fn is_settled(&self) -> bool {
        self.witnesses().all(|witness| witness.settled)
    }

    /// If `stat` cannot tell yet of each entry that it is as it was: how long after it can.
    pub fn settles_in(&self) -> Option<Duration> {
        self.witnesses().filter_map(Witness::settles_in).max()
    }

    fn witnesses(&self) -> impl Iterator<Item = &Witness> {
        let entries = self
            .tree
            .entries
            .iter()
            .filter_map(|entry| match &entry.node {
                Node::File(witness, _) | Node::Symlink(witness, _) => Some(witness),
                Node::Directory(_) => None,
            });
        let directories = self.tree.directories.iter();
        directories
            .map(|directory| &directory.witness)
            .chain(entries)
    }

    /// Directories and files of the tree that not everybody may read, by path, with their permissions. The
    /// manifest has none: whoever reads all can be another user than whoever builds.
    pub fn closed(&self) -> Vec<(Vec<u8>, u32)> {
        let tree = &self.tree;
        let mut closed = Vec::new();
        for directory in &tree.directories {
            let parent = tree.text(directory.path);
            let mode = directory.witness.identity.mode;
            if mode & 0o005 != 0o005 {
                closed.push((parent.to_vec(), mode & 0o7777));
            }
            for entry in &tree.entries[directory.entries.clone()] {
                if let Node::File(witness, _) = &entry.node
                    && witness.identity.mode & 0o004 == 0
                {
                    let path = join(parent, tree.text(entry.name));
                    closed.push((path, witness.identity.mode & 0o7777));
                }
            }
        }
        closed.sort();
        closed
    }

    /// The paths of the tree's files, when each last changed, and permissions other than 0644 and 0755 (of a
    /// directory: than 0755), as one digest. The manifest has none of these, but programs that ask, as make does
    /// for times, are told.
    pub fn times_and_modes(&self) -> ObjectDigest {
        let tree = &self.tree;
        let mut text = Vec::new();
        for directory in &tree.directories {
            text.extend_from_slice(tree.text(directory.path));
            text.push(0);
            text.extend(unusual(directory.witness.identity.mode, &[0o755]));
            for entry in &tree.entries[directory.entries.clone()] {
                if let Node::File(witness, _) = &entry.node {
                    text.extend_from_slice(tree.text(entry.name));
                    text.push(0);
                    text.extend_from_slice(&witness.identity.modified.to_le_bytes());
                    text.extend(unusual(witness.identity.mode, &[0o644, 0o755]));
                }
            }
        }
        ObjectDigest::of(&text)
    }

    /// How many files, directories and links the tree has, its root not counted.
    pub fn len(&self) -> usize {
        self.tree.entries.len()
    }

    /// Whether the tree is a directory without anything in it.
    pub fn is_empty(&self) -> bool {
        self.tree.entries.is_empty()
    }

    /// The digest of the regular file at a relative path, and its identity when it was read.
    ///
    /// Links are not followed.
    pub fn file(&self, path: &[u8]) -> Option<(ObjectDigest, StatIdentity)> {
        match self.find(path)?.node {
            Node::File(witness, digest) => Some((digest, witness.identity)),
            Node::Symlink(..) | Node::Directory(_) => None,
        }
    }

    /// What stands at a relative path.
    pub fn entry(&self, path: &[u8]) -> Option<EntryKind> {
        Some(match self.find(path)?.node {
            Node::File(witness, digest) => EntryKind::File {
                digest,
                executable: witness.identity.is_executable(),
            },
            Node::Symlink(_, target) => EntryKind::Symlink {
                target: self.tree.text(target).to_vec(),
            },
            Node::Directory(_) => EntryKind::Directory,
        })
    }

    fn find(&self, path: &[u8]) -> Option<&Entry> {
        let mut directory = 0;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        loop {
            let entry = self.tree.child(directory, names.next()?)?;
            if names.peek().is_none() {
                return Some(entry);
            }
            let Node::Directory(next) = entry.node else {
                return None;
            };
            directory = next;
        }
    }

    /// The bytes that the index keeps.
    pub fn encode(&self) -> Vec<u8> {
        encoding::wrap(Frame::TREE, &write::tree(&self.tree))
    }

    /// Reads what [`TreeSnapshot::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Any other bytes are refused: the caller scans anew.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let payload = encoding::unwrap(Frame::TREE, bytes)?;
        read::tree(payload)
            .map(Self::new)
            .ok_or(DecodeError::Damaged)
    }
}
/// Permissions as text, if they are not among the usual ones.
fn unusual(mode: u32, usual: &[u32]) -> Vec<u8> {
    let mode = mode & 0o7777;
    if usual.contains(&mode) {
        return Vec::new();
    }
    format!("mode {mode:o}\0").into_bytes()
}
