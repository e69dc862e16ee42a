//! Reading the overlay: what is where, as if the recorded changes had been made.
//!
//! Symbolic links are followed through the overlay as well, anywhere in a path.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Component, Path, PathBuf},
};

use kiln_durable::regular;

use super::{
    error::TransactionError,
    overlay::{self, Overlay, Source, State},
};

/// As many links are followed in a path as Linux follows.
const LINKS: usize = 40;

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A regular file, or something else that is neither of the others.
    File(Source),
    Link(PathBuf),
    Directory,
    Nothing,
}

impl Overlay {
    /// What is at a key. A file that is not changed is its own source.
    pub(super) fn node(&self, key: &Path) -> Node {
        match self.change(key) {
            Some(State::File(source)) => return Node::File(source.clone()),
            Some(State::Link(target)) => return Node::Link(target.clone()),
            _ if self.keeps(key) => return Node::Directory,
            Some(State::Absent) => return Node::Nothing,
            None if self.is_emptied(key) || self.is_cut_off(key) => return Node::Nothing,
            None => {}
        }
        match key.symlink_metadata() {
            Ok(found) if found.is_dir() => Node::Directory,
            Ok(found) if found.is_symlink() => match fs::read_link(key) {
                Ok(target) => Node::Link(target),
                Err(_) => Node::Nothing,
            },
            Ok(_) => Node::File(Source::Move(key.to_path_buf())),
            Err(_) => Node::Nothing,
        }
    }

    /// Whether something on the way to a key is no directory any more. What the real file system has there is
    /// behind a link that is not followed now.
    pub(super) fn is_cut_off(&self, key: &Path) -> bool {
        key.ancestors()
            .skip(1)
            .any(|directory| self.change(directory).is_some())
    }

    /// The key of a path; a link in its last component is the path's own matter.
    pub(super) fn locate(&self, path: &Path) -> PathBuf {
        self.walk(path, LastLink::Kept)
    }

    /// The key of what a path leads to.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.walk(path, LastLink::Followed)
    }

    fn walk(&self, path: &Path, last: LastLink) -> PathBuf {
        let mut key = PathBuf::from("/");
        let mut todo = Vec::new();
        push(&mut todo, &std::path::absolute(path).unwrap_or_default());
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                key.pop();
                continue;
            }
            key.push(name);
            if todo.is_empty() && last == LastLink::Kept {
                break;
            }
            if let Some(target) = self.link(&key)
                && links < LINKS
            {
                links += 1;
                key.pop();
                if target.is_absolute() {
                    key = PathBuf::from("/");
                }
                push(&mut todo, &target);
            }
        }
        key
    }

    fn link(&self, key: &Path) -> Option<PathBuf> {
        match self.change(key) {
            Some(State::Link(target)) => Some(target.clone()),
            Some(_) => None,
            None => fs::read_link(key).ok(),
        }
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        !matches!(self.node(&self.resolve(path)), Node::Nothing)
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.node(&self.resolve(path)) == Node::Directory
    }

    pub(super) fn read_link(&self, path: &Path) -> Option<PathBuf> {
        match self.node(&self.locate(path)) {
            Node::Link(target) => Some(target),
            _ => None,
        }
    }

    /// Where the bytes of a regular file are.
    pub(super) fn source(&self, path: &Path) -> Option<Source> {
        match self.node(&self.resolve(path)) {
            Node::File(Source::Bytes(bytes)) => Some(Source::Bytes(bytes)),
            Node::File(Source::Copy(from) | Source::Move(from)) if from.is_file() => {
                Some(Source::Copy(from))
            }
            _ => None,
        }
    }

    pub(super) fn open_file(&self, path: &Path) -> io::Result<File> {
        match self.source(path) {
            Some(Source::Bytes(bytes)) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(&bytes)?;
                file.rewind()?;
                Ok(file)
            }
            Some(Source::Copy(from) | Source::Move(from)) => regular::open_at_once(&from),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The regular files below a directory, as `find -type f` has them; those that are put there last.
    pub(super) fn files_below(&self, directory: &Path) -> Result<Vec<PathBuf>, TransactionError> {
        let key = self.resolve(directory);
        let mut real = Vec::new();
        if self.node(&key) == Node::Directory {
            real_files_below(&key, &mut real)?;
        }
        let added = self.added_below(&key, |path| !real.contains(path));
        let kept = real.iter().filter(|path| self.is_still_file(path));
        Ok(kept
            .chain(&added)
            .filter_map(|path| Some(directory.join(path.strip_prefix(&key).ok()?)))
            .collect())
    }

    /// Whether a regular file of the real file system is one here too.
    pub(super) fn is_still_file(&self, key: &Path) -> bool {
        matches!(self.change(key), None | Some(State::File(_)))
    }

    /// The files that are put below a directory.
    pub(super) fn added_below(
        &self,
        key: &Path,
        wanted: impl Fn(&PathBuf) -> bool,
    ) -> Vec<PathBuf> {
        self.changes()
            .filter(|(path, state)| {
                matches!(state, State::File(_)) && wanted(path) && path.starts_with(key)
            })
            .map(|(path, _)| path.clone())
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LastLink {
    Kept,
    Followed,
}

/// Puts the components of a path on a stack, the first one on top.
fn push(todo: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    let names: Vec<_> = names.map(OsStr::to_os_string).collect();
    todo.extend(names.into_iter().rev());
}

/// The regular files below a directory, in the order in which find(1) comes upon them.
pub(super) fn real_files_below(
    directory: &Path,
    found: &mut Vec<PathBuf>,
) -> Result<(), TransactionError> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in overlay::read(directory)? {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => real_files_below(&entry.path(), found)?,
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}
