//! Files below one directory, whatever links anybody puts there meanwhile.

use std::{
    ffi::OsStr,
    fs::{File, Permissions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use kiln_files::Directory;
use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, symlinkat};

use crate::{FileMeta, Target};

/// A directory to unpack into. No link is followed on the way to a member, not even by the kernel.
#[derive(Debug)]
pub struct Below {
    root: Directory,
}

impl Below {
    /// A directory that exists.
    ///
    /// # Errors
    /// Fails if it cannot be opened.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let root = Directory::open(directory)?;
        Ok(Self { root })
    }

    /// The directory that a member is in, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(Directory, &'p OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.root.directory(parent)?, name))
    }
}

impl Target for Below {
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
        let made = openat(
            &parent,
            name,
            OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        File::from(made).set_permissions(Permissions::from_mode(0o755))
    }

    fn file(&mut self, path: &Path, meta: FileMeta, content: &mut dyn Read) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, name, flags, Mode::from_raw_mode(0o600))?);
        io::copy(content, &mut file)?;
        file.set_permissions(Permissions::from_mode(meta.mode()))?;
        file.set_modified(meta.modified)
    }

    fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(symlinkat(target, &parent, name)?)
    }

    fn hard_link(&mut self, path: &Path, existing: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let (other, existing) = self.parent(existing)?;
        Ok(linkat(&other, existing, &parent, name, AtFlags::empty())?)
    }
}
