//! Files below one directory, whatever links anybody puts there meanwhile.

use std::{
    ffi::OsStr,
    fs::{File, Permissions},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, linkat, mkdirat, openat, openat2, symlinkat},
    io::Errno,
};

use crate::{FileMeta, Target};

/// Whether the kernel has openat2(2) for us. It is found out by a call.
static HAS_OPENAT2: AtomicBool = AtomicBool::new(true);

/// A directory to unpack into. No link is followed on the way to a member, not even by the kernel.
#[derive(Debug)]
pub struct Below {
    root: OwnedFd,
}

impl Below {
    /// A directory that exists.
    ///
    /// # Errors
    /// Fails if it cannot be opened.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, directory, flags, Mode::empty())?;
        Ok(Self { root })
    }

    /// The directory that a member is in, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => open(self.root.as_fd(), parent)?,
            _ => self.root.try_clone()?,
        };
        Ok((parent, name))
    }
}

/// Opens a directory below another.
fn open(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if HAS_OPENAT2.load(Ordering::Relaxed) {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(root, path, flags, Mode::empty(), resolve) {
            // A kernel before 5.6, or a filter that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => HAS_OPENAT2.store(false, Ordering::Relaxed),
            opened => return Ok(opened?),
        }
    }
    // The same, one directory at a time.
    let mut directory = root.try_clone_to_owned()?;
    for name in path {
        directory = openat(&directory, name, flags, Mode::empty())?;
    }
    Ok(directory)
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
