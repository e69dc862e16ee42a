//! The directories that entries are in: made at first need, and known to last before an entry is.
//!
//! One that is there already may have been made by another process a moment ago, and be gone after a power
//! failure with all that is in it. So a process syncs the name of each shard before it uses it first, and
//! once those of the cache itself, whoever has made them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kiln_durable::Failure;

use super::error::StoreError;
use super::layout::DIRECTORY;
use super::{Store, listing};

/// The shards that this process knows to last.
#[derive(Debug, Default)]
pub(crate) struct Shards(Mutex<HashSet<PathBuf>>);

impl Store {
    /// Makes sure that the shards of some entries are there, to last.
    pub(crate) fn ensure_shards(&self, entries: &[PathBuf]) -> Result<(), StoreError> {
        let mut lasting = self.shards.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = lasting.is_empty();
        let mut changed: Vec<PathBuf> = Vec::new();
        for shard in entries.iter().filter_map(|entry| entry.parent()) {
            let is_there = is_directory(shard);
            if is_there && lasting.contains(shard) {
                continue;
            }
            if !is_there {
                self.make_shard(shard)?;
            }
            changed.extend(shard.parent().map(Path::to_path_buf));
        }
        if changed.is_empty() {
            return Ok(());
        }
        changed.sort_unstable();
        changed.dedup();
        // All that is there now lasts after the sync, not only what was asked for.
        let mut found = Vec::new();
        for directory in &changed {
            found.extend(listing::shards(directory)?);
        }
        if is_first {
            self.sync_root()?;
        }
        let changed = changed.iter().map(PathBuf::as_path);
        self.disk().sync_directories(changed)?;
        lasting.extend(found);
        Ok(())
    }

    fn make_shard(&self, shard: &Path) -> Result<(), StoreError> {
        // What is there and no directory has no entries to lose.
        if shard.symlink_metadata().is_ok() && !is_directory(shard) {
            self.disk().remove(shard)?;
        }
        Ok(self.disk().make_directory(shard, DIRECTORY)?)
    }

    /// Makes the cache itself last.
    fn sync_root(&self) -> Result<(), StoreError> {
        let root = self.layout().root();
        self.disk().sync_directory(root)?;
        let Some(parent) = root.parent() else {
            return Ok(());
        };
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        match self.disk().sync_directory(parent) {
            // Whoever may not read it has not made the cache in it.
            Err(Failure { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Ok(())
            }
            synced => Ok(synced?),
        }
    }
}

/// Whether there is a directory, and no link to one.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
}
