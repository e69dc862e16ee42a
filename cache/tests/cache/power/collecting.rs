//! Collecting that is stopped, or during which the power fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kiln_cache::{GcOptions, ObjectDigest, Store, StoreError, VerifyMode};

use super::{at_every_step, fail, is_whole, look_for, machine, publish, published};
use crate::fixture::{age, age_all, record};

/// What there is to collect.
const SEEDS: [&str; 3] = ["one", "two", "three"];

/// Longer than an object waits for its record.
const LONG: Duration = Duration::from_secs(7200);

/// A cache with outcomes, an object that no record names, and damage, all long out of use.
fn all_old(cache: &Path) {
    let store = Store::open(cache).unwrap();
    for seed in SEEDS {
        publish(&store, seed).unwrap();
    }
    store.put_bytes(b"an orphan").unwrap();
    drop(store);
    age_all(cache, LONG);
    let damaged = cache.join("damaged/object-x");
    fs::write(&damaged, "bad").unwrap();
    age(&damaged, LONG * 24);
}

fn collect_all(store: &Store) -> Result<(), StoreError> {
    let max_size = Some(0);
    let older_than = None;
    store.gc(&GcOptions {
        max_size,
        older_than,
    })?;
    Ok(())
}

#[test]
fn collecting_leaves_no_record_without_its_objects() {
    let records = SEEDS.map(published);
    at_every_step(&all_old, &collect_all, &|store, _| {
        for (record, seed) in records.iter().zip(SEEDS) {
            look_for(record, seed, store, false);
        }
    });
}

/// What replaced a record may not last when what the old one named is collected.
#[test]
fn collecting_what_a_replaced_record_named_waits_for_the_new_one_to_last() {
    let with_log = |store: &Store, log: &str| {
        let mut record = record("same");
        let mut publication = store.publication();
        record.log = Some(publication.put_bytes(log.as_bytes())?);
        publication.commit_with(&record)
    };
    let before = |cache: &Path| {
        with_log(&Store::open(cache).unwrap(), "old").unwrap();
        age_all(cache, Duration::from_secs(7200));
    };
    for step in 0.. {
        let (_dir, cache, machine) = machine(&before);
        let killed = machine.process(step);
        let _ = Store::open_on(killed.disk(), &cache).and_then(|store| with_log(&store, "new"));
        let store = Store::open_on(machine.steady().disk(), &cache).unwrap();
        store.gc(&GcOptions::default()).unwrap();
        fail(&machine, true, &|store, _| {
            assert!(is_whole(store, &record("same")));
        });
        if !killed.has_ended() {
            break;
        }
    }
}

/// The next run collects what a stopped one has left, whatever is back.
#[test]
fn what_a_stopped_collection_left_goes_with_the_next() {
    at_every_step(&all_old, &collect_all, &|store, _| {
        assert!(store.verify(VerifyMode::Look).unwrap().is_clean());
        collect_all(store).unwrap();
        let left = store.stats().unwrap();
        assert_eq!((left.objects, left.record_count(), left.damaged), (0, 0, 0));
    });
}

/// What goes and what stays may name the same objects.
#[test]
fn what_stays_is_whole_while_others_go() {
    let log = ObjectDigest::of(b"the same log");
    let named = |store: &Store, seed: &str| {
        let mut record = record(seed);
        let mut publication = store.publication();
        record.log = Some(publication.put_bytes(b"the same log")?);
        publication.commit_with(&record)
    };
    let before = |cache: &Path| {
        let store = Store::open(cache).unwrap();
        named(&store, "old").unwrap();
        publish(&store, "older").unwrap();
        drop(store);
        age_all(cache, LONG);
        let store = Store::open(cache).unwrap();
        named(&store, "new").unwrap();
        publish(&store, "newer").unwrap();
        age(&store.object_path(&log), LONG);
    };
    let collect = |store: &Store| {
        let max_size = None;
        let older_than = Some(LONG / 2);
        store.gc(&GcOptions {
            max_size,
            older_than,
        })?;
        Ok(())
    };
    let mut stays = record("new");
    stays.log = Some(log);
    at_every_step(&before, &collect, &|store, done| {
        assert!(is_whole(store, &stays) && is_whole(store, &published("newer")));
        let gone = store.lookup(&record("old").key).unwrap();
        assert!(gone.is_none() || !done, "what was collected came back");
        look_for(&published("older"), "older", store, false);
    });
}
