//! Objects: stored, read and restored as they were, or not at all.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};

use kiln_cache::{FileMode, ObjectDigest, Store, StoreError};

use crate::fixture::{Cache, leftovers};

#[test]
fn what_is_put_is_read() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"content").unwrap();
    assert_eq!(digest, ObjectDigest::of(b"content"));
    assert!(cache.store.contains(&digest));
    assert_eq!(cache.store.read(&digest).unwrap().unwrap(), b"content");
    assert_eq!(cache.store.verify_object(&digest).unwrap(), Some(7));
    let mut content = String::new();
    let mut file = cache.store.open_object(&digest).unwrap().unwrap();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
    let path = cache.store.object_path(&digest);
    let name = digest.to_string();
    assert!(path.ends_with(format!("cache/objects/{}/{name}", &name[..2])));
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o444);
}

#[test]
fn what_was_never_put_is_a_miss() {
    let cache = Cache::new();
    let digest = ObjectDigest::of(b"never");
    assert!(!cache.store.contains(&digest));
    assert_eq!(cache.store.read(&digest).unwrap(), None);
    assert_eq!(cache.store.verify_object(&digest).unwrap(), None);
    assert!(cache.store.open_object(&digest).unwrap().is_none());
    let destination = cache.dir.path().join("out");
    assert_eq!(
        cache
            .store
            .restore(&digest, &destination, FileMode::Plain)
            .unwrap(),
        None
    );
    assert!(!destination.exists());
    assert_eq!(cache.store.take_damage(), []);
}

#[test]
fn files_are_put_in_the_order_given() {
    let cache = Cache::new();
    let contents = [vec![1; 10], vec![2; 5_000_000], Vec::new(), vec![1; 10]];
    let paths: Vec<_> = (0..contents.len())
        .map(|at| cache.dir.path().join(at.to_string()))
        .collect();
    for (path, content) in paths.iter().zip(&contents) {
        fs::write(path, content).unwrap();
    }
    let put = cache.store.put_files(&paths).unwrap();
    let expected = contents
        .iter()
        .map(|content| (ObjectDigest::of(content), content.len() as u64));
    assert_eq!(put, expected.collect::<Vec<_>>());
    for (digest, size) in &put {
        assert_eq!(cache.store.verify_object(digest).unwrap(), Some(*size));
    }
    assert_eq!(cache.store.put_file(&paths[1]).unwrap(), put[1]);
    assert_eq!(cache.store.stats().unwrap().objects, 3);
}

#[test]
fn only_regular_files_are_put() {
    let cache = Cache::new();
    let fifo = cache.dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    for path in [fifo, cache.dir.path().to_path_buf()] {
        let error = cache.store.put_file(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotRegular { .. }), "{error:?}");
    }
    assert!(matches!(
        cache.store.put_file(&cache.dir.path().join("missing")),
        Err(StoreError::Io { .. })
    ));
}

#[test]
fn what_is_restored_is_a_file_of_its_own() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"module").unwrap();
    let destination = cache.dir.path().join("out.ko");
    assert_eq!(
        cache
            .store
            .restore(&digest, &destination, FileMode::Executable)
            .unwrap(),
        Some(6)
    );
    assert_eq!(fs::read(&destination).unwrap(), b"module");
    assert_eq!(destination.metadata().unwrap().mode() & 0o7777, 0o755);
    fs::write(&destination, "edited").unwrap();
    assert_eq!(cache.store.read(&digest).unwrap().unwrap(), b"module");
    assert_eq!(
        cache
            .store
            .restore(&digest, &destination, FileMode::Plain)
            .unwrap(),
        Some(6)
    );
    assert_eq!(fs::read(&destination).unwrap(), b"module");
    assert_eq!(destination.metadata().unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn an_identical_file_is_left_alone() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"module").unwrap();
    let destination = cache.dir.path().join("out.ko");
    let restore = |mode| cache.store.restore(&digest, &destination, mode).unwrap();
    restore(FileMode::Plain);
    let before = destination.metadata().unwrap();
    assert_eq!(restore(FileMode::Plain), Some(6));
    let after = destination.metadata().unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec(), before.ctime_nsec()),
        (after.ino(), after.mtime_nsec(), after.ctime_nsec())
    );
    restore(FileMode::Executable);
    assert_eq!(destination.metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(destination.metadata().unwrap().ino(), before.ino());
}

#[test]
fn a_link_at_the_destination_is_replaced_and_not_followed() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"module").unwrap();
    let target = cache.dir.path().join("target");
    fs::write(&target, "module").unwrap();
    let destination = cache.dir.path().join("out.ko");
    symlink(&target, &destination).unwrap();
    cache
        .store
        .restore(&digest, &destination, FileMode::Plain)
        .unwrap();
    assert!(destination.symlink_metadata().unwrap().is_file());
}

#[test]
fn what_cannot_be_restored_leaves_nothing_behind() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"module").unwrap();
    let destination = cache.dir.path().join("out.ko");
    fs::create_dir(&destination).unwrap();
    fs::write(destination.join("x"), "").unwrap();
    assert!(
        cache
            .store
            .restore(&digest, &destination, FileMode::Plain)
            .is_err()
    );
    assert!(
        cache
            .store
            .restore(
                &digest,
                &cache.dir.path().join("no/out.ko"),
                FileMode::Plain
            )
            .is_err()
    );
    assert_eq!(fs::read_dir(cache.dir.path()).unwrap().count(), 2);
}

#[test]
fn a_store_that_is_closed_leaves_nothing_in_tmp() {
    let cache = Cache::new();
    let store = cache.again();
    store.put_bytes(b"x").unwrap();
    let mut abandoned = store.publication();
    abandoned.put_bytes(b"never committed").unwrap();
    drop(abandoned);
    assert!(!store.contains(&ObjectDigest::of(b"never committed")));
    drop(store);
    assert_eq!(leftovers(&cache.path()), [""; 0]);
    assert!(
        Store::open_reading(&cache.path())
            .unwrap()
            .put_bytes(b"y")
            .is_err()
    );
}
