//! The digests of system files, remembered between runs by their stat identity.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use kiln_cache::{FileSnapshot, Index, ObjectDigest, ScanError, scan_file};
use kiln_kernel::toolbox::SystemRoot;
use kiln_sandbox::Layout;

use super::everything::{Everything, Reach};

/// The name under which they are kept in the index, all in one value.
const NAME: &str = "system files";

/// What a look at everything is of.
type Scene = (PathBuf, PathBuf, Reach);

/// What is known of system files; shared by all threads of a run.
#[derive(Debug, Default)]
pub struct SystemFiles {
    known: Mutex<Known>,
    /// By system, source tree and reach: when a look began, and what it found.
    everything: Mutex<HashMap<Scene, (Instant, Everything)>>,
}

#[derive(Debug, Default)]
struct Known {
    snapshots: HashMap<PathBuf, FileSnapshot>,
    loaded: bool,
    changed: bool,
}

impl SystemFiles {
    /// Takes over what an earlier run knew, once.
    pub fn load(&self, index: Option<&Index>) {
        let mut known = self.lock();
        if let (false, Some(index)) = (known.loaded, index) {
            known.loaded = true;
            // Without it files are read again.
            for snapshot in index.files(NAME).ok().flatten().unwrap_or_default() {
                known.snapshots.entry(snapshot.path()).or_insert(snapshot);
            }
        }
    }

    /// Whether an earlier run's knowledge was taken over.
    pub fn is_loaded(&self) -> bool {
        self.lock().loaded
    }

    /// Whether there is something new to keep.
    pub fn is_changed(&self) -> bool {
        self.lock().changed
    }

    /// Keeps what is known for the next run.
    pub fn save(&self, index: Option<&Index>) {
        self.load(index);
        let mut known = self.lock();
        if let (true, Some(index)) = (known.changed, index) {
            let mut snapshots: Vec<FileSnapshot> = known.snapshots.values().cloned().collect();
            snapshots.sort_by_key(FileSnapshot::path);
            known.changed = index.put_files(NAME, &snapshots).is_err();
        }
    }

    /// The digest of a file's content, links followed.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or changes while it is.
    pub fn digest(&self, path: &Path) -> Result<ObjectDigest, ScanError> {
        let previous = self.lock().snapshots.get(path).cloned();
        let scan = scan_file(path, previous.as_ref())?;
        let digest = scan.snapshot.digest();
        if scan.read {
            let mut known = self.lock();
            known.changed = true;
            known.snapshots.insert(path.to_owned(), scan.snapshot);
        }
        Ok(digest)
    }

    /// Everything that a sandbox shows, at a moment that is not before `ended`: one look serves all actions that had ended
    /// when it began.
    ///
    /// # Errors
    /// Fails if a directory cannot be listed.
    pub(super) fn everything(
        &self,
        layout: &Layout,
        system: &SystemRoot,
        reach: Reach,
        ended: Instant,
    ) -> Result<Everything, ScanError> {
        let everything = self.everything.lock();
        let mut everything = everything.unwrap_or_else(PoisonError::into_inner);
        // Covers are the same for all layouts of a system, but for the source tree.
        let place = system.directory().to_owned();
        let place = (place, layout.source_tree.clone(), reach);
        match everything.get(&place) {
            Some((began, known)) if *began >= ended => return Ok(known.clone()),
            _ => {}
        }
        let began = Instant::now();
        let found = Everything::look(layout, system, reach)?;
        everything.insert(place, (began, found.clone()));
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
