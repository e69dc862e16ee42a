//! Hostile files: whatever has the name of a file of the cache, nothing waits, nothing wrong is served,
//! and building again puts it right. `KILN_SOAK` flips each byte instead of some.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kiln_cache::{ActionRecord, DamagedItem, GcOptions, Index, Store, StoreError, VerifyMode};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;

use crate::damage::overwrite;
use crate::fixture::{self, files, memory, publish, sharded};

/// No single look at a cache takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// What else can have a file's name.
const KINDS: [&str; 8] = [
    "fifo",
    "device",
    "socket",
    "directory",
    "full directory",
    "link",
    "dangling link",
    "huge file",
];

/// Puts something else in a file's place. False where this user may not make it.
fn replace(path: &Path, kind: &str) -> bool {
    let away = path.with_extension("away");
    fs::rename(path, &away).unwrap();
    match kind {
        "fifo" => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        "device" => {
            // /dev/zero: it has no end.
            let zero = makedev(1, 5);
            if mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, zero).is_err() {
                eprintln!("SKIPPED, NEEDS MKNOD: a device for {}", path.display());
                fs::rename(&away, path).unwrap();
                return false;
            }
        }
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "directory" => fs::create_dir(path).unwrap(),
        "full directory" => fs::create_dir_all(path.join("a/b")).unwrap(),
        // To the very content: what a link leads to can change with nobody noticing.
        "link" => {
            symlink(&away, path).unwrap();
            return true;
        }
        "dangling link" => symlink("nowhere", path).unwrap(),
        "huge file" => File::create(path).unwrap().set_len(1 << 40).unwrap(),
        _ => unreachable!("{kind}"),
    }
    fs::remove_file(&away).unwrap();
    true
}

/// Does something that must not wait; what it gives.
fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || done.send(act()));
    match wait.recv_timeout(PATIENCE) {
        Ok(given) => given,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().unwrap_err())
        }
    }
}

/// A cache with one outcome.
struct Small {
    dir: TempDir,
    record: ActionRecord,
}

