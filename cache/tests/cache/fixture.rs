//! Caches, trees and records to test with.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kiln_cache::{
    ActionKey, ActionKind, ActionRecord, Cost, Detail, KeyBuilder, ObjectDigest, Output, Status,
    Store, StoreError, Subject,
};
use tempfile::TempDir;

/// A cache of its own.
pub(crate) struct Cache {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

impl Cache {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        Self { dir, store }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The same cache, as another process would open it.
    pub(crate) fn again(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }

    pub(crate) fn record_path(&self, key: &ActionKey) -> PathBuf {
        sharded(&self.path().join("actions"), &key.to_string())
    }

    /// Stores two outputs and a log that depend on `seed`, and a record of them.
    pub(crate) fn publish(&self, seed: &str) -> ActionRecord {
        publish(&self.store, seed)
    }
}

pub(crate) fn sharded(directory: &Path, name: &str) -> PathBuf {
    directory.join(&name[..2]).join(name)
}

pub(crate) fn publish(store: &Store, seed: &str) -> ActionRecord {
    try_publish(store, seed).unwrap()
}

pub(crate) fn try_publish(store: &Store, seed: &str) -> Result<ActionRecord, StoreError> {
    let mut publication = store.publication();
    let mut record = record(seed);
    for name in ["a.ko", "b.ko"] {
        let content = format!("{seed} {name}").repeat(100).into_bytes();
        record.outputs.push(Output {
            path: format!("x/{name}"),
            object: publication.put_bytes(&content)?,
            size: content.len() as u64,
            executable: name == "a.ko",
        });
    }
    let log = format!("log of {seed}\n");
    record.log = Some(publication.put_bytes(log.as_bytes())?);
    publication.commit_with(&record)?;
    Ok(record)
}

/// A directory where syncing costs nothing, if there is such a place.
pub(crate) fn memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// A record without outputs.
pub(crate) fn record(seed: &str) -> ActionRecord {
    let (key, components) = key(seed);
    ActionRecord {
        key,
        kind: ActionKind::Job,
        subject: Subject {
            name: "bbswitch/0.8".into(),
            target: "6.1.0-56-amd64/x86_64".into(),
        },
        components,
        status: Status::Success,
        outputs: Vec::new(),
        log: None,
        note: BTreeMap::from([("sandbox".into(), "bwrap".into())]),
        cost: Cost {
            wall: Duration::from_millis(1400),
            cpu: Duration::from_millis(1300),
            peak_memory: 64 << 20,
            output_bytes: 12_345,
        },
        created: 1_790_000_000_123_456_789,
    }
}

pub(crate) fn key(seed: &str) -> (ActionKey, Vec<kiln_cache::Component>) {
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("seed", ObjectDigest::of(seed.as_bytes()), Detail::Opaque)
        .component("toolbox", ObjectDigest::of(b"gcc"), Detail::Text);
    key.finish()
}

/// Makes a file look as if it had been used that long ago.
pub(crate) fn age(path: &Path, age: Duration) {
    let then = SystemTime::now() - age;
    let times = FileTimes::new().set_modified(then).set_accessed(then);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// Ages every object and record of a cache.
pub(crate) fn age_all(cache: &Path, by: Duration) {
    for file in files(&cache.join("objects"))
        .into_iter()
        .chain(files(&cache.join("actions")))
    {
        age(&file, by);
    }
}

/// Every file below a directory, in order.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is left in `tmp/` but the locks that are always there.
pub(crate) fn leftovers(cache: &Path) -> Vec<String> {
    let names = fs::read_dir(cache.join("tmp")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

/// Long enough that a scan trusts what was written before.
pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(60));
}

/// Writes a file, with its directories.
pub(crate) fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a test that needs root can run; says so loudly if not.
pub(crate) fn root_or_skip(test: &str) -> bool {
    if !is_root() {
        eprintln!("SKIPPED, NEEDS ROOT: {test}");
    }
    is_root()
}
