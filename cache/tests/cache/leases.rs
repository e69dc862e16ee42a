//! Leases, action locks and scratch directories: they end with their process, however it ends.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use kiln_cache::{Index, Store};

use crate::fixture::{Cache, files, key, leftovers, publish};
use crate::process;

#[test]
fn one_at_a_time_may_run_an_action() {
    let cache = Cache::new();
    let (one, two) = (key("one").0, key("two").0);
    let other = cache.again();
    let lock = cache.store.lock_action(&one).unwrap().unwrap();
    assert!(other.lock_action(&one).unwrap().is_none());
    assert!(cache.store.lock_action(&one).unwrap().is_none());
    assert!(other.lock_action(&two).unwrap().is_some());
    drop(lock);
    assert!(other.lock_action(&one).unwrap().is_some());
}

#[test]
fn of_many_exactly_one_gets_the_lock() {
    let cache = Cache::new();
    let key = key("x").0;
    let running = std::sync::atomic::AtomicU32::new(0);
    let ran = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = cache.again();
                for _ in 0..2000 {
                    if let Some(_lock) = store.lock_action(&key).unwrap() {
                        use std::sync::atomic::Ordering::SeqCst;
                        assert_eq!(running.fetch_add(1, SeqCst), 0);
                        ran.fetch_add(1, SeqCst);
                        std::thread::yield_now();
                        assert_eq!(running.fetch_sub(1, SeqCst), 1);
                    }
                }
            });
        }
    });
    assert!(ran.into_inner() > 0);
    assert_eq!(leftovers(&cache.path()), [""; 0]);
}

#[test]
fn what_a_killed_process_held_is_free_and_what_it_left_is_removed() {
    let cache = Cache::new();
    let mut other = process::start("lock_and_scratch", &cache.path());
    assert_eq!(other.hear().unwrap(), "locked");
    let key = key("locked").0;
    assert!(cache.store.lock_action(&key).unwrap().is_none());
    // Lock, scratch, work directory and the lease that goes with it.
    assert_eq!(leftovers(&cache.path()).len(), 4);
    drop(cache.again());
    assert_eq!(leftovers(&cache.path()).len(), 4, "it lives");
    other.kill();
    assert!(cache.store.lock_action(&key).unwrap().is_some());
    drop(cache.again());
    assert_eq!(leftovers(&cache.path()), [""; 0]);
    assert!(files(&cache.path().join("objects")).is_empty());
}

#[test]
fn scratch_is_ours_alone_and_gone_when_dropped() {
    let cache = Cache::new();
    let one = cache.store.scratch("a/../b").unwrap();
    let other = cache.store.scratch("a/../b").unwrap();
    assert_ne!(one.path(), other.path());
    assert_eq!(one.path().parent().unwrap(), cache.path().join("tmp"));
    assert_eq!(one.path().metadata().unwrap().mode() & 0o7777, 0o700);
    std::fs::write(one.path().join("x"), "").unwrap();
    let path = one.path().to_path_buf();
    drop(one);
    assert!(!path.exists() && other.path().exists());
}

#[test]
fn scratch_with_directories_that_may_not_be_written_is_removed_too() {
    use std::os::unix::fs::chown;
    if !crate::fixture::root_or_skip("scratch of a plain user") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    chown(dir.path(), Some(65_534), None).unwrap();
    assert_eq!(process::as_nobody("drop_scratch", dir.path()), "false");
}

#[test]
fn who_only_reads_holds_nothing() {
    let cache = Cache::new();
    let reading = Store::open_reading(&cache.path()).unwrap();
    assert!(reading.lease().is_err());
    assert!(reading.scratch("x").is_err());
    assert!(reading.lock_action(&key("x").0).is_err());
}

/// Whatever anybody but its owner may open below a directory, of what has to be closed: whoever may read a file or directory can
/// lock it, for ever.
fn open_to_others(cache: &Path) -> Vec<String> {
    let tmp = fs::read_dir(cache.join("tmp")).unwrap();
    let locked = tmp.map(|entry| entry.unwrap().path());
    locked
        .chain([cache.join("index")])
        .filter(|path| path.metadata().unwrap().mode() & 0o077 != 0)
        .map(|path| path.strip_prefix(cache).unwrap().display().to_string())
        .collect()
}

#[test]
fn nobody_else_can_open_what_is_locked() {
    let cache = Cache::new();
    let use_all = |store: &Store| {
        let index = Index::burst(store, Duration::from_secs(60)).unwrap();
        publish(store, "x");
        let claims = (
            store.lease().unwrap(),
            store.scratch("x").unwrap(),
            store.lock_action(&key("y").0).unwrap().unwrap(),
        );
        drop(index);
        claims
    };
    let claims = use_all(&cache.store);
    assert_eq!(open_to_others(&cache.path()), [""; 0]);
    drop(claims);
    // As earlier versions made them.
    for (name, mode) in [
        ("tmp/gc.lock", 0o644),
        ("tmp/index.lock", 0o644),
        ("index", 0o755),
    ] {
        let path = cache.path().join(name);
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let claims = use_all(&cache.again());
    assert_eq!(open_to_others(&cache.path()), [""; 0]);
    drop(claims);
}
