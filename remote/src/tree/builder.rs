//! Building a tree from paths and from other trees.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{Directory, Mode, Node, Part, Tree, TreeError};
use crate::blob::Blob;

/// A tree that is being built; see [`Tree::builder`].
///
/// Paths are relative to the root, with `/` between names and no `.` or `..`. Directories on the way are
/// made. To add the same thing twice is fine, to add another at its place is not.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    root: BTreeMap<String, Draft>,
    parts: Vec<Part>,
}

/// A part that is worth knowing by itself has at least so many files and directories.
const PART: usize = 64;

#[derive(Debug)]
enum Draft {
    Leaf(Node),
    /// One to which something was added.
    Open(BTreeMap<String, Draft>),
}

impl TreeBuilder {
    /// Adds a file.
    ///
    /// # Errors
    ///
    /// [`TreeError::Path`], [`TreeError::Conflict`].
    pub fn file(&mut self, path: &str, blob: Blob, mode: Mode) -> Result<&mut Self, TreeError> {
        self.add(path, Draft::Leaf(Node::File(blob, mode)))
    }

    /// Adds a symbolic link. An absolute target is one below the root of the tree.
    ///
    /// # Errors
    ///
    /// As [`TreeBuilder::file`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<&mut Self, TreeError> {
        self.add(path, Draft::Leaf(Node::Symlink(target.to_owned())))
    }

    /// Adds a directory, empty if nothing is added to it.
    ///
    /// # Errors
    ///
    /// As [`TreeBuilder::file`].
    pub fn directory(&mut self, path: &str) -> Result<&mut Self, TreeError> {
        self.add(path, Draft::Open(BTreeMap::new()))
    }

    /// Adds another tree at a path, which is empty for the root. What is there already is merged with it.
    ///
    /// # Errors
    ///
    /// As [`TreeBuilder::file`].
    pub fn tree(&mut self, path: &str, tree: &Arc<Tree>) -> Result<&mut Self, TreeError> {
        if path.is_empty() {
            for (name, node) in &tree.root.entries {
                self.add(name, Draft::Leaf(node.clone()))?;
            }
        } else {
            let root = Node::Directory(Arc::clone(&tree.root));
            self.add(path, Draft::Leaf(root))?;
        }
        if tree.size() >= PART {
            self.parts.push(Part {
                depth: path.split('/').filter(|name| !name.is_empty()).count(),
                root: Arc::clone(&tree.root),
            });
        }
        Ok(self)
    }

    /// Hashes what was added.
    pub fn finish(self) -> Arc<Tree> {
        Arc::new(Tree {
            root: seal(self.root),
            parts: self.parts,
        })
    }

    fn add(&mut self, path: &str, draft: Draft) -> Result<&mut Self, TreeError> {
        let bad =
            |name: &str| name.is_empty() || name == "." || name == ".." || name.contains('\0');
        if path.split('/').any(bad) {
            return Err(TreeError::Path {
                path: path.to_owned(),
            });
        }
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut here = &mut self.root;
        for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
            let next = here.entry(parent.to_owned());
            let next = next.or_insert_with(|| Draft::Open(BTreeMap::new()));
            here = open(next).ok_or_else(|| TreeError::Conflict {
                path: path.to_owned(),
            })?;
        }
        put(here, name, draft).map_err(|()| TreeError::Conflict {
            path: path.to_owned(),
        })?;
        Ok(self)
    }
}

/// The entries of a directory, ready for more; `None` for anything else.
fn open(draft: &mut Draft) -> Option<&mut BTreeMap<String, Draft>> {
    if let Draft::Leaf(Node::Directory(directory)) = draft {
        let entries = directory.entries.iter();
        let entries = entries.map(|(name, node)| (name.clone(), Draft::Leaf(node.clone())));
        *draft = Draft::Open(entries.collect());
    }
    match draft {
        Draft::Open(entries) => Some(entries),
        Draft::Leaf(_) => None,
    }
}

/// Puts something into a directory, or into what has its name already.
fn put(into: &mut BTreeMap<String, Draft>, name: &str, draft: Draft) -> Result<(), ()> {
    let there = match into.entry(name.to_owned()) {
        Entry::Vacant(entry) => {
            entry.insert(draft);
            return Ok(());
        }
        Entry::Occupied(entry) => entry.into_mut(),
    };
    let more = match (&*there, draft) {
        (Draft::Leaf(one), Draft::Leaf(other)) if one.is_same(&other) => return Ok(()),
        (_, Draft::Open(entries)) => entries,
        (_, Draft::Leaf(Node::Directory(directory))) => {
            let mut leaf = Draft::Leaf(Node::Directory(directory));
            std::mem::take(open(&mut leaf).ok_or(())?)
        }
        _ => return Err(()),
    };
    let there = open(there).ok_or(())?;
    for (name, draft) in more {
        put(there, &name, draft)?;
    }
    Ok(())
}

impl Node {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one, mode), Self::File(other, other_mode)) => {
                one.digest() == other.digest() && mode == other_mode
            }
            (Self::Symlink(one), Self::Symlink(other)) => one == other,
            (Self::Directory(one), Self::Directory(other)) => one.digest() == other.digest(),
            _ => false,
        }
    }
}

fn seal(entries: BTreeMap<String, Draft>) -> Arc<Directory> {
    let seal_one = |draft| match draft {
        Draft::Leaf(node) => node,
        Draft::Open(entries) => Node::Directory(seal(entries)),
    };
    let entries = entries.into_iter();
    Directory::seal(
        entries
            .map(|(name, draft)| (name, seal_one(draft)))
            .collect(),
    )
}
