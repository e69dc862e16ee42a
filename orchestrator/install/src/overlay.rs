//! What the file system would look like: the real one, and recorded changes over it.
//!
//! Holds for each changed path its final state, not how it came about: a module that was taken away and put
//! back is no change at all. Keys are absolute paths without symbolic links but for the last component.
//! Knows nothing of how a state is reached; that is the plan's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use kiln_durable::regular;
use kiln_kernel::sizes;

use super::{error::TransactionError, view::Node};

/// The recorded changes.
#[derive(Debug, Default, Clone)]
pub(super) struct Overlay {
    changes: BTreeMap<PathBuf, State>,
    /// Directories that are no longer there, unless something is put below them.
    emptied: BTreeSet<PathBuf>,
}

/// What a path will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    File(Source),
    /// A symbolic link to this target.
    Link(PathBuf),
    Absent,
}

/// Where a file's content is until the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In a file that is copied.
    Copy(PathBuf),
    /// In a file that gets another name, with its mode, owner and time.
    Move(PathBuf),
    Bytes(Vec<u8>),
}

impl Overlay {
    /// The changes, in the order of their paths.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&PathBuf, &State)> {
        self.changes.iter()
    }

    /// The change of one path.
    pub(super) fn change(&self, key: &Path) -> Option<&State> {
        self.changes.get(key)
    }

    /// The directories that are to be removed, parents first.
    pub(super) fn emptied(&self) -> impl DoubleEndedIterator<Item = &PathBuf> {
        self.emptied.iter()
    }

    /// Whether a directory is to be removed.
    pub(super) fn is_emptied(&self, key: &Path) -> bool {
        self.emptied.contains(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.emptied.is_empty()
    }

    pub(super) fn put(&mut self, from: &Path, to: &Path) -> Result<(), TransactionError> {
        let source = match self.node(&self.resolve(from)) {
            Node::File(Source::Move(path) | Source::Copy(path)) => {
                refuse_large(&path)?;
                Source::Copy(path)
            }
            Node::File(bytes) => bytes,
            Node::Directory => return Err(is_directory(from)),
            Node::Link(_) | Node::Nothing => return Err(missing(from)),
        };
        self.set(self.locate(to), State::File(source))
    }

    pub(super) fn put_bytes(&mut self, bytes: Vec<u8>, to: &Path) -> Result<(), TransactionError> {
        self.set(self.locate(to), State::File(Source::Bytes(bytes)))
    }

    pub(super) fn put_link(&mut self, target: &Path, to: &Path) -> Result<(), TransactionError> {
        self.set(self.locate(to), State::Link(target.to_path_buf()))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), TransactionError> {
        let (old, new) = (self.locate(from), self.locate(to));
        let state = match self.node(&old) {
            Node::File(source) => State::File(source),
            Node::Link(target) => State::Link(target),
            Node::Directory => return Err(is_directory(from)),
            Node::Nothing => return Err(missing(from)),
        };
        if old != new {
            self.set(new, state)?;
            self.clear(&old);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), TransactionError> {
        let key = self.locate(path);
        match self.node(&key) {
            Node::Directory => return Err(is_directory(path)),
            Node::File(_) | Node::Link(_) => self.clear(&key),
            Node::Nothing => {}
        }
        Ok(())
    }

    pub(super) fn remove_tree(&mut self, path: &Path) -> Result<(), TransactionError> {
        let key = self.locate(path);
        if !matches!(self.node(&key), Node::Directory) {
            return self.remove(path);
        }
        let below = |path: &&PathBuf| path.starts_with(&key);
        let changed: Vec<_> = self.changes.keys().filter(below).cloned().collect();
        for path in changed {
            self.clear(&path);
        }
        self.remove_real_tree(&key)
    }

    fn remove_real_tree(&mut self, key: &Path) -> Result<(), TransactionError> {
        if !key.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        for entry in read(key)? {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.remove_real_tree(&entry.path())?;
            } else {
                self.clear(&entry.path());
            }
        }
        self.emptied.insert(key.to_path_buf());
        Ok(())
    }

    pub(super) fn prune(&mut self, dir: &Path, up_to: &Path) -> Result<(), TransactionError> {
        let (mut directory, end) = (self.resolve(dir), self.resolve(up_to));
        while directory != end && directory.starts_with(&end) {
            if !self.is_vacant(&directory)? {
                break;
            }
            self.empty(&directory);
            directory.pop();
        }
        Ok(())
    }

    pub(super) fn prune_tree(&mut self, dir: &Path) -> Result<(), TransactionError> {
        let key = self.resolve(dir);
        self.prune_below(&key)
    }

    fn prune_below(&mut self, key: &Path) -> Result<(), TransactionError> {
        if self.node(key) != Node::Directory || self.is_new(key) {
            return Ok(());
        }
        for entry in read(key)? {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.prune_below(&entry.path())?;
            }
        }
        if self.is_vacant(key)? {
            self.empty(key);
        }
        Ok(())
    }

    /// Whether nothing would be in a directory.
    fn is_vacant(&self, key: &Path) -> Result<bool, TransactionError> {
        if self.keeps(key) {
            return Ok(false);
        }
        if self.node(key) != Node::Directory {
            return Ok(true);
        }
        // Entry by entry: the first one of hundreds is often enough.
        let entries = fs::read_dir(key).map_err(|error| unreadable(key, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(key, error))?;
            let path = entry.path();
            let is_gone = match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.is_emptied(&path),
                _ => self.change(&path) == Some(&State::Absent),
            };
            if !is_gone {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether something is put below a directory.
    pub(super) fn keeps(&self, key: &Path) -> bool {
        self.changes
            .range::<Path, _>((std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(key))
            .any(|(_, state)| *state != State::Absent)
    }

    fn empty(&mut self, key: &Path) {
        if self.node(key) == Node::Directory {
            self.emptied.insert(key.to_path_buf());
        }
    }

    /// Whether a directory will only be made.
    fn is_new(&self, key: &Path) -> bool {
        key.symlink_metadata().is_err()
    }

    fn set(&mut self, key: PathBuf, state: State) -> Result<(), TransactionError> {
        if matches!(self.node(&key), Node::Directory) {
            return Err(is_directory(&key));
        }
        if self.is_cut_off(&key) {
            let source = io::ErrorKind::NotADirectory.into();
            return Err(TransactionError::Write { path: key, source });
        }
        let is_as_before = match &state {
            State::File(Source::Copy(path) | Source::Move(path)) => *path == key,
            _ => false,
        };
        if is_as_before {
            self.changes.remove(&key);
        } else {
            self.changes.insert(key, state);
        }
        Ok(())
    }

    /// Has nothing at a path.
    fn clear(&mut self, key: &Path) {
        if key.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            self.changes.insert(key.to_path_buf(), State::Absent);
        } else {
            self.changes.remove(key);
        }
    }
}

/// Fails for a file that is larger than any module: a sparse one has no end when it is copied.
fn refuse_large(path: &Path) -> Result<(), TransactionError> {
    let found = path.metadata();
    found
        .and_then(|found| regular::must_have_at_most(sizes::BINARY, &found))
        .map_err(|error| unreadable(path, error))
}

pub(super) fn read(directory: &Path) -> Result<Vec<fs::DirEntry>, TransactionError> {
    fs::read_dir(directory)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(directory, error))
}

fn unreadable(path: &Path, source: io::Error) -> TransactionError {
    let path = path.to_path_buf();
    TransactionError::Read { path, source }
}

fn is_directory(path: &Path) -> TransactionError {
    let path = path.to_path_buf();
    TransactionError::IsDirectory { path }
}

fn missing(path: &Path) -> TransactionError {
    let path = path.to_path_buf();
    TransactionError::Missing { path }
}
