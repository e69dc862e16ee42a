//! The gate between those who use entries and the one who deletes some.
//!
//! Whoever looks an entry up and marks it as used, or gives one its name, holds the gate shared, for
//! microseconds. Whoever decides that an entry is unused and deletes it holds it alone. It is a flock,
//! so it vanishes with its holder. Nobody but the cache's owner can open the files that are locked: who may read one could
//! hold it for ever. Other users read the cache without the gate, and miss what is collected meanwhile.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kiln_durable::Disk;
use kiln_durable::regular::{self, Unreadable};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::Access;
use super::error::{At, StoreError};
use super::layout::{LOCKABLE, Layout};

/// The gate, held until dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    _file: Option<LockedFile>,
}

impl Gate {
    /// Waits until nobody is deleting. A cache that cannot be written may lack a gate.
    pub(crate) fn shared(layout: &Layout, access: Access) -> Result<Self, StoreError> {
        let path = layout.gate();
        let file = match access {
            Access::Write => Some(LockedFile::open(&path, FlockOperation::LockShared).at(&path)?),
            Access::Read => regular::open(&path, u64::MAX)
                .ok()
                .and_then(|(file, _)| LockedFile::lock(file, FlockOperation::LockShared).ok()),
        };
        Ok(Self { _file: file })
    }

    /// Waits until nobody is using an entry.
    pub(crate) fn alone(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.gate();
        let file = LockedFile::open(&path, FlockOperation::LockExclusive).at(&path)?;
        Ok(Self { _file: Some(file) })
    }

    /// Like [`Gate::alone`], but gives up at once.
    pub(crate) fn try_alone(layout: &Layout) -> Result<Option<Self>, StoreError> {
        let path = layout.gate();
        match LockedFile::open(&path, FlockOperation::NonBlockingLockExclusive) {
            Ok(file) => Ok(Some(Self { _file: Some(file) })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(StoreError::io(&path, errno.into())),
        }
    }
}

/// A file under flock until dropped.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    /// Opens a file, made if need be, and locks it. Whatever else has its name gives way.
    pub(crate) fn open(path: &Path, operation: FlockOperation) -> Result<Self, Errno> {
        let file = match open_or_make(path) {
            Err(Unlockable::NotRegular) => {
                make_way(path)?;
                open_or_make(path)
            }
            opened => opened,
        };
        match file {
            Ok(file) => Self::lock(file, operation),
            Err(Unlockable::NotRegular) => Err(Errno::ISDIR),
            Err(Unlockable::System(errno)) => Err(errno),
        }
    }

    /// Locks a file or directory that is open.
    pub(crate) fn lock(file: File, operation: FlockOperation) -> Result<Self, Errno> {
        retry_on_intr(|| flock(&file, operation))?;
        Ok(Self(file))
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Closing would do, were it not for children between fork and exec, which share the file.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// How long a directory is waited for that others may have locked; kiln has it for a moment only.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is tried.
const POLL: Duration = Duration::from_millis(5);

enum Unlockable {
    NotRegular,
    System(Errno),
}

fn open_or_make(path: &Path) -> Result<File, Unlockable> {
    loop {
        match regular::open(path, u64::MAX) {
            Ok((file, metadata)) => return close(file, &metadata).map_err(Unlockable::System),
            Err(Unreadable::Missing) => {}
            Err(Unreadable::NotRegular | Unreadable::TooLarge) => {
                return Err(Unlockable::NotRegular);
            }
            Err(Unreadable::System(error)) => return Err(Unlockable::System(errno_of(&error))),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::from_raw_mode(LOCKABLE)) {
            Ok(file) => return Ok(File::from(file)),
            // Somebody was faster.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Unlockable::System(errno)),
        }
    }
}

/// Closes a lock file that an earlier version made readable for all.
fn close(file: File, metadata: &Metadata) -> Result<File, Errno> {
    if metadata.mode() & 0o7777 & !LOCKABLE != 0 {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(LOCKABLE))?;
    }
    Ok(file)
}

/// Removes what is no file. Under the directory's own lock, lest the file be removed that another process has
/// made in its place and locked.
fn make_way(path: &Path) -> Result<(), Errno> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let directory = File::open(directory).map_err(|error| errno_of(&error))?;
    let deadline = Instant::now() + PATIENCE;
    // Whoever may read the directory can hold it for ever.
    let operation = FlockOperation::NonBlockingLockExclusive;
    while let Err(errno) = retry_on_intr(|| flock(&directory, operation)) {
        if errno != Errno::WOULDBLOCK {
            return Err(errno);
        }
        if Instant::now() > deadline {
            return Err(Errno::BUSY);
        }
        thread::sleep(POLL);
    }
    let _lock = LockedFile(directory);
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => Disk::default()
            .remove_tree(path)
            .map_err(|failure| errno_of(&failure.source)),
        _ => Ok(()),
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
