//! Publications: several objects and a record together, from many at once.

use kiln_cache::{ObjectDigest, VerifyMode};

use crate::fixture::{Cache, leftovers, publish, record};
use crate::process;

#[test]
fn one_object_given_twice_is_stored_once() {
    let cache = Cache::new();
    let mut publication = cache.store.publication();
    let digest = publication.put_bytes(b"x").unwrap();
    assert_eq!(publication.put_bytes(b"x").unwrap(), digest);
    publication.commit().unwrap();
    assert_eq!(cache.store.stats().unwrap().objects, 1);
}

#[test]
fn nothing_is_there_before_the_commit() {
    let cache = Cache::new();
    let mut publication = cache.store.publication();
    let digest = publication.put_bytes(b"x").unwrap();
    assert!(!cache.store.contains(&digest));
    publication.commit_with(&record("x")).unwrap();
    assert!(cache.store.contains(&digest));
}

#[test]
fn what_is_stored_already_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"x").unwrap();
    let path = cache.store.object_path(&digest);
    let before = path.metadata().unwrap().ino();
    cache.store.put_bytes(b"x").unwrap();
    assert_eq!(path.metadata().unwrap().ino(), before);
    assert_eq!(digest, ObjectDigest::of(b"x"));
}

#[test]
fn many_processes_and_threads_publish_the_same_at_once() {
    let cache = Cache::new();
    let others = [0, 1].map(|_| process::start("publish_some", &cache.path()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let store = cache.again();
            scope.spawn(move || {
                for seed in 0..40 {
                    publish(&store, &format!("shared {seed}"));
                }
            });
        }
    });
    for other in others {
        assert!(other.finish());
    }
    let report = cache.store.verify(VerifyMode::Look).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.records, report.objects), (120, 360));
    assert_eq!(leftovers(&cache.path()), [""; 0]);
}
