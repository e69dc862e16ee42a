//! Locks on directories: one transaction a kernel, one process a package.
//!
//! A lock is an flock, free the moment its process is gone, however it went. Whoever may read a directory can lock it, and hold
//! it for ever; so what root waits for is a file that stands for the directory (`stand_in.rs`), which only root can open.
//! The directory itself is locked besides, where that can be had: another root may have another /run. Without such a file, and for who is
//! not root, it is the lock. Whoever has a lock has checked that the directory is still the one of that name. A process must
//! not take the same lock twice.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use kiln_files::is_still;
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::{Errno, retry_on_intr},
};

use super::{error::TransactionError, stand_in::StandIn};

/// How often a directory is tried that somebody has locked who may be anybody: for 20 seconds in the life of a process, longer
/// than most transactions take.
static TRIES: AtomicU32 = AtomicU32::new(if cfg!(test) { 20 } else { 400 });

const POLL: Duration = Duration::from_millis(50);

/// A directory that is locked, until dropped.
#[derive(Debug)]
pub(crate) struct Held {
    directory: File,
    /// Released last: who waits for it finds the directory free.
    _stand_in: Option<StandIn>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would do, were it not for children between fork and exec, which share the descriptor.
        let _ = flock(&self.directory, FlockOperation::Unlock);
    }
}

/// The right to change one version of a package in the DKMS tree, until dropped.
#[derive(Debug)]
pub struct PackageLock {
    held: Held,
    whole_tree: bool,
}

/// Locks `<dkms_tree>/<module>/<version>`, or the whole DKMS tree as long as that directory does not exist.
/// `waiting` is called once if another process has it. Gives nothing where there is no DKMS tree either.
///
/// Whoever locks several packages does so in one order everywhere, and before any kernel.
///
/// # Errors
/// Fails if a directory cannot be opened or locked.
pub fn lock_package(
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
        let looking = waiting.lock(tree, looking, Mode::Shared)?;
        let Some(version) = open(version_dir)? else {
            drop(looking);
            let Some(held) = open(tree)? else {
                return Ok(None);
            };
            let held = waiting.lock(tree, held, Mode::Exclusive)?;
            if is_still(tree, &held.directory) && !version_dir.exists() {
                let whole_tree = true;
                return Ok(Some(PackageLock { held, whole_tree }));
            }
            continue;
        };
        // Not held while waiting: that would keep others from adding their packages.
        drop(looking);
        let version = waiting.lock(version_dir, version, Mode::Exclusive)?;
        if is_still(version_dir, &version.directory) {
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
    pub fn narrow(&mut self, version_dir: &Path) -> Result<(), TransactionError> {
        if !self.whole_tree {
            return Ok(());
        }
        if let Some(version) = open(version_dir)? {
            // Nobody else can have it: they would have had to look at the tree.
            self.held = Waiting::new(&mut || ()).lock(version_dir, version, Mode::Exclusive)?;
            self.whole_tree = false;
        }
        Ok(())
    }
}

/// Locks a directory, alone. Gives nothing if there is none.
pub(super) fn lock_directory(
    path: &Path,
    waiting: &mut dyn FnMut(),
) -> Result<Option<Held>, TransactionError> {
    let mut waiting = Waiting::new(waiting);
    loop {
        let Some(directory) = open(path)? else {
            return Ok(None);
        };
        let directory = waiting.lock(path, directory, Mode::Exclusive)?;
        if is_still(path, &directory.directory) {
            return Ok(Some(directory));
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
}

impl Mode {
    /// Not waiting, and waiting.
    fn operations(self) -> (FlockOperation, FlockOperation) {
        match self {
            Self::Shared => (
                FlockOperation::NonBlockingLockShared,
                FlockOperation::LockShared,
            ),
            Self::Exclusive => (
                FlockOperation::NonBlockingLockExclusive,
                FlockOperation::LockExclusive,
            ),
        }
    }
}

/// Whom to tell that there is somebody to wait for, once.
struct Waiting<'a> {
    tell: Option<&'a mut dyn FnMut()>,
}

impl<'a> Waiting<'a> {
    fn new(tell: &'a mut dyn FnMut()) -> Self {
        Self { tell: Some(tell) }
    }

    fn lock(&mut self, path: &Path, directory: File, mode: Mode) -> Result<Held, TransactionError> {
        let stand_in = loop {
            let opened = StandIn::of(&directory).map_err(|source| error(path, source))?;
            let Some(stand_in) = opened else {
                break None;
            };
            self.wait(path, stand_in.file(), mode)?;
            // Whoever had it before removes it.
            if stand_in.is_named() {
                break Some(stand_in);
            }
        };
        match stand_in {
            Some(_) => self.lock_besides(&directory, mode),
            None => self.wait(path, &directory, mode)?,
        }
        Ok(Held {
            directory,
            _stand_in: stand_in,
        })
    }

    /// Waits for a lock as long as it takes.
    fn wait(&mut self, path: &Path, file: &File, mode: Mode) -> Result<(), TransactionError> {
        let (now, later) = mode.operations();
        let locked = match flock(file, now) {
            Err(Errno::WOULDBLOCK) => {
                self.tell();
                retry_on_intr(|| flock(file, later))
            }
            locked => locked,
        };
        locked.map_err(|errno| error(path, errno.into()))
    }

    /// Locks a directory whose stand-in we have. Others do not count for longer than they may be who ought to.
    fn lock_besides(&mut self, directory: &File, mode: Mode) {
        let (now, _) = mode.operations();
        while flock(directory, now).is_err() {
            self.tell();
            let try_again = |tries: u32| tries.checked_sub(1);
            let left = TRIES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, try_again);
            if left.is_err() {
                return;
            }
            thread::sleep(POLL);
        }
    }

    fn tell(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell();
        }
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

fn error(path: &Path, source: io::Error) -> TransactionError {
    let path = path.to_path_buf();
    TransactionError::Lock { path, source }
}
