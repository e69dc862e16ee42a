//! The gate between those who use entries and the one who deletes some.
//!
//! Whoever looks an entry up and marks it as used, or gives one its name, holds the gate shared, for
//! microseconds. Whoever decides that an entry is unused and deletes it holds it alone. It is a flock,
//! so it vanishes with its holder.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::error::{At, StoreError};
use super::layout::Layout;
use super::{Access, durable};

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
            Access::Read => File::open(&path)
                .ok()
                .and_then(|file| LockedFile::lock(file, FlockOperation::LockShared).ok()),
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
    /// Opens a file, made if need be, and locks it.
    pub(crate) fn open(path: &Path, operation: FlockOperation) -> Result<Self, Errno> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.mode(durable::SHARED).open(path);
        Self::lock(file.map_err(errno_of)?, operation)
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

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
