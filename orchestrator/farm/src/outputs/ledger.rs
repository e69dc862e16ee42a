//! What kiln has put into a folder, so that what the manifest no longer makes can go again,
//! and nothing else.
//!
//! One file for each shard, and one for whole runs, lists the files by cell with their sizes
//! and times. A file that is not listed, or not as it was put there, is somebody else's: it is
//! never removed. A ledger that cannot be read knows nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use kiln_build::results::DeliveryError;
use kiln_durable::regular;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::Shard;

/// How the names of ledgers begin; the one of whole runs has no more.
const NAME: &str = ".kiln-outputs";

/// The most of a ledger that is read.
const SIZE_LIMIT: u64 = 1 << 30;

/// The version of the format.
const FORMAT: u32 = 1;

/// Files that were put into a folder.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Whose run this is: the manifest, as seen from the folder.
    manifest: String,
    files: BTreeMap<PathBuf, Entry>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Whose it is: release, architecture, package and version; empty for sums.
    cell: String,
    /// The manifest that it was made for: farms may share a folder.
    manifest: String,
    /// Whether it is what the manifest makes today, and so has a sum.
    current: bool,
    size: u64,
    modified: (i64, i64),
    /// The SHA-256 of its content, in hexadecimal digits.
    #[serde(default)]
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    kiln_outputs: u32,
    files: BTreeMap<PathBuf, Entry>,
}

/// What became of a file that was to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is gone.
    Gone,
    /// It was changed since: it stays, and is no longer listed.
    Changed,
}

impl Ledger {
    /// An empty one, for a run of a manifest.
    pub(super) fn new(directory: &Path, manifest: &Path) -> Self {
        Self {
            manifest: seen_from(directory, manifest),
            files: BTreeMap::new(),
        }
    }

    /// Reads the ledger of a shard, or of whole runs; says whether there is one.
    pub(super) fn read(&mut self, directory: &Path, shard: Option<Shard>) -> bool {
        let files = listed(directory, shard);
        let found = files.is_some();
        self.files = files.unwrap_or_default();
        found
    }

    /// Adds what the ledgers of shards list, and those ledgers: a whole run makes it all.
    pub(super) fn take_in_shards(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let shard = file
                .strip_prefix(NAME)
                .and_then(|rest| Shard::of_file_name_part(rest.strip_prefix('.')?));
            if let Some(shard) = shard
                && let Some(theirs) = listed(directory, Some(shard))
            {
                for (path, entry) in theirs {
                    self.files.entry(path).or_insert(entry);
                }
                // One that cannot be read is nobody's.
                let _ = self.put(directory, &entry.path(), "", false);
            }
        }
    }

    /// Writes the ledger.
    ///
    /// # Errors
    /// Fails if it cannot be written; the one that was there then stays.
    pub(super) fn write(&self, folder: &Folder, shard: Option<Shard>) -> Result<(), DeliveryError> {
        let document = Document {
            kiln_outputs: FORMAT,
            files: self.files.clone(),
        };
        let text =
            serde_json::to_string_pretty(&document).map_err(|error| DeliveryError::Output {
                path: folder.path().to_owned(),
                source: error.into(),
            })?;
        folder.write(&name(shard), &text)
    }

    /// Lists a file as it is now; one that is not there is not listed.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub(super) fn put(
        &mut self,
        directory: &Path,
        path: &Path,
        cell: &str,
        current: bool,
    ) -> Result<(), DeliveryError> {
        let inner = inner(directory, path);
        let Ok(there) = fs::symlink_metadata(path) else {
            return Ok(());
        };
        let known = self.files.get(&inner).filter(|entry| entry.is(&there));
        let sha256 = match known.filter(|entry| !entry.sha256.is_empty()) {
            Some(entry) => entry.sha256.clone(),
            None => sha256_of(path)?,
        };
        let entry = Entry {
            cell: cell.to_owned(),
            manifest: self.manifest.clone(),
            current,
            size: there.len(),
            modified: (there.mtime(), there.mtime_nsec()),
            sha256,
        };
        self.files.insert(inner, entry);
        Ok(())
    }

    /// Whether a file has the very content that was put there: its time alone does not say so.
    pub(super) fn vouches_for(&self, inner: &Path, path: &Path) -> bool {
        let listed = self.files.get(inner);
        listed.is_some_and(|entry| sha256_of(path).is_ok_and(|sha256| sha256 == entry.sha256))
    }

    /// Whether a file is listed.
    pub(super) fn lists(&self, inner: &Path) -> bool {
        self.files.contains_key(inner)
    }

    /// The files that have sums, with these: those that are still as they were put there.
    pub(super) fn current(&self, directory: &Path) -> Vec<(&Path, &str)> {
        let is_there = |path: &Path, entry: &Entry| {
            fs::symlink_metadata(directory.join(path)).is_ok_and(|there| entry.is(&there))
        };
        let files = self.files.iter();
        files
            .filter(|(_, entry)| entry.current && entry.manifest == self.manifest)
            .filter(|(path, entry)| is_there(path, entry))
            .map(|(path, entry)| (path.as_path(), entry.sha256.as_str()))
            .collect()
    }

    /// Says of all that was not made in this run that it is not what the manifest makes; gives
    /// what is to go of it: what `stays` does not say otherwise of, by its cell.
    pub(super) fn settle(
        &mut self,
        made: &BTreeSet<PathBuf>,
        stays: impl Fn(&str) -> bool,
    ) -> Vec<PathBuf> {
        let mut stale = Vec::new();
        for (path, entry) in &mut self.files {
            if !made.contains(path) {
                entry.current = false;
                if entry.manifest == self.manifest && !stays(&entry.cell) {
                    stale.push(path.clone());
                }
            }
        }
        stale
    }

    /// Removes a file if it is as it was put there, and the directories that are empty then.
    ///
    /// # Errors
    /// Fails if it cannot be removed; it stays listed then.
    pub(super) fn remove(&mut self, folder: &Folder, inner: &Path) -> io::Result<Removal> {
        let Some(entry) = self.files.get(inner) else {
            return Ok(Removal::Gone);
        };
        let removal = match fs::symlink_metadata(folder.path().join(inner)) {
            Ok(there) if !entry.is(&there) => Removal::Changed,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {
                folder.remove(inner).map_err(|failure| failure.source)?;
                Removal::Gone
            }
        };
        self.files.remove(inner);
        Ok(removal)
    }
}

