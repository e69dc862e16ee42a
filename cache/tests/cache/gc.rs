//! Collection: least recently used first, shared objects once, and never what is in use.

use std::time::Duration;

use kiln_cache::{ActionKind, ActionRecord, Detail, FileMode, GcOptions, KeyBuilder, ObjectDigest};

use crate::fixture::{Cache, age, age_all, files};
use crate::process;

const HOUR: Duration = Duration::from_secs(3600);
const ALL: GcOptions = GcOptions {
    max_size: Some(0),
    older_than: None,
};

/// Publishes a record whose entries were last used that many hours ago. The store is another one, so
/// that no lease of its own remains.
fn used(cache: &Cache, seed: &str, hours: u32) -> ActionRecord {
    let record = crate::fixture::publish(&cache.again(), seed);
    age(&cache.record_path(&record.key), HOUR * hours);
    for object in record.objects() {
        age(&cache.store.object_path(&object), HOUR * hours);
    }
    record
}

#[test]
fn the_least_recently_used_go_first() {
    let cache = Cache::new();
    let [old, middle, new] =
        [("old", 30), ("middle", 20), ("new", 10)].map(|(seed, hours)| used(&cache, seed, hours));
    let stats = cache.store.stats().unwrap();
    let total = stats.object_bytes + stats.record_bytes;
    let options = GcOptions {
        max_size: Some(total - 1),
        older_than: None,
    };
    let report = cache.store.gc(&options).unwrap();
    assert_eq!(
        (
            report.removed_records,
            report.removed_objects,
            report.kept_in_use
        ),
        (1, 3, 0)
    );
    assert_eq!(report.freed + report.kept_bytes, total);
    assert!(cache.store.lookup(&old.key).unwrap().is_none());
    for kept in [&middle, &new] {
        assert!(cache.store.lookup_verified(&kept.key).unwrap().is_some());
    }
    let after = cache.store.stats().unwrap();
    assert_eq!(after.object_bytes + after.record_bytes, report.kept_bytes);
    assert_eq!(cache.store.gc(&options).unwrap().removed_records, 0);
}

#[test]
fn what_was_not_used_for_long_goes() {
    let cache = Cache::new();
    let (old, new) = (used(&cache, "old", 30), used(&cache, "new", 10));
    let options = GcOptions {
        max_size: None,
        older_than: Some(HOUR * 20),
    };
    assert_eq!(cache.store.gc(&options).unwrap().removed_records, 1);
    assert!(cache.store.lookup(&old.key).unwrap().is_none());
    assert!(cache.store.lookup_verified(&new.key).unwrap().is_some());
}

#[test]
fn a_lookup_saves_a_record() {
    let cache = Cache::new();
    let (old, new) = (used(&cache, "old", 30), used(&cache, "new", 10));
    cache.store.lookup(&old.key).unwrap().unwrap();
    let options = GcOptions {
        max_size: None,
        older_than: Some(HOUR * 5),
    };
    assert_eq!(cache.store.gc(&options).unwrap().removed_records, 1);
    assert!(cache.store.lookup_verified(&old.key).unwrap().is_some());
    assert!(cache.store.lookup(&new.key).unwrap().is_none());
}

#[test]
fn without_a_lease_everything_can_go() {
    let cache = Cache::new();
    let report = {
        crate::fixture::publish(&cache.again(), "x");
        cache.store.gc(&ALL).unwrap()
    };
    assert_eq!(
        (
            report.removed_records,
            report.removed_objects,
            report.kept_bytes
        ),
        (1, 3, 0)
    );
    assert!(files(&cache.path().join("objects")).is_empty());
    assert!(files(&cache.path().join("actions")).is_empty());
}

#[test]
fn an_object_goes_with_the_last_record_that_names_it() {
    let cache = Cache::new();
    let old = used(&cache, "old", 30);
    let mut new = crate::fixture::record("new");
    new.outputs = old.outputs.clone();
    cache.again().publish(&new).unwrap();
    age_all(&cache.path(), HOUR * 10);
    age(&cache.record_path(&old.key), HOUR * 30);
    let older_than = |hours| GcOptions {
        max_size: None,
        older_than: Some(HOUR * hours),
    };
    let report = cache.store.gc(&older_than(20)).unwrap();
    assert_eq!(
        (report.removed_records, report.removed_objects),
        (1, 1),
        "the log alone"
    );
    let report = cache.store.gc(&older_than(5)).unwrap();
    assert_eq!((report.removed_records, report.removed_objects), (1, 2));
}

#[test]
fn objects_without_a_record_go_when_they_are_old() {
    let cache = Cache::new();
    let digests = {
        let store = cache.again();
        [
            store.put_bytes(b"old").unwrap(),
            store.put_bytes(b"fresh").unwrap(),
        ]
    };
    age(&cache.store.object_path(&digests[0]), HOUR * 2);
    let report = cache.store.gc(&GcOptions::default()).unwrap();
    assert_eq!((report.removed_objects, report.freed), (1, 3));
    assert!(cache.store.contains(&digests[1]));
}

