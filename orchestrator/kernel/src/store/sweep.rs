//! Making room: unpacked packages that were not used for long go, for they can be unpacked again.
//!
//! When an entry was last used is the time of its description. One that was used within the last day
//! stays whatever is asked: a running process may be building with it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use kiln_durable::regular;

use super::{
    KernelStore, KernelStoreError, TEMPORARY,
    entry::{DESCRIPTION, DESCRIPTION_LIMIT},
    io_error,
};

/// What is not touched for this long is not in use.
const IN_USE: Duration = Duration::from_secs(86_400);

/// What of the store may stay.
#[derive(Debug, Clone, Copy, Default)]
pub struct SweepOptions {
    /// How many bytes, if there is a limit; those used last stay.
    pub max_size: Option<u64>,
    /// How long what stays may not have been used, if there is a limit.
    pub older_than: Option<Duration>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// How many unpacked packages went.
    pub removed: u64,
    /// How many bytes that freed.
    pub freed: u64,
    /// How many bytes are left.
    pub kept_bytes: u64,
}

struct Unpacked {
    path: PathBuf,
    bytes: u64,
    idle: Duration,
}

impl KernelStore {
    /// Removes what was not used for longest.
    ///
    /// # Errors
    /// Fails if the store cannot be read, or something in it not be removed.
    pub fn sweep(&self, options: &SweepOptions) -> Result<SweepReport, KernelStoreError> {
        let _lock = self.lock()?;
        self.remove_leftovers();
        let mut all = self.unpacked()?;
        all.sort_by_key(|entry| entry.idle);
        let mut report = SweepReport::default();
        let mut aside = Vec::new();
        for entry in all {
            let too_old = options.older_than.is_some_and(|limit| entry.idle > limit);
            let kept = report.kept_bytes.saturating_add(entry.bytes);
            let too_much = options.max_size.is_some_and(|limit| kept > limit);
            if entry.idle < IN_USE || !(too_old || too_much) {
                report.kept_bytes = kept;
                continue;
            }
            // Never half an entry under its name.
            let name = entry.path.file_name().unwrap_or_default();
            let away = self.directory.join(TEMPORARY).join(name);
            self.disk.remove_tree(&away)?;
            self.disk.rename(&entry.path, &away)?;
            aside.push((away, entry.bytes));
        }
        if !aside.is_empty() {
            // Nor after a power failure.
            self.disk.sync_directory(&self.directory)?;
        }
        for (path, bytes) in aside {
            self.disk.remove_tree(&path)?;
            report.removed += 1;
            report.freed += bytes;
        }
        Ok(report)
    }

    fn unpacked(&self) -> Result<Vec<Unpacked>, KernelStoreError> {
        let mut found = Vec::new();
        let entries = fs::read_dir(&self.directory).map_err(io_error(&self.directory))?;
        for entry in entries {
            let path = entry.map_err(io_error(&self.directory))?.path();
            if path.ends_with(TEMPORARY) {
                continue;
            }
            let used =
                fs::symlink_metadata(path.join(DESCRIPTION)).and_then(|file| file.modified());
            // One without a description is of no use to anybody.
            let used = used.unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Unpacked {
                bytes: size(&path),
                idle: used.elapsed().unwrap_or_default(),
                path,
            });
        }
        Ok(found)
    }
}

/// Notes that an entry is used.
pub(super) fn touch(place: &Path) {
    // Where that is not possible the entry goes earlier, and is unpacked again.
    if let Ok((description, _)) = regular::open(&place.join(DESCRIPTION), DESCRIPTION_LIMIT) {
        let _ = description.set_modified(SystemTime::now());
    }
}

/// The room that a tree takes on the disk.
fn size(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own = found.blocks() * 512;
    if !found.is_dir() {
        return own;
    }
    let children = fs::read_dir(path).into_iter().flatten().flatten();
    own + children.map(|child| size(&child.path())).sum::<u64>()
}
