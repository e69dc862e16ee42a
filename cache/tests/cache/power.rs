//! Power failures, and processes that stop, at every operation of every way in which the store is written.
//!
//! What must hold: a cache opens; a record that is found has all of its objects, whole; what was published
//! lasts; nothing is damaged; and the next run does what was interrupted.

mod collecting;
mod index;

use std::fs;
use std::path::{Path, PathBuf};

use kiln_cache::{ActionRecord, ObjectDigest, Store, StoreError, VerifyMode};
use kiln_durable::power::Machine;
use tempfile::TempDir;

use crate::damage::overwrite;
use crate::fixture::{leftovers, memory, record, try_publish};

/// Images of the disk for each step: nothing unsynced, everything, and some in between.
const IMAGES: u64 = 6;

/// Where the cache is on a machine: below directories that are made with it.
const CACHE: &str = "a/b/cache";

/// Looks at a cache after an interruption. The flag says whether the work had been done.
type Look<'a> = &'a dyn Fn(&Store, bool);

/// What a process does.
type Work<'a> = &'a dyn Fn(&Store) -> Result<(), StoreError>;

/// A machine with what `before` has done, to last.
fn machine(before: &dyn Fn(&Path)) -> (TempDir, PathBuf, std::sync::Arc<Machine>) {
    let dir = memory();
    let cache = dir.path().join(CACHE);
    before(&cache);
    let machine = Machine::new(dir.path()).unwrap();
    (dir, cache, machine)
}

/// Has the power fail, and looks at what is left, as often as there are images.
fn fail(machine: &Machine, done: bool, look: Look<'_>) {
    for image in 0..IMAGES {
        println!("power fails, image {image}");
        let dir = memory();
        machine.image(&dir.path().join("image"), image).unwrap();
        let store = Store::open(&dir.path().join("image").join(CACHE)).unwrap();
        look(&store, done);
    }
}

/// Does the work as often as it has operations, and stops at each of them: with the power, and alone.
fn at_every_step(before: &dyn Fn(&Path), work: Work<'_>, look: Look<'_>) {
    for step in 0.. {
        let (_dir, cache, machine) = machine(before);
        let process = machine.process(step);
        let done = Store::open_on(process.disk(), &cache).and_then(|store| work(&store));
        println!("stopped at {step}");
        fail(&machine, done.is_ok(), look);
        let store = Store::open(&cache).unwrap();
        assert_eq!(leftovers(&cache), [""; 0], "stopped at {step}");
        look(&store, done.is_ok());
        if !process.has_ended() {
            done.unwrap();
            assert!(step > 5, "{step}");
            break;
        }
    }
}

fn nothing(_: &Path) {}

fn publish(store: &Store, seed: &str) -> Result<(), StoreError> {
    try_publish(store, seed).map(drop)
}

/// Whether there is a record; it has all of its objects then.
fn is_whole(store: &Store, record: &ActionRecord) -> bool {
    let found = store.lookup(&record.key).unwrap();
    let verified = store.lookup_verified(&record.key).unwrap();
    assert_eq!(found, verified, "a record without its objects");
    assert_eq!(store.take_damage(), []);
    assert!(store.verify(VerifyMode::Look).unwrap().is_clean());
    verified.is_some()
}

/// The record that publishing a seed makes.
fn published(seed: &str) -> ActionRecord {
    let dir = memory();
    try_publish(&Store::open(dir.path()).unwrap(), seed).unwrap()
}

fn look_for(record: &ActionRecord, seed: &str, store: &Store, done: bool) {
    let found = is_whole(store, record);
    assert!(found || !done, "what was published did not last");
    publish(store, seed).unwrap();
    assert!(is_whole(store, record), "the next run does not complete");
}

#[test]
fn an_outcome_is_there_or_not_and_lasts_when_published() {
    let new = published("new");
    at_every_step(&nothing, &|store| publish(store, "new"), &|store, done| {
        look_for(&new, "new", store, done);
    });
}

