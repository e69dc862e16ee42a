//! What is known of an archive's members so far: the rules that each next one has to keep.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{ArchiveError, Limits};

/// Where members are put. Paths are relative, plain, and of one member each; their parents have been made.
pub trait Target {
    /// Whether a member is wanted; others are checked and passed over.
    fn wants(&self, path: &Path) -> bool {
        let _ = path;
        true
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    fn directory(&mut self, path: &Path) -> io::Result<()>;

    /// Makes a file.
    ///
    /// # Errors
    /// Fails if it cannot be made, or its content cannot be read.
    fn file(&mut self, path: &Path, meta: FileMeta, content: &mut dyn Read) -> io::Result<()>;

    /// Makes a symbolic link, with whatever target.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()>;

    /// Gives a file that was made another name.
    ///
    /// # Errors
    /// Fails if it cannot be given.
    fn hard_link(&mut self, path: &Path, existing: &Path) -> io::Result<()>;
}

/// What is kept of a file besides its content.
#[derive(Debug, Clone, Copy)]
pub struct FileMeta {
    /// Whether anybody may execute it.
    pub is_executable: bool,
    /// When it was last written.
    pub modified: SystemTime,
}

impl FileMeta {
    /// The permissions that a file gets.
    pub fn mode(&self) -> u32 {
        if self.is_executable { 0o755 } else { 0o644 }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Directory,
    File,
    Link,
}

/// All members so far.
pub(crate) struct Members<'t> {
    target: &'t mut dyn Target,
    limits: Limits,
    known: HashMap<PathBuf, Stands>,
    /// The directories that the target has made.
    made: HashSet<PathBuf>,
    count: u64,
    /// Bytes of paths and targets.
    names: u64,
}

impl<'t> Members<'t> {
    pub(crate) fn new(target: &'t mut dyn Target, limits: Limits) -> Self {
        Self {
            target,
            limits,
            known: HashMap::new(),
            made: HashSet::new(),
            count: 0,
            names: 0,
        }
    }

    pub(crate) fn directory(&mut self, raw: &Path) -> Result<(), ArchiveError> {
        let path = self.place(raw, Stands::Directory)?;
        if path.as_os_str().is_empty() || !self.target.wants(&path) {
            return Ok(());
        }
        self.make(&path)
    }

    /// A file; `seconds` is when it was last written.
    pub(crate) fn file(
        &mut self,
        raw: &Path,
        mode: u32,
        seconds: u64,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let path = self.place(raw, Stands::File)?;
        if !self.target.wants(&path) {
            return Ok(());
        }
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let modified = time.ok_or_else(|| hostile(raw, "has a time that cannot be"))?;
        let meta = FileMeta {
            is_executable: mode & 0o111 != 0,
            modified,
        };
        self.make_parent(&path)?;
        Ok(self.target.file(&path, meta, content)?)
    }

    pub(crate) fn symlink(&mut self, raw: &Path, to: &Path) -> Result<(), ArchiveError> {
        let path = self.place(raw, Stands::Link)?;
        self.check_length(to)?;
        self.count_name(to)?;
        if !self.target.wants(&path) {
            return Ok(());
        }
        self.make_parent(&path)?;
        Ok(self.target.symlink(&path, to)?)
    }

    pub(crate) fn hard_link(&mut self, raw: &Path, to: &Path) -> Result<(), ArchiveError> {
        let existing = self.plain(to)?;
        let path = self.place(raw, Stands::File)?;
        if !self.target.wants(&path) {
            return Ok(());
        }
        if self.known.get(&existing) != Some(&Stands::File) || !self.target.wants(&existing) {
            return Err(hostile(
                raw,
                "is a link to a file that is not in the archive",
            ));
        }
        self.make_parent(&path)?;
        Ok(self.target.hard_link(&path, &existing)?)
    }

    /// A member that is none of these.
    pub(crate) fn other(&self, raw: &Path) -> ArchiveError {
        hostile(raw, "is no file, directory or link")
    }

    pub(crate) fn longest_path(&self) -> usize {
        self.limits.path
    }

    /// Checks a member's path; returns it plain.
    fn place(&mut self, raw: &Path, kind: Stands) -> Result<PathBuf, ArchiveError> {
        self.count += 1;
        if self.count > self.limits.members {
            return Err(Limits::too_large("members", self.limits.members));
        }
        let path = self.plain(raw)?;
        if path.as_os_str().is_empty() && kind != Stands::Directory {
            return Err(hostile(raw, "has no name"));
        }
        let mut ancestor = path.as_path();
        while let Some(parent) = ancestor.parent().filter(|p| !p.as_os_str().is_empty()) {
            match self.known.get(parent) {
                Some(Stands::Directory) => break,
                Some(_) => return Err(hostile(raw, "is below something that is no directory")),
                None => {
                    self.count_name(parent)?;
                    self.known.insert(parent.to_owned(), Stands::Directory)
                }
            };
            ancestor = parent;
        }
        self.count_name(&path)?;
        match self.known.insert(path.clone(), kind) {
            None => Ok(path),
            Some(Stands::Directory) if kind == Stands::Directory => Ok(path),
            Some(_) => Err(hostile(raw, "is there twice")),
        }
    }

    /// A path without `.`; none of its parts is `..`, and it does not begin at the root.
    fn plain(&self, raw: &Path) -> Result<PathBuf, ArchiveError> {
        self.check_length(raw)?;
        let mut path = PathBuf::new();
        let mut depth = 0;
        for part in raw.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => {
                    depth += 1;
                    path.push(name);
                }
                Component::ParentDir => return Err(hostile(raw, "leaves the archive")),
                _ => return Err(hostile(raw, "has an absolute path")),
            }
        }
        if depth > self.limits.depth {
            let limit = self.limits.depth as u64;
            return Err(Limits::too_large("directories above a member", limit));
        }
        Ok(path)
    }

    fn check_length(&self, path: &Path) -> Result<(), ArchiveError> {
        let limit = self.limits.path;
        match path.as_os_str().as_bytes().len() > limit {
            true => Err(Limits::too_large("bytes in a name", limit as u64)),
            false => Ok(()),
        }
    }

    /// Counts a name that is kept, here or by whoever reads what was unpacked.
    fn count_name(&mut self, name: &Path) -> Result<(), ArchiveError> {
        self.names += name.as_os_str().len() as u64;
        match self.names > self.limits.names {
            true => Err(Limits::too_large("bytes in all names", self.limits.names)),
            false => Ok(()),
        }
    }

    fn make_parent(&mut self, path: &Path) -> Result<(), ArchiveError> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.make(parent),
            _ => Ok(()),
        }
    }

    /// Makes a directory, and those above it.
    fn make(&mut self, path: &Path) -> Result<(), ArchiveError> {
        if self.made.contains(path) {
            return Ok(());
        }
        self.make_parent(path)?;
        self.target.directory(path)?;
        self.made.insert(path.to_owned());
        Ok(())
    }
}

pub(crate) fn hostile(member: &Path, reason: &'static str) -> ArchiveError {
    ArchiveError::Hostile {
        member: member.to_owned(),
        reason,
    }
}