impl Small {
    fn new() -> Self {
        let dir = memory();
        let record = publish(&Store::open(&dir.path().join("cache")).unwrap(), "x");
        Self { dir, record }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Its objects, outputs first, and its record.
    fn entries(&self) -> Vec<(DamagedItem, PathBuf)> {
        let object = |digest: kiln_cache::ObjectDigest| {
            let path = sharded(&self.cache().join("objects"), &digest.to_string());
            (DamagedItem::Object(digest), path)
        };
        let mut entries: Vec<_> = self.record.objects().map(object).collect();
        let key = self.record.key;
        let path = sharded(&self.cache().join("actions"), &key.to_string());
        entries.push((DamagedItem::Record(key), path));
        entries
    }
}

/// Reads the outcome as a build does: the record, if all of it is good.
fn read_all(store: &Store, record: &ActionRecord) -> Option<ActionRecord> {
    let found = store.lookup_verified(&record.key).unwrap()?;
    assert_eq!(found, *record);
    let out = memory();
    for object in found.objects() {
        store.read(&object).unwrap()?;
        store.open_object(&object).unwrap()?;
        let to = out.path().join("out");
        store
            .restore(&object, &to, kiln_cache::FileMode::Plain)
            .unwrap()?;
    }
    Some(found)
}

/// What is wrong with an entry is found before use, reported once, and put right by building again.
fn found_and_repaired(cache: PathBuf, record: ActionRecord, item: DamagedItem, what: &str) {
    let name = what.to_owned();
    in_time(what, move || {
        let store = Store::open(&cache).unwrap();
        assert_eq!(read_all(&store, &record), None, "{name}");
        let damage = store.take_damage();
        assert_eq!(damage.len(), 1, "{name}: {damage:?}");
        assert_eq!(damage[0].item, item, "{name}");
        assert_eq!(read_all(&store, &record), None, "{name}");
        assert_eq!(store.take_damage(), [], "{name}: reported again");
        publish(&store, "x");
        assert!(read_all(&store, &record).is_some(), "{name}");
        for damage in damage {
            let path = damage.path;
            let left = path.symlink_metadata().unwrap();
            if left.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    });
}

#[test]
fn whatever_has_an_entrys_name_is_found_and_repaired() {
    let small = Small::new();
    for (item, path) in small.entries() {
        for kind in KINDS {
            if replace(&path, kind) {
                let what = format!("{kind} for {item:?}");
                found_and_repaired(small.cache(), small.record.clone(), item, &what);
            }
        }
    }
}

#[test]
fn whatever_has_an_entrys_name_is_replaced_by_building_without_looking() {
    let small = Small::new();
    for (item, path) in small.entries() {
        for kind in KINDS {
            if !replace(&path, kind) {
                continue;
            }
            let (cache, record) = (small.cache(), small.record.clone());
            let what = format!("{kind} for {item:?}");
            in_time(&what, move || {
                let store = Store::open(&cache).unwrap();
                publish(&store, "x");
                assert!(read_all(&store, &record).is_some());
            });
        }
    }
}

#[test]
fn upkeep_does_not_wait_for_hostile_files() {
    for kind in KINDS {
        let small = Small::new();
        let entries = small.entries();
        if !entries.iter().all(|(_, path)| replace(path, kind)) {
            continue;
        }
        let (cache, record) = (small.cache(), small.record.clone());
        in_time(kind, move || {
            let store = Store::open(&cache).unwrap();
            let report = store.verify(VerifyMode::Look).unwrap();
            assert_eq!((report.bad_objects.len(), report.bad_records.len()), (3, 1));
            store.stats().unwrap();
            assert_eq!(store.records().unwrap().count(), 0);
            let max_size = Some(0);
            let older_than = None;
            store
                .gc(&GcOptions {
                    max_size,
                    older_than,
                })
                .unwrap();
            store.verify(VerifyMode::Repair).unwrap();
            assert!(store.verify(VerifyMode::Look).unwrap().is_clean());
            publish(&store, "x");
            assert!(read_all(&store, &record).is_some());
        });
    }
}

/// Puts bytes in an entry's place, and has them found.
fn with_content(small: &Small, (item, path): &(DamagedItem, PathBuf), bytes: &[u8], what: &str) {
    overwrite(path, bytes);
    found_and_repaired(small.cache(), small.record.clone(), *item, what);
}

#[test]
fn every_flipped_byte_and_every_other_length_is_found() {
    let stride = if std::env::var_os("KILN_SOAK").is_some() {
        1
    } else {
        23
    };
    let small = Small::new();
    for entry in small.entries() {
        let good = fs::read(&entry.1).unwrap();
        for at in (0..good.len()).step_by(stride) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            with_content(&small, &entry, &bad, &format!("byte {at} of {:?}", entry.0));
            with_content(&small, &entry, &good[..at], &format!("cut at {at}"));
        }
        let longer = [&good[..], b"\0"].concat();
        with_content(&small, &entry, &longer, "one byte more");
        with_content(&small, &entry, &[&good[..], &good].concat(), "twice");
    }
}

#[test]
fn what_changed_places_is_found() {
    let small = Small::new();
    let entries = small.entries();
    for (at, one) in entries.iter().enumerate() {
        for other in &entries[at + 1..] {
            let away = one.1.with_extension("away");
            fs::rename(&one.1, &away).unwrap();
            fs::rename(&other.1, &one.1).unwrap();
            fs::rename(&away, &other.1).unwrap();
            let (cache, record) = (small.cache(), small.record.clone());
            in_time("swapped", move || {
                let store = Store::open(&cache).unwrap();
                assert_eq!(read_all(&store, &record), None);
                publish(&store, "x");
                assert!(read_all(&store, &record).is_some());
            });
        }
    }
}

#[test]
fn a_shard_that_is_no_directory_is_a_miss_and_is_made_again() {
    for kind in ["fifo", "dangling link", "huge file"] {
        let small = Small::new();
        for (_, path) in small.entries() {
            let shard = path.parent().unwrap();
            fs::remove_dir_all(shard).unwrap();
            fs::write(shard, "").unwrap();
            assert!(replace(shard, kind));
            let (cache, record) = (small.cache(), small.record.clone());
            in_time(kind, move || {
                let store = Store::open(&cache).unwrap();
                assert_eq!(read_all(&store, &record), None);
                publish(&store, "x");
                assert!(read_all(&store, &record).is_some());
            });
        }
    }
}

#[test]
fn locks_and_claims_may_be_anything() {
    for kind in KINDS {
        let small = Small::new();
        let cache = small.cache();
        drop(Index::burst(&Store::open(&cache).unwrap(), PATIENCE).unwrap());
        let claims = ["lease-1", "work-1", "scratch-1", "action-1"];
        for name in claims {
            fs::write(cache.join("tmp").join(name), "").unwrap();
        }
        for name in ["gc.lock", "index.lock"].into_iter().chain(claims) {
            replace(&cache.join("tmp").join(name), kind);
        }
        for path in files(&cache.join("tmp")) {
            if path
                .extension()
                .is_some_and(|extension| extension == "away")
            {
                fs::remove_file(path).unwrap();
            }
        }
        let record = small.record.clone();
        in_time(kind, move || {
            let store = Store::open(&cache).unwrap();
            assert!(read_all(&store, &record).is_some());
            drop(store.lock_action(&record.key).unwrap().unwrap());
            store.gc(&GcOptions::default()).unwrap();
            assert!(Index::burst(&store, PATIENCE).unwrap().is_some());
            drop(store);
            assert_eq!(fixture::leftovers(&cache), [""; 0]);
        });
    }
}

#[test]
fn a_format_that_is_no_file_is_refused() {
    for kind in KINDS {
        let small = Small::new();
        if replace(&small.cache().join("format"), kind) {
            let cache = small.cache();
            let opened = in_time(kind, move || Store::open(&cache));
            assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{kind}");
        }
    }
}

/// An index with something in each of its files.
fn indexed() -> (TempDir, PathBuf) {
    let dir = memory();
    let cache = dir.path().join("cache");
    let store = Store::open(&cache).unwrap();
    let index = Index::burst(&store, PATIENCE).unwrap().unwrap();
    for at in 0..20_u8 {
        index.put_memo("n", &[at], &[at; 100]).unwrap();
    }
    drop(index);
    (dir, cache)
}

/// Uses the index as a run does: what is found in it is what was put in.
fn use_index(cache: &Path) {
    let store = Store::open(cache).unwrap();
    for _ in 0..2 {
        let index = Index::burst(&store, PATIENCE).unwrap().unwrap();
        for at in 0..20_u8 {
            let found = index.memo("n", &[at]).unwrap();
            assert!(found.is_none_or(|found| found == [at; 100]));
            index.put_memo("n", &[at], &[at; 100]).unwrap();
        }
        index.costs().unwrap();
    }
}

#[test]
fn an_index_of_anything_is_made_anew() {
    let (_dir, cache) = indexed();
    let names = files(&cache.join("index"));
    assert!(names.len() > 1, "{names:?}");
    for path in names {
        for kind in KINDS {
            let (_dir, other) = indexed();
            let inner = path.strip_prefix(&cache).unwrap();
            let place = other.join(inner);
            if place.exists() && replace(&place, kind) {
                let what = format!("{kind} for {}", inner.display());
                in_time(&what, move || use_index(&other));
            }
        }
    }
}

#[test]
fn an_index_with_a_flipped_byte_gives_what_was_put_or_nothing() {
    let stride = if std::env::var_os("KILN_SOAK").is_some() {
        1
    } else {
        4099
    };
    let (_dir, cache) = indexed();
    let good: Vec<_> = files(&cache.join("index"))
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    for (content, path) in &good {
        let used = content.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let few = (0..used.min(64)).step_by(7);
        for at in few.chain((64..used).step_by(stride)) {
            fs::remove_dir_all(cache.join("index")).unwrap();
            for (content, path) in &good {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let mut bad = content.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(path, bad).unwrap();
            let cache = cache.clone();
            let what = format!("byte {at} of {}", path.display());
            in_time(&what, move || use_index(&cache));
        }
    }
}
