//! Statistics, and checking the whole store.

use std::fs;

use kiln_cache::{ActionKind, Status, Store, StoreError, VerifyMode};

use crate::damage::overwrite;
use crate::fixture::{Cache, files, record};

#[test]
fn everything_is_counted() {
    let cache = Cache::new();
    assert_eq!(cache.store.stats().unwrap().record_count(), 0);
    let one = cache.publish("one");
    cache.publish("two");
    let mut failure = record("three");
    failure.kind = ActionKind::Conf;
    failure.status = Status::Failure {
        code: 1,
        cause: String::new(),
    };
    cache.store.publish(&failure).unwrap();
    let stats = Store::open_reading(&cache.path()).unwrap().stats().unwrap();
    assert_eq!((stats.objects, stats.record_count()), (6, 3));
    assert_eq!(stats.records[&ActionKind::Job].successes, 2);
    assert_eq!(stats.records[&ActionKind::Job].cpu, one.cost.cpu * 2);
    assert_eq!(stats.records[&ActionKind::Conf].failures, 1);
    let sizes = |part: &str| -> u64 {
        files(&cache.path().join(part))
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .sum()
    };
    assert_eq!(
        (stats.object_bytes, stats.record_bytes),
        (sizes("objects"), sizes("actions"))
    );
    assert!(stats.oldest_use.unwrap() <= stats.newest_use.unwrap());
}

#[test]
fn a_good_store_is_clean() {
    let cache = Cache::new();
    cache.publish("x");
    let report = Store::open_reading(&cache.path())
        .unwrap()
        .verify(VerifyMode::Look)
        .unwrap();
    assert!(report.is_clean());
    assert_eq!((report.objects, report.records), (3, 1));
}

#[test]
fn what_is_bad_is_found_and_put_right() {
    let cache = Cache::new();
    let [good, bad_object, no_object, bad_record] =
        ["good", "bad object", "no object", "bad record"].map(|seed| cache.publish(seed));
    overwrite(
        &cache.store.object_path(&bad_object.outputs[1].object),
        b"bad",
    );
    fs::remove_file(cache.store.object_path(&no_object.log.unwrap())).unwrap();
    overwrite(&cache.record_path(&bad_record.key), b"bad");
    let before = files(&cache.path());

    let found = cache.store.verify(VerifyMode::Look).unwrap();
    let mut incomplete = vec![bad_object.key, no_object.key];
    incomplete.sort();
    assert_eq!(found.bad_objects, [bad_object.outputs[1].object]);
    assert_eq!(found.bad_records, [bad_record.key]);
    assert_eq!(found.incomplete_records, incomplete);
    assert_eq!(
        (found.objects, found.records, found.moved_aside.len()),
        (11, 4, 0)
    );
    assert_eq!(files(&cache.path()), before, "looking changes nothing");

    let repaired = cache.store.verify(VerifyMode::Repair).unwrap();
    assert_eq!(repaired.incomplete_records, incomplete);
    assert_eq!(repaired.moved_aside.len(), 2);
    let after = cache.store.verify(VerifyMode::Look).unwrap();
    assert!(after.is_clean());
    assert_eq!(after.records, 1);
    assert!(cache.store.lookup_verified(&good.key).unwrap().is_some());
    assert_eq!(cache.store.stats().unwrap().damaged, 2);
}

#[test]
fn who_only_reads_repairs_and_collects_nothing() {
    let cache = Cache::new();
    let reading = Store::open_reading(&cache.path()).unwrap();
    assert!(matches!(
        reading.verify(VerifyMode::Repair),
        Err(StoreError::ReadOnly { .. })
    ));
    assert!(matches!(
        reading.gc(&kiln_cache::GcOptions::default()),
        Err(StoreError::ReadOnly { .. })
    ));
    assert!(matches!(
        reading.forget(&record("x").key),
        Err(StoreError::ReadOnly { .. })
    ));
}