impl Entry {
    fn is(&self, there: &Metadata) -> bool {
        there.is_file()
            && there.len() == self.size
            && (there.mtime(), there.mtime_nsec()) == self.modified
    }
}

fn sha256_of(path: &Path) -> Result<String, DeliveryError> {
    let digest = kiln_publish::digest_file(path).map_err(|error| DeliveryError::Output {
        path: path.to_owned(),
        source: io::Error::other(error),
    })?;
    Ok(digest.to_string())
}

/// Whether a file in the top of the folder is kiln's own account of it.
pub(super) fn is_ledger(inner: &Path) -> bool {
    inner.to_str().is_some_and(|name| name.starts_with(NAME))
}

fn listed(directory: &Path, shard: Option<Shard>) -> Option<BTreeMap<PathBuf, Entry>> {
    read(&directory.join(name(shard)))
}

fn read(path: &Path) -> Option<BTreeMap<PathBuf, Entry>> {
    let text = String::from_utf8(regular::read(path, SIZE_LIMIT).ok()?).ok()?;
    let document: Document = serde_json::from_str(&text).ok()?;
    let files = document.files;
    let is_below = |path: &PathBuf| path.components().all(|c| matches!(c, Component::Normal(_)));
    (document.kiln_outputs == FORMAT && files.keys().all(is_below)).then_some(files)
}

/// A path as ledgers of a folder have it.
pub(super) fn inner(directory: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(directory).unwrap_or(path).to_owned()
}

/// What all ledgers of a folder list, and these themselves.
pub(super) fn all_listed(directory: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let file = PathBuf::from(entry.file_name());
        if is_ledger(&file) {
            let files = read(&entry.path()).unwrap_or_default();
            all.extend(files.into_keys().chain([file]));
        }
    }
    all
}

