//! The store: objects and records as plain files, written to last and verified when read.
//!
//! The files are the truth; the index is only speed. A reader sees a whole outcome or none, a bad file
//! is a miss, and several processes may work on one cache. How a crash at any step leaves the store is
//! in `docs/crash-behaviour.md`, the layout in `docs/cache-format.md`.

mod claim;
mod damage;
mod error;
mod gate;
mod gc;
mod layout;
mod lease;
mod listing;
mod objects;
mod publication;
mod records;
mod restore;
mod shards;
mod stats;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kiln_durable::Disk;

pub use damage::{Damage, DamagedItem};
pub use error::StoreError;
pub(crate) use gate::LockedFile;
pub use gc::{GcOptions, GcReport};
pub use layout::STORE_FORMAT;
pub use lease::{ActionLock, Lease, Scratch};
pub use objects::copy;
pub use publication::Publication;
pub use records::Records;
pub(crate) use records::nearer;
pub use restore::{FileMode, Syncing};
pub use stats::{KindStats, Stats};
pub use verify::{VerifyMode, VerifyReport};

use claim::{Claim, Purpose};
use damage::DamageLog;
use layout::Layout;
use shards::Shards;

/// Whether a store may change its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// One cache directory. Shared between threads by reference; every method may be called from any.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    access: Access,
    disk: Disk,
    damage: DamageLog,
    shards: Shards,
    /// Where temporary files go and the hold on what was put, made at the first write.
    work: Mutex<Option<Work>>,
}

#[derive(Debug)]
struct Work {
    directory: Claim,
    /// Keeps objects that were put from being collected before a record names them.
    _lease: Lease,
}

impl Store {
    /// Opens the cache in a directory, which is made with its parents if it is not there.
    ///
    /// Also removes what processes that died left in `tmp/`.
    ///
    /// # Errors
    ///
    /// A cache that is read-only, belongs to another user, may be written by others, is of a newer
    /// format, or is not a cache at all is refused, and nothing in it is touched.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_on(Disk::default(), directory)
    }

    /// As [`Store::open`], with everything but the index written to a disk that may be watched.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_on(disk: Disk, directory: &Path) -> Result<Self, StoreError> {
        let store = Self::new(disk, directory, Access::Write);
        store.layout.prepare(&store.disk)?;
        claim::sweep(&store)?;
        Ok(store)
    }

    /// Opens a cache for reading alone: nothing is ever changed, damage included.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when there is none; otherwise as [`Store::open`], but that a cache is
    /// read-only is no error.
    pub fn open_reading(directory: &Path) -> Result<Self, StoreError> {
        let store = Self::new(Disk::default(), directory, Access::Read);
        store.layout.prepare_reading()?;
        Ok(store)
    }

    fn new(disk: Disk, directory: &Path, access: Access) -> Self {
        Self {
            layout: Layout::new(directory),
            access,
            disk,
            damage: DamageLog::default(),
            shards: Shards::default(),
            work: Mutex::new(None),
        }
    }

    /// The cache directory, as it was given.
    pub fn directory(&self) -> &Path {
        self.layout.root()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The disk that it writes to, for what else is kept in its directory.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn damage(&self) -> &DamageLog {
        &self.damage
    }

    pub(crate) fn require_write(&self) -> Result<(), StoreError> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(StoreError::ReadOnly {
                path: self.layout.root().to_path_buf(),
            }),
        }
    }

    /// Our own directory for temporary files.
    pub(crate) fn work(&self) -> Result<PathBuf, StoreError> {
        self.require_write()?;
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = &*work {
            return Ok(work.directory.path().to_path_buf());
        }
        let made = Work {
            directory: Claim::directory(self, Purpose::Work, "")?,
            _lease: self.lease()?,
        };
        let path = made.directory.path().to_path_buf();
        *work = Some(made);
        Ok(path)
    }
}
