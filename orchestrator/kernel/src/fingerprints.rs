//! Digests of trees and files, remembered between runs by their stat identity.
//!
//! Holds the index open while planning; [`Fingerprints::close`] must come before anything
//! slow runs, so that two kiln processes can take turns. Without the index everything is
//! read anew: slower, never wrong.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kiln_cache::{
    ActionKind, ActionRecord, Cost, FileSnapshot, Index, ObjectDigest, ScanError, ScanOptions,
    Spot, Stop, Store, StoreError, Subject, TreeScan, scan_file_until, scan_tree,
};
use kiln_durable::regular;
use kiln_scheduler::CancelToken;

use crate::witness::Witness;

/// How long a run waits for another process to let go of the index.
pub const INDEX_WAIT: Duration = Duration::from_millis(500);

/// The name under which single files are kept, all in one value.
const FILES: &str = "files";

/// Why something could not be fingerprinted.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// A tree or file cannot be read, or changes while it is.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// What an unchanged `stat` is worth to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The content is what it was.
    Stat,
    /// Nothing: all is read again.
    Nothing,
}

/// The digests that one run works with: each tree is looked at once.
pub struct Fingerprints<'s> {
    store: &'s Store,
    /// Whether what looks as before is taken for what it was.
    trust: Trust,
    index: Option<Index>,
    trees: HashMap<PathBuf, Arc<TreeScan>>,
    files: HashMap<PathBuf, FileSnapshot>,
    /// What this run's keys are made of, so that one check serves all keys that share it.
    tree_witnesses: HashMap<PathBuf, Arc<Witness>>,
    file_witnesses: HashMap<PathBuf, Arc<Witness>>,
    spot_witnesses: HashMap<PathBuf, Arc<Witness>>,
    files_loaded: bool,
    files_changed: bool,
    costs: Option<Vec<(Subject, Cost)>>,
    /// When nothing more is read.
    stop: Stop,
}

impl<'s> Fingerprints<'s> {
    /// Starts without opening anything.
    pub fn new(store: &'s Store) -> Self {
        Self {
            store,
            trust: Trust::Stat,
            index: None,
            trees: HashMap::new(),
            files: HashMap::new(),
            tree_witnesses: HashMap::new(),
            file_witnesses: HashMap::new(),
            spot_witnesses: HashMap::new(),
            files_loaded: false,
            files_changed: false,
            costs: None,
            stop: Stop::default(),
        }
    }

    /// The same with another trust.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// The same, reading no longer than until it is cancelled.
    #[must_use]
    pub fn heeding(self, cancel: &CancelToken) -> Self {
        let cancel = cancel.clone();
        let stop = Stop::when(move || cancel.is_cancelled());
        Self { stop, ..self }
    }

