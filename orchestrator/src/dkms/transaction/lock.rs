//! Locks on directories: one transaction a kernel, one process a package.
//!
//! A lock is an flock on the directory itself, so that it needs no file, works where nothing can be
//! written, and is free the moment its process is gone, however it went. Whoever has a lock has checked
//! that the directory is still the one of that name. A process must not take the same lock twice.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::{Errno, retry_on_intr},
};

use super::error::TransactionError;

/// The right to change one version of a package in the DKMS tree, until dropped.
#[derive(Debug)]
pub(crate) struct PackageLock {
    held: File,
    whole_tree: bool,
}

/// Locks `<dkms_tree>/<module>/<version>`, or the whole DKMS tree as long as that directory does not exist.
/// `waiting` is called once if another process has it. Gives nothing where there is no DKMS tree either.
///
/// Whoever locks several packages does so in one order everywhere, and before any kernel.
///
/// # Errors
/// Fails if a directory cannot be opened or locked.
pub(crate) fn lock_package(
    version_dir: &Path,
    waiting: &mut dyn FnMut(),
) -> Result<Option<PackageLock>, TransactionError> {
    let tree = version_dir.ancestors().nth(2).unwrap_or(version_dir);
    let mut waiting = Waiting::new(waiting);
    loop {
        // Held while looking, so that nobody is just adding the package.
        let Some(looking) = open(tree)? else {
            return Ok(None);
        };
        waiting.lock(tree, &looking, Mode::Shared)?;
        let Some(version) = open(version_dir)? else {
            drop(looking);
            let Some(held) = open(tree)? else {
                return Ok(None);
            };
            waiting.lock(tree, &held, Mode::Exclusive)?;
            if is_still(tree, &held) && !version_dir.exists() {
                let whole_tree = true;
                return Ok(Some(PackageLock { held, whole_tree }));
            }
            continue;
        };
        // Not held while waiting: that would keep others from adding their packages.
        drop(looking);
        waiting.lock(version_dir, &version, Mode::Exclusive)?;
        if is_still(version_dir, &version) {
            return Ok(Some(PackageLock {
                held: version,
                whole_tree: false,
            }));
        }
    }
}

impl PackageLock {
    /// Once the version's directory has been made: holds only that, and no longer the whole tree.
    ///
    /// # Errors
    /// Fails if the directory cannot be opened or locked; the lock is then as it was.
    pub(crate) fn narrow(&mut self, version_dir: &Path) -> Result<(), TransactionError> {
        if !self.whole_tree {
            return Ok(());
        }
        if let Some(version) = open(version_dir)? {
            // Nobody else can have it: they would have had to look at the tree.
            Waiting::new(&mut || ()).lock(version_dir, &version, Mode::Exclusive)?;
            self.held = version;
            self.whole_tree = false;
        }
        Ok(())
    }
}

/// Locks a directory, alone. Gives nothing if there is none.
pub(super) fn lock_directory(
    path: &Path,
    waiting: &mut dyn FnMut(),
) -> Result<Option<File>, TransactionError> {
    let mut waiting = Waiting::new(waiting);
    loop {
        let Some(directory) = open(path)? else {
            return Ok(None);
        };
        waiting.lock(path, &directory, Mode::Exclusive)?;
        if is_still(path, &directory) {
            return Ok(Some(directory));
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
}

/// Whom to tell that there is somebody to wait for, once.
struct Waiting<'a> {
    tell: Option<&'a mut dyn FnMut()>,
}

impl<'a> Waiting<'a> {
    fn new(tell: &'a mut dyn FnMut()) -> Self {
        Self { tell: Some(tell) }
    }

    fn lock(&mut self, path: &Path, file: &File, mode: Mode) -> Result<(), TransactionError> {
        let (now, later) = match mode {
            Mode::Shared => (
                FlockOperation::NonBlockingLockShared,
                FlockOperation::LockShared,
            ),
            Mode::Exclusive => (
                FlockOperation::NonBlockingLockExclusive,
                FlockOperation::LockExclusive,
            ),
        };
        let locked = match flock(file, now) {
            Err(Errno::WOULDBLOCK) => {
                if let Some(tell) = self.tell.take() {
                    tell();
                }
                retry_on_intr(|| flock(file, later))
            }
            locked => locked,
        };
        locked.map_err(|errno| error(path, errno.into()))
    }
}

fn open(path: &Path) -> Result<Option<File>, TransactionError> {
    let flags = i32::try_from(OFlags::DIRECTORY.bits()).expect("flags are few");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    match opened {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error(path, source)),
    }
}

fn is_still(path: &Path, file: &File) -> bool {
    match (path.metadata(), file.metadata()) {
        (Ok(named), Ok(open)) => named.dev() == open.dev() && named.ino() == open.ino(),
        _ => false,
    }
}

fn error(path: &Path, source: io::Error) -> TransactionError {
    let path = path.to_path_buf();
    TransactionError::Lock { path, source }
}
