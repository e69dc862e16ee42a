//! The gate between those who use entries and the one who deletes some.
//!
//! Whoever looks an entry up and marks it as used, or gives one its name, holds the gate shared, for
//! microseconds. Whoever decides that an entry is unused and deletes it holds it alone. It is a flock,
//! so it vanishes with its holder.

use std::fs::File;
use std::path::Path;

use kiln_durable::Disk;
use kiln_durable::regular::{self, Unreadable};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::Access;
use super::error::{At, StoreError};
use super::layout::{Layout, SHARED};

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

enum Unlockable {
    NotRegular,
    System(Errno),
}

fn open_or_make(path: &Path) -> Result<File, Unlockable> {
    loop {
        match regular::open(path, u64::MAX) {
            Ok((file, _)) => return Ok(file),
            Err(Unreadable::Missing) => {}
            Err(Unreadable::NotRegular | Unreadable::TooLarge) => {
                return Err(Unlockable::NotRegular);
            }
            Err(Unreadable::System(error)) => return Err(Unlockable::System(errno_of(&error))),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::from_raw_mode(SHARED)) {
            Ok(file) => return Ok(File::from(file)),
            // Somebody was faster.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Unlockable::System(errno)),
        }
    }
}

/// Removes what is no file. Under the directory's own lock, lest the file be removed that another process has
/// made in its place and locked.
fn make_way(path: &Path) -> Result<(), Errno> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let directory = File::open(directory).map_err(|error| errno_of(&error))?;
    let _lock = LockedFile::lock(directory, FlockOperation::LockExclusive)?;
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