/// A manifest's path from the folder: it stays when both are moved together.
fn seen_from(directory: &Path, manifest: &Path) -> String {
    let whole = |path: &Path| {
        let found = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        found.unwrap_or_else(|_| path.to_owned())
    };
    let (directory, manifest) = (whole(directory), whole(manifest));
    let common = directory
        .components()
        .zip(manifest.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = directory.components().skip(common).map(|_| Path::new(".."));
    let down = manifest
        .components()
        .skip(common)
        .map(|c| Path::new(c.as_os_str()));
    up.chain(down)
        .collect::<PathBuf>()
        .to_string_lossy()
        .into_owned()
}

fn name(shard: Option<Shard>) -> String {
    match shard {
        None => NAME.to_owned(),
        Some(shard) => format!("{NAME}.{}", shard.file_name_part()),
    }
}

#[cfg(test)]
mod tests {
    use kiln_durable::Disk;

    use super::*;

    fn on(folder: &tempfile::TempDir) -> Folder {
        Folder::new(folder.path(), &Disk::default())
    }

    fn folder() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new(folder.path(), Path::new("farm.toml"));
        for (path, cell) in [("k/one/a.ko", "k/one"), ("k/two/b.ko", "k/two")] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "module").unwrap();
            ledger.put(folder.path(), &path, cell, true).unwrap();
        }
        (folder, ledger)
    }

    #[test]
    fn what_was_put_there_goes_and_what_was_changed_stays() {
        let (folder, ledger) = folder();
        ledger.write(&on(&folder), None).unwrap();
        let mut ledger = Ledger::new(folder.path(), Path::new("farm.toml"));
        assert!(ledger.read(folder.path(), None));
        let made = BTreeSet::from(["k/one/a.ko".into()]);
        let stale = ledger.settle(&made, |_| false);
        assert_eq!(stale, [Path::new("k/two/b.ko")]);
        let sum = kiln_publish::Sha256::of(b"module").to_string();
        let sums = [(Path::new("k/one/a.ko"), sum.as_str())];
        assert_eq!(ledger.current(folder.path()), sums);
        let removed = ledger.remove(&on(&folder), &stale[0]).unwrap();
        assert_eq!(removed, Removal::Gone);
        assert!(!folder.path().join("k/two").exists() && folder.path().join("k").exists());
        fs::write(folder.path().join("k/one/a.ko"), "theirs").unwrap();
        let removed = ledger.remove(&on(&folder), Path::new("k/one/a.ko"));
        assert_eq!(removed.unwrap(), Removal::Changed);
        assert!(folder.path().join("k/one/a.ko").exists());
        assert!(!ledger.lists(Path::new("k/one/a.ko")));
    }

    #[test]
    fn what_failed_today_stays_without_a_sum() {
        let (folder, mut ledger) = folder();
        let stale = ledger.settle(&BTreeSet::new(), |cell| cell == "k/one");
        assert_eq!(stale, [Path::new("k/two/b.ko")]);
        assert!(ledger.current(folder.path()).is_empty());
    }

    #[test]
    fn what_another_manifest_has_put_there_stays_without_a_sum() {
        let (folder, ledger) = folder();
        ledger.write(&on(&folder), None).unwrap();
        let mut other = Ledger::new(folder.path(), Path::new("other.toml"));
        assert!(other.read(folder.path(), None));
        assert_eq!(
            other.settle(&BTreeSet::new(), |_| false),
            Vec::<PathBuf>::new()
        );
        assert!(other.current(folder.path()).is_empty());
        assert!(other.lists(Path::new("k/one/a.ko")));
    }

    #[test]
    fn a_manifest_is_known_by_its_way_from_the_folder() {
        let seen = |folder: &str, manifest: &str| seen_from(Path::new(folder), Path::new(manifest));
        assert_eq!(seen("/no/farm/out", "/no/farm/farm.toml"), "../farm.toml");
        assert_eq!(seen("/no/farm", "/no/farm/a/farm.toml"), "a/farm.toml");
    }

    #[test]
    fn a_whole_run_takes_over_from_shards() {
        let (folder, ledger) = folder();
        let shard = "1/2".parse().unwrap();
        ledger.write(&on(&folder), Some(shard)).unwrap();
        let mut whole = Ledger::new(folder.path(), Path::new("farm.toml"));
        whole.take_in_shards(folder.path());
        assert!(whole.lists(Path::new("k/two/b.ko")));
        let stale = whole.settle(&BTreeSet::new(), |_| false);
        assert_eq!(stale.len(), 3, "with the ledger of the shard: {stale:?}");
    }

    #[test]
    fn a_ledger_that_leads_out_of_the_folder_knows_nothing() {
        let (folder, mut ledger) = folder();
        ledger.write(&on(&folder), None).unwrap();
        let outside = folder.path().with_extension("theirs");
        let entry = ledger.files.values().next().unwrap().clone();
        for path in [PathBuf::from("../theirs"), outside] {
            ledger.files.insert(path.clone(), entry.clone());
            ledger.write(&on(&folder), None).unwrap();
            assert!(listed(folder.path(), None).is_none());
            ledger.files.remove(&path);
        }
        fs::write(folder.path().join(NAME), "{").unwrap();
        assert!(listed(folder.path(), None).is_none());
    }
}