    /// The store that the fingerprints are kept with.
    pub fn store(&self) -> &'s Store {
        self.store
    }

    /// The index, opened at need; none if another process holds on to it.
    pub fn index(&mut self) -> Option<&Index> {
        if self.index.is_none() {
            // Without its index the cache is slower and still right.
            self.index = Index::burst(self.store, INDEX_WAIT).unwrap_or_default();
        }
        self.index.as_ref()
    }

    /// Lets other processes have the index.
    pub fn close(&mut self) {
        if self.files_changed {
            self.files_changed = false;
            let mut files: Vec<FileSnapshot> = self.files.values().cloned().collect();
            files.sort_by_key(FileSnapshot::path);
            if let Some(index) = self.index() {
                let _ = index.put_files(FILES, &files);
            }
        }
        self.index = None;
    }

    /// The fingerprint of a directory tree.
    ///
    /// # Errors
    /// Fails if the tree cannot be read or changes while it is.
    pub fn tree(&mut self, path: &Path) -> Result<Arc<TreeScan>, FingerprintError> {
        if let Some(scan) = self.trees.get(path) {
            return Ok(Arc::clone(scan));
        }
        let name = path.as_os_str().as_bytes().to_owned();
        let previous = match self.trust {
            Trust::Stat => self
                .index()
                .and_then(|index| index.tree(&name).unwrap_or_default()),
            Trust::Nothing => None,
        };
        let options = ScanOptions {
            stop: self.stop.clone(),
            ..ScanOptions::default()
        };
        let scan = scan_tree(path, previous.as_ref(), &options)?;
        let known = scan.unchanged && scan.files_read == 0;
        if !known && let Some(index) = self.index() {
            let _ = index.put_tree(&name, &scan.snapshot);
        }
        let scan = Arc::new(scan);
        self.trees.insert(path.to_owned(), Arc::clone(&scan));
        Ok(scan)
    }

    /// Forgets what this run has seen below a directory that was replaced.
    pub(crate) fn forget_below(&mut self, directory: &Path) {
        self.trees.retain(|path, _| !path.starts_with(directory));
        (self.tree_witnesses).retain(|path, _| !path.starts_with(directory));
    }

    /// A directory tree as a part of a key.
    ///
    /// # Errors
    /// As [`Fingerprints::tree`].
    pub fn tree_witness(&mut self, path: &Path) -> Result<Arc<Witness>, FingerprintError> {
        if let Some(witness) = self.tree_witnesses.get(path) {
            return Ok(Arc::clone(witness));
        }
        let witness = Arc::new(Witness::tree(path.to_owned(), self.tree(path)?));
        (self.tree_witnesses).insert(path.to_owned(), Arc::clone(&witness));
        Ok(witness)
    }

    /// The directory in which the machine's owner has files in place of packages' own, as a part of a key.
    ///
    /// # Errors
    /// As [`Fingerprints::tree`], and if a link to a conf in it leads to what bash would wait for.
    pub fn overrides_witness(
        &mut self,
        directory: &Path,
    ) -> Result<Arc<Witness>, FingerprintError> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink())) {
            let path = entry.path();
            let is_conf = path.extension().is_some_and(|ending| ending == "conf");
            let is_file = |found: Metadata| found.is_file() || regular::is_null(&found);
            // What leads nowhere, or to a directory, counts as nothing there.
            if is_conf
                && path
                    .metadata()
                    .is_ok_and(|found| !found.is_dir() && !is_file(found))
            {
                return Err(ScanError::NotRegular { path }.into());
            }
        }
        self.tree_witness(directory)
    }

    /// A file as a part of a key, links followed.
    ///
    /// # Errors
    /// As [`Fingerprints::file`].
    pub fn file_witness(&mut self, path: &Path) -> Result<Arc<Witness>, FingerprintError> {
        if let Some(witness) = self.file_witnesses.get(path) {
            return Ok(Arc::clone(witness));
        }
        let witness = Arc::new(Witness::file(self.file_snapshot(path)?));
        (self.file_witnesses).insert(path.to_owned(), Arc::clone(&witness));
        Ok(witness)
    }

    /// What stands at a path, or that nothing does, as a part of a key.
    ///
    /// # Errors
    /// Fails if the path cannot be looked at.
    pub fn spot_witness(&mut self, path: &Path) -> Result<Arc<Witness>, FingerprintError> {
        if let Some(witness) = self.spot_witnesses.get(path) {
            return Ok(Arc::clone(witness));
        }
        let spot = Spot::look_at(path).map_err(|source| ScanError::Io {
            path: path.to_owned(),
            source,
        })?;
        let witness = Arc::new(Witness::spot(spot));
        (self.spot_witnesses).insert(path.to_owned(), Arc::clone(&witness));
        Ok(witness)
    }

    /// Takes over the fingerprint of a directory tree that was scanned before it had this path.
    pub(crate) fn adopt(&mut self, path: PathBuf, scan: TreeScan) {
        if let Some(index) = self.index() {
            let _ = index.put_tree(path.as_os_str().as_bytes(), &scan.snapshot);
        }
        self.tree_witnesses.remove(&path);
        self.trees.insert(path, Arc::new(scan));
    }

    /// The digest of a file, links followed.
    ///
    /// # Errors
    /// Fails if the file cannot be read or changes while it is.
    pub fn file(&mut self, path: &Path) -> Result<ObjectDigest, FingerprintError> {
        Ok(self.file_snapshot(path)?.digest())
    }

    fn file_snapshot(&mut self, path: &Path) -> Result<FileSnapshot, FingerprintError> {
        if !self.files_loaded {
            self.files_loaded = true;
            let known = self
                .index()
                .and_then(|i| i.files(FILES).unwrap_or_default());
            for snapshot in known.unwrap_or_default() {
                self.files.insert(snapshot.path(), snapshot);
            }
        }
        let previous = match self.trust {
            Trust::Stat => self.files.get(path),
            Trust::Nothing => None,
        };
        let scan = scan_file_until(path, previous, &self.stop)?;
        if scan.read {
            self.files_changed = true;
            self.files.insert(path.to_owned(), scan.snapshot.clone());
        }
        Ok(scan.snapshot)
    }

    /// A value derived from something with the digest `of`, computed only once. Other processes may have
    /// the index while it is computed.
    pub fn memo<E>(
        &mut self,
        name: &str,
        of: ObjectDigest,
        compute: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let key = of.to_string();
        let known = self
            .index()
            .and_then(|index| index.memo(name, key.as_bytes()).unwrap_or_default());
        if let Some(value) = known {
            return Ok(value);
        }
        self.close();
        let value = compute()?;
        if let Some(index) = self.index() {
            let _ = index.put_memo(name, key.as_bytes(), &value);
        }
        Ok(value)
    }

    /// What earlier actions took, read once: whoever asks before the index is closed need not
    /// open it again for that.
    pub fn costs(&mut self) -> &[(Subject, Cost)] {
        let costs = self.costs.take().or_else(|| self.index()?.costs().ok());
        self.costs.insert(costs.unwrap_or_default())
    }

    /// The newest earlier record to compare a miss with.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub fn nearest(
        &mut self,
        subject: &Subject,
        kind: ActionKind,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let store = self.store;
        match self.index() {
            Some(index) => index.nearest(store, subject, kind),
            None => store.nearest(subject, kind),
        }
    }

    /// Notes new records and their costs.
    pub fn note(&mut self, records: &[Arc<ActionRecord>]) {
        if records.is_empty() {
            return;
        }
        if let Some(index) = self.index() {
            for record in records {
                let _ = index.note_record(record);
                if record.kind == ActionKind::Job {
                    let _ = index.put_cost(&record.subject, &record.cost);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_trust_all_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("cache")).unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("file"), "a").unwrap();
        // Until then it would be read again in any case.
        std::thread::sleep(Duration::from_millis(50));
        let files_read = |trust| {
            let mut fingerprints = Fingerprints::new(&store).trusting(trust);
            fingerprints.tree(&tree).unwrap().files_read
        };
        assert_eq!(files_read(Trust::Stat), 1);
        assert_eq!(files_read(Trust::Stat), 0);
        assert_eq!(files_read(Trust::Nothing), 1);
    }

    #[test]
    fn costs_are_known_when_the_index_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("cache")).unwrap();
        let subject = Subject {
            name: "a/1".to_owned(),
            target: "k/x86_64".to_owned(),
        };
        let cost = Cost {
            peak_memory: 7,
            ..Cost::default()
        };
        let mut fingerprints = Fingerprints::new(&store);
        let index = fingerprints.index().unwrap();
        index.put_cost(&subject, &cost).unwrap();
        let known = [(subject, cost)];
        assert_eq!(fingerprints.costs(), known);
        fingerprints.close();
        let others = Index::burst(&store, Duration::ZERO).unwrap().unwrap();
        assert_eq!(fingerprints.costs(), known);
        assert!(fingerprints.index.is_none());
        drop(others);
    }
}
