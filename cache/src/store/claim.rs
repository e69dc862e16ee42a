//! Claims: files and directories under `tmp/` that are somebody's for as long as they live.
//!
//! A claim is flock'd by its owner. When the owner is dead, however it died, the lock is gone, and
//! whoever opens the cache next sweeps the claim away. Claims are made with the gate held shared and
//! swept with it held alone, so that a claim is never seen between its creation and its locking.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kiln_durable::{Disk, Temporary};
use kiln_files::is_still_itself;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::{At, StoreError};
use super::gate::{Gate, LockedFile};
use super::layout::{CLOSED, Layout};
use super::{Access, Store};

/// What a claim is for; the first part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A store's temporary files.
    Work,
    /// A caller's scratch directory.
    Scratch,
    /// A running process's hold on what it has planned to use.
    Lease,
    /// The right to run one action.
    Action,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::Work, Self::Scratch, Self::Lease, Self::Action];

    fn prefix(self) -> &'static str {
        match self {
            Self::Work => "work-",
            Self::Scratch => "scratch-",
            Self::Lease => "lease-",
            Self::Action => "action-",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| name.starts_with(purpose.prefix()))
    }
}

/// A claim, given up and removed when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    disk: Disk,
    /// None of what can have no owner.
    _lock: Option<LockedFile>,
}

impl Claim {
    /// Makes a directory of our own, which nobody else can open and so lock before us.
    pub(crate) fn directory(
        store: &Store,
        purpose: Purpose,
        label: &str,
    ) -> Result<Self, StoreError> {
        let layout = store.layout();
        let _gate = Gate::shared(layout, Access::Write)?;
        let path = layout.tmp().join(unique(purpose, label));
        store.disk().make_directory(&path, CLOSED)?;
        let file = File::open(&path).at(&path)?;
        let lock = LockedFile::lock(file, FlockOperation::NonBlockingLockExclusive).at(&path)?;
        Ok(Self::held(store, path, lock))
    }

    /// Makes a file of our own.
    pub(crate) fn file(store: &Store, purpose: Purpose) -> Result<Self, StoreError> {
        let layout = store.layout();
        let _gate = Gate::shared(layout, Access::Write)?;
        let path = layout.tmp().join(unique(purpose, ""));
        let lock = LockedFile::open(&path, FlockOperation::NonBlockingLockExclusive).at(&path)?;
        Ok(Self::held(store, path, lock))
    }

    /// Takes the one claim of this name, unless somebody has it.
    pub(crate) fn named(
        store: &Store,
        purpose: Purpose,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        let layout = store.layout();
        let _gate = Gate::shared(layout, Access::Write)?;
        let path = layout.tmp().join(format!("{}{name}", purpose.prefix()));
        loop {
            let lock = match LockedFile::open(&path, FlockOperation::NonBlockingLockExclusive) {
                Ok(lock) => lock,
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(StoreError::io(&path, errno.into())),
            };
            // Its last owner may have removed the file between our opening and our locking it.
            if is_still_itself(&path, lock.file()) {
                return Ok(Some(Self::held(store, path, lock)));
            }
        }
    }

    fn held(store: &Store, path: PathBuf, lock: LockedFile) -> Self {
        Self {
            path,
            disk: store.disk().clone(),
            _lock: Some(lock),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked meanwhile. What cannot be removed now is swept by whoever opens the cache next.
        let _ = self.disk.remove_tree(&self.path);
    }
}

/// A name that no other claim has: process, moment and a counter.
fn unique(purpose: Purpose, label: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let moment = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos());
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let prefix = purpose.prefix();
    let pid = process::id();
    // A label with a slash would lead elsewhere.
    let label = label.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
    format!("{prefix}{label}-{pid}-{moment:x}-{count}")
}

/// Removes what dead processes left behind; how many claims that were. Does nothing when others are
/// busy with the cache just now: whoever comes next will do it.
pub(crate) fn sweep(store: &Store) -> Result<u64, StoreError> {
    let layout = store.layout();
    let Some(gate) = Gate::try_alone(layout)? else {
        return Ok(0);
    };
    let dead: Vec<_> = claims(layout)?
        .into_iter()
        .filter_map(|(_, path)| {
            let lock = match owner(&path) {
                Owner::Alive => return None,
                Owner::Dead(lock) => Some(lock),
                Owner::Impossible => None,
            };
            let disk = store.disk().clone();
            Some(Claim {
                path,
                disk,
                _lock: lock,
            })
        })
        .collect();
    for entry in std::fs::read_dir(layout.tmp()).at(&layout.tmp())? {
        let path = entry.at(&layout.tmp())?.path();
        // Those who are making a cache hold the gate shared.
        if Temporary::is_name_of_one(&path) {
            store.disk().remove_tree(&path)?;
        }
    }
    // Being locked by us now, they can be removed at leisure.
    drop(gate);
    Ok(dead.len() as u64)
}

/// When the oldest lease of a living process began. To be called with the gate held alone.
pub(crate) fn oldest_lease(layout: &Layout) -> Result<Option<SystemTime>, StoreError> {
    let mut oldest: Option<SystemTime> = None;
    for (purpose, path) in claims(layout)? {
        if purpose != Purpose::Lease || !matches!(owner(&path), Owner::Alive) {
            continue;
        }
        // Gone since it was listed means given up.
        let Ok(began) = path.symlink_metadata().and_then(|lease| lease.modified()) else {
            continue;
        };
        oldest = Some(oldest.map_or(began, |oldest| oldest.min(began)));
    }
    Ok(oldest)
}

fn claims(layout: &Layout) -> Result<Vec<(Purpose, PathBuf)>, StoreError> {
    let tmp = layout.tmp();
    let mut claims = Vec::new();
    for entry in std::fs::read_dir(&tmp).at(&tmp)? {
        let entry = entry.at(&tmp)?;
        if let Some(purpose) = entry.file_name().to_str().and_then(Purpose::of) {
            claims.push((purpose, entry.path()));
        }
    }
    Ok(claims)
}

/// Whether a claim is somebody's.
enum Owner {
    Alive,
    /// With the claim's lock, which is ours now.
    Dead(LockedFile),
    /// It is neither file nor directory, so nobody has made it as a claim.
    Impossible,
}

fn owner(path: &Path) -> Owner {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() || found.is_dir() => {}
        Ok(_) => return Owner::Impossible,
        // Given up meanwhile, which its owner does alive.
        Err(_) => return Owner::Alive,
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .and_then(|file| LockedFile::lock(file.into(), FlockOperation::NonBlockingLockExclusive))
        .map_or(Owner::Alive, Owner::Dead)
}
