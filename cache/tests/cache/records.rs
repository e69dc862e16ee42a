//! Records: found by key, all of them, or the nearest to a subject.

use std::fs;
use std::time::{Duration, SystemTime};

use kiln_cache::{ActionKind, ActionRecord, Index, Status, Store, Subject};

use crate::fixture::{Cache, age, record};

#[test]
fn what_is_published_is_found() {
    let cache = Cache::new();
    let record = cache.publish("x");
    assert_eq!(
        cache.store.lookup(&record.key).unwrap().as_ref(),
        Some(&record)
    );
    assert_eq!(
        cache.again().lookup_verified(&record.key).unwrap(),
        Some(record.clone())
    );
    let reading = Store::open_reading(&cache.path()).unwrap();
    assert_eq!(
        reading.lookup_verified(&record.key).unwrap(),
        Some(record.clone())
    );
    assert_eq!(reading.lookup(&crate::fixture::key("y").0).unwrap(), None);
}

#[test]
fn a_failure_is_an_outcome() {
    let cache = Cache::new();
    let mut failure = record("x");
    failure.status = Status::Failure {
        code: 2,
        cause: "a.c:1:1: error: no".into(),
    };
    cache.store.publish(&failure).unwrap();
    assert_eq!(
        cache.store.lookup_verified(&failure.key).unwrap(),
        Some(failure.clone())
    );
    cache.store.forget(&failure.key).unwrap();
    cache.store.forget(&failure.key).unwrap();
    assert_eq!(cache.store.lookup(&failure.key).unwrap(), None);
}

#[test]
fn a_later_outcome_replaces_an_earlier_one() {
    let cache = Cache::new();
    let mut failure = record("x");
    failure.status = Status::Failure {
        code: 2,
        cause: "out of luck".into(),
    };
    cache.store.publish(&failure).unwrap();
    let success = cache.publish("x");
    assert_eq!(cache.store.lookup(&failure.key).unwrap(), Some(success));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "not in the store")]
fn a_record_may_not_name_what_is_not_there() {
    let cache = Cache::new();
    let mut record = record("x");
    record.log = Some(kiln_cache::ObjectDigest::of(b"never put"));
    let _ = cache.store.publish(&record);
}

#[test]
fn looking_up_is_use() {
    let cache = Cache::new();
    let record = cache.publish("x");
    let path = cache.record_path(&record.key);
    age(&path, Duration::from_secs(9999));
    cache.store.lookup(&record.key).unwrap();
    let used = path.metadata().unwrap().modified().unwrap();
    assert!(SystemTime::now().duration_since(used).unwrap() < Duration::from_secs(100));
}

#[test]
fn all_records_are_listed_by_key_without_being_used() {
    let cache = Cache::new();
    let mut expected: Vec<_> = (0..30)
        .map(|seed| cache.publish(&seed.to_string()))
        .collect();
    expected.sort_by_key(|record| record.key);
    let bad = cache.publish("bad");
    super::damage::overwrite(&cache.record_path(&bad.key), b"bad");
    fs::write(cache.path().join("actions/stray"), "x").unwrap();
    let path = cache.record_path(&expected[0].key);
    age(&path, Duration::from_secs(9999));
    let before = path.metadata().unwrap().modified().unwrap();
    let found: Vec<ActionRecord> = cache.store.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(found, expected);
    assert_eq!(path.metadata().unwrap().modified().unwrap(), before);
    assert_eq!(cache.store.take_damage().len(), 1);
}

#[test]
fn the_nearest_record_is_of_the_same_target_if_there_is_one() {
    let cache = Cache::new();
    let subject = |name: &str, target: &str| Subject {
        name: name.into(),
        target: target.into(),
    };
    let publish = |seed: &str, name: &str, target: &str, created, kind| {
        let mut record = record(seed);
        record.subject = subject(name, target);
        record.created = created;
        record.kind = kind;
        cache.store.publish(&record).unwrap();
        record
    };
    publish("1", "a/1", "old", 10, ActionKind::Job);
    let newer = publish("2", "a/1", "old", 20, ActionKind::Job);
    let newest = publish("3", "a/1", "new", 30, ActionKind::Job);
    publish("4", "b/1", "old", 40, ActionKind::Job);
    publish("5", "a/1", "old", 50, ActionKind::Conf);
    let nearest = |name: &str, target: &str| {
        cache
            .store
            .nearest(&subject(name, target), ActionKind::Job)
            .unwrap()
    };
    assert_eq!(nearest("a/1", "old"), Some(newer));
    assert_eq!(nearest("a/1", "new").as_ref(), Some(&newest));
    assert_eq!(nearest("a/1", "other"), Some(newest));
    assert_eq!(nearest("c/1", "old"), None);
}

#[test]
fn the_newer_of_two_records_of_one_second_is_nearest() {
    // Which of the keys is the larger must not matter.
    for (first, second) in [("1", "2"), ("2", "1")] {
        let cache = Cache::new();
        let older = record(first);
        let mut newer = record(second);
        newer.created += 1;
        let between = newer.created_at().duration_since(older.created_at());
        assert_eq!(between.unwrap(), Duration::from_nanos(1));
        newer.subject.target = "another".into();
        for record in [&newer, &older] {
            cache.store.publish(record).unwrap();
        }
        let subject = Subject {
            target: "a third".into(),
            ..older.subject.clone()
        };
        let nearest = cache.store.nearest(&subject, ActionKind::Job);
        assert_eq!(nearest.unwrap().as_ref(), Some(&newer));
        let index = Index::burst(&cache.store, Duration::from_secs(10));
        let index = index.unwrap().unwrap();
        for record in [&newer, &older] {
            index.note_record(record).unwrap();
        }
        let nearest = index.nearest(&cache.store, &subject, ActionKind::Job);
        assert_eq!(nearest.unwrap(), Some(newer));
    }
}

#[test]
fn a_record_can_be_shown_as_json() {
    let mut record = record("x");
    record.status = Status::Failure {
        code: 2,
        cause: "no".into(),
    };
    let json = serde_json::to_value(&record).unwrap();
    assert_eq!(json["kind"], "job");
    assert_eq!(json["key"], record.key.to_string());
    assert_eq!(json["status"]["failure"]["code"], 2);
    assert_eq!(json["components"][1]["detail"], "text");
    assert_eq!(
        serde_json::from_value::<ActionRecord>(json).unwrap(),
        record
    );
}