#[test]
fn what_was_published_before_is_there_all_the_time() {
    let (old, new) = (published("old"), published("new"));
    let before = |cache: &Path| publish(&Store::open(cache).unwrap(), "old").unwrap();
    at_every_step(&before, &|store| publish(store, "new"), &|store, done| {
        assert!(is_whole(store, &old));
        look_for(&new, "new", store, done);
    });
}

/// An earlier process may have made every directory a moment before it was killed.
#[test]
fn what_others_made_is_not_believed_to_last() {
    let new = published("new");
    for step in 0.. {
        let (_dir, cache, machine) = machine(&nothing);
        let killed = machine.process(step);
        let _ = Store::open_on(killed.disk(), &cache).and_then(|store| publish(&store, "new"));
        println!("killed at {step}");
        let store = Store::open_on(machine.steady().disk(), &cache).unwrap();
        publish(&store, "new").unwrap();
        fail(&machine, true, &|store, done| {
            look_for(&new, "new", store, done);
        });
        if !killed.has_ended() {
            break;
        }
    }
}

/// A record may name what the store has; who put it there may have been killed before syncing it.
#[test]
fn a_record_names_only_what_lasts() {
    let log = ObjectDigest::of(b"log");
    let mut named = record("x");
    named.log = Some(log);
    let mut is_named = 0;
    for step in 0.. {
        let (_dir, cache, machine) = machine(&nothing);
        let killed = machine.process(step);
        let _ = Store::open_on(killed.disk(), &cache).and_then(|store| store.put_bytes(b"log"));
        let store = Store::open_on(machine.steady().disk(), &cache).unwrap();
        if store.contains(&log) {
            is_named += 1;
            store.publish(&named).unwrap();
            fail(&machine, true, &|store, _| {
                assert!(is_whole(store, &named));
            });
        }
        if !killed.has_ended() {
            break;
        }
    }
    assert!(is_named > 1, "{is_named}");
}

#[test]
fn a_replaced_record_is_the_old_or_the_new_one() {
    let with_log = |store: &Store, log: &str| {
        let mut record = record("same");
        let mut publication = store.publication();
        record.log = Some(publication.put_bytes(log.as_bytes())?);
        publication.commit_with(&record)
    };
    let before = |cache: &Path| with_log(&Store::open(cache).unwrap(), "old").unwrap();
    let logs = ["old", "new"].map(|log| Some(ObjectDigest::of(log.as_bytes())));
    at_every_step(&before, &|store| with_log(store, "new"), &|store, done| {
        assert!(is_whole(store, &record("same")));
        let found = store.lookup(&record("same").key).unwrap().unwrap();
        assert!(found.log == logs[1] || !done && found.log == logs[0]);
    });
}

#[test]
fn an_object_that_was_put_lasts() {
    let digest = ObjectDigest::of(b"content");
    let put = |store: &Store| store.put_bytes(b"content").map(drop);
    at_every_step(&nothing, &put, &|store, done| {
        let found = store.read(&digest).unwrap();
        assert!(found.is_some() || !done);
        assert_eq!(store.take_damage(), []);
    });
}

#[test]
fn what_was_damaged_is_made_again_to_last() {
    let record = published("x");
    let output = record.outputs[0].object;
    let before = |cache: &Path| {
        let store = Store::open(cache).unwrap();
        publish(&store, "x").unwrap();
        let path = store.object_path(&output);
        let mut bad = fs::read(&path).unwrap();
        bad[7] ^= 1;
        overwrite(&path, &bad);
    };
    let repair = |store: &Store| {
        assert_eq!(store.lookup_verified(&record.key)?, None);
        publish(store, "x")
    };
    at_every_step(&before, &repair, &|store, done| {
        let found = store.lookup_verified(&record.key).unwrap();
        assert!(found.is_some() || !done, "what was repaired did not last");
        publish(store, "x").unwrap();
        let found = store.lookup_verified(&record.key).unwrap();
        assert_eq!(found.as_ref(), Some(&record));
    });
}