#[test]
fn what_was_used_under_a_living_lease_stays() {
    let cache = Cache::new();
    let used_record = used(&cache, "used", 30);
    let unused = used(&cache, "unused", 30);
    let mut other = process::start("use_under_lease", &cache.path());
    assert_eq!(other.hear().unwrap(), "used");

    let report = cache.store.gc(&ALL).unwrap();
    assert_eq!((report.removed_records, report.kept_in_use), (1, 1));
    assert!(cache.store.lookup(&unused.key).unwrap().is_none());
    // Not through its record either: somebody forgets it while the other still needs the objects.
    cache.store.forget(&used_record.key).unwrap();
    let report = cache.store.gc(&ALL).unwrap();
    assert_eq!(report.removed_objects, 0);
    for output in &used_record.outputs {
        let to = cache.dir.path().join("out");
        assert!(
            cache
                .store
                .restore(&output.object, &to, FileMode::Plain)
                .unwrap()
                .is_some()
        );
    }

    other.kill();
    age_all(&cache.path(), HOUR * 2);
    cache.store.gc(&ALL).unwrap();
    assert!(files(&cache.path().join("objects")).is_empty());
}

#[test]
fn objects_put_by_a_living_store_stay_until_their_record_comes() {
    let cache = Cache::new();
    let store = cache.again();
    let digest = store.put_bytes(b"early").unwrap();
    let late = used(&cache, "late", 30);
    // Stored long ago, put again now.
    let again = store
        .put_file(&cache.store.object_path(&late.outputs[0].object))
        .unwrap()
        .0;
    cache.store.gc(&ALL).unwrap();
    assert!(cache.store.contains(&digest) && cache.store.contains(&again));
    assert!(cache.store.lookup(&late.key).unwrap().is_none());
}

#[test]
fn old_damage_is_dropped() {
    let cache = Cache::new();
    for (name, hours) in [("old", 30), ("new", 1)] {
        let path = cache.path().join("damaged").join(name);
        std::fs::write(&path, "x").unwrap();
        age(&path, HOUR * hours);
    }
    cache.store.gc(&GcOptions::default()).unwrap();
    assert_eq!(cache.store.stats().unwrap().damaged, 1);
}

#[test]
fn publishing_and_collecting_side_by_side_both_get_on() {
    let cache = Cache::new();
    let mut collector = process::start("collect_for_ever", &cache.path());
    collector.hear().unwrap();
    let others = [0, 1].map(|_| process::start("publish_some", &cache.path()));
    let _lease = cache.store.lease().unwrap();
    for seed in 0..60 {
        let record = cache.publish(&format!("ours {seed}"));
        let found = cache.store.lookup_verified(&record.key).unwrap();
        assert_eq!(found.as_ref(), Some(&record), "used under our lease");
        for output in &record.outputs {
            let to = cache.dir.path().join("out");
            assert_eq!(
                cache
                    .store
                    .restore(&output.object, &to, FileMode::Plain)
                    .unwrap(),
                Some(output.size)
            );
        }
    }
    for other in others {
        assert!(other.finish());
    }
    collector.kill();
    let report = cache.store.verify(kiln_cache::VerifyMode::Look).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.records >= 60);
}

#[test]
fn what_a_key_was_made_of_stays_as_long_as_its_record() {
    let cache = Cache::new();
    let text = b"MAKE=make\n";
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("recipe", ObjectDigest::of(text), Detail::Text);
    let (key, components) = key.finish();
    let mut record = crate::fixture::record("explained");
    (record.key, record.components) = (key, components);
    let store = cache.again();
    store.put_bytes(text).unwrap();
    store.publish(&record).unwrap();
    drop(store);
    age_all(&cache.path(), HOUR * 30);
    cache.store.gc(&GcOptions::default()).unwrap();
    assert!(cache.store.contains(&ObjectDigest::of(text)));
    cache.store.gc(&ALL).unwrap();
    assert!(!cache.store.contains(&ObjectDigest::of(text)));
}

/// Between the rounds nothing is held, and all of it goes.
#[test]
fn what_a_lookup_finds_is_there_as_long_as_its_lease_while_others_collect() {
    let cache = Cache::new();
    let mut collector = process::start("collect_for_ever", &cache.path());
    collector.hear().unwrap();
    let (mut hits, mut misses) = (0, 0);
    for _ in 0..150 {
        let store = cache.again();
        let lease = store.lease().unwrap();
        let found = store.lookup_verified(&crate::fixture::key("x").0).unwrap();
        if found.is_some() {
            hits += 1;
        } else {
            misses += 1;
        }
        let record = found.unwrap_or_else(|| crate::fixture::publish(&store, "x"));
        for _ in 0..5 {
            for object in record.objects() {
                assert!(store.read(&object).unwrap().is_some());
            }
            assert!(store.lookup_verified(&record.key).unwrap().is_some());
        }
        assert_eq!(store.take_damage(), []);
        drop(lease);
    }
    collector.kill();
    assert!(misses > 0, "{hits} hits, nothing was ever collected");
}
