//! Damage: a bad file is a miss, moved aside and reported once, and heals by being made again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiln_cache::{DamagedItem, FileMode, Store, VerifyMode};
use proptest::prelude::*;

use crate::fixture::{Cache, files};

/// Overwrites a file of the store, as a failing disk would.
pub(crate) fn overwrite(path: &Path, content: &[u8]) {
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_bad_object_is_a_miss_whichever_way_it_is_read() {
    let bad: [&[u8]; 4] = [b"", b"conten", b"Content", b"content "];
    for (at, bad) in bad.into_iter().enumerate() {
        let cache = Cache::new();
        let digest = cache.store.put_bytes(b"content").unwrap();
        overwrite(&cache.store.object_path(&digest), bad);
        let destination = cache.dir.path().join("out");
        let missed = match at {
            0 => cache.store.read(&digest).unwrap().is_none(),
            1 => cache.store.open_object(&digest).unwrap().is_none(),
            2 => cache.store.verify_object(&digest).unwrap().is_none(),
            _ => cache
                .store
                .restore(&digest, &destination, FileMode::Plain)
                .unwrap()
                .is_none(),
        };
        assert!(missed && !destination.exists());
        assert_eq!(
            fs::read_dir(cache.dir.path()).unwrap().count(),
            1,
            "no half a file"
        );

        let damage = cache.store.take_damage();
        assert_eq!(damage.len(), 1);
        assert_eq!(damage[0].item, DamagedItem::Object(digest));
        assert_eq!(fs::read(&damage[0].path).unwrap(), bad);
        assert!(damage[0].path.starts_with(cache.path().join("damaged")));

        assert_eq!(cache.store.read(&digest).unwrap(), None);
        assert_eq!(cache.store.take_damage(), [], "reported once");
        cache.store.put_bytes(b"content").unwrap();
        assert_eq!(cache.store.read(&digest).unwrap().unwrap(), b"content");
    }
}

#[test]
fn a_record_that_others_may_write_to_is_a_miss() {
    for mode in [0o464, 0o446] {
        let cache = Cache::new();
        let record = cache.publish("x");
        let path = cache.record_path(&record.key);
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(cache.store.lookup(&record.key).unwrap(), None);
        let damage = cache.store.take_damage();
        assert_eq!(damage[0].item, DamagedItem::Record(record.key));
        assert!(!path.exists());
    }
}

#[test]
fn an_object_that_others_may_write_to_is_a_miss() {
    let open = |path: &Path| fs::set_permissions(path, PermissionsExt::from_mode(0o446)).unwrap();
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"content").unwrap();
    let path = cache.store.object_path(&digest);
    open(&path);
    assert!(!cache.store.contains(&digest));
    let looked = cache.store.verify(VerifyMode::Look).unwrap();
    assert_eq!(looked.bad_objects, [digest]);
    assert_eq!(cache.store.read(&digest).unwrap(), None);
    let damage = cache.store.take_damage();
    assert_eq!(damage[0].item, DamagedItem::Object(digest));
    assert!(!path.exists());
    // It is also replaced where nobody has read it.
    cache.store.put_bytes(b"content").unwrap();
    open(&path);
    cache.store.put_bytes(b"content").unwrap();
    assert_eq!(cache.store.read(&digest).unwrap().unwrap(), b"content");
}

#[test]
fn a_record_that_others_may_write_to_is_found_by_a_check() {
    let cache = Cache::new();
    let record = cache.publish("x");
    let path = cache.record_path(&record.key);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o446)).unwrap();
    let looked = cache.store.verify(VerifyMode::Look).unwrap();
    assert_eq!(looked.bad_records, [record.key]);
}

#[test]
fn a_bad_large_object_is_a_miss() {
    let cache = Cache::new();
    let content = vec![5; 3 << 20];
    let digest = cache.store.put_bytes(&content).unwrap();
    let mut bad = content.clone();
    bad[2 << 20] ^= 1;
    overwrite(&cache.store.object_path(&digest), &bad);
    assert_eq!(cache.store.verify_object(&digest).unwrap(), None);
}

#[test]
fn an_object_of_the_wrong_size_is_replaced_by_a_put() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"content").unwrap();
    overwrite(&cache.store.object_path(&digest), b"cont");
    cache.store.put_bytes(b"content").unwrap();
    assert_eq!(cache.store.read(&digest).unwrap().unwrap(), b"content");
}

#[test]
fn a_directory_in_an_objects_place_is_damage() {
    let cache = Cache::new();
    let digest = cache.store.put_bytes(b"content").unwrap();
    let path = cache.store.object_path(&digest);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(cache.store.read(&digest).unwrap(), None);
    assert_eq!(cache.store.take_damage().len(), 1);
    cache.store.put_bytes(b"content").unwrap();
    assert_eq!(cache.store.read(&digest).unwrap().unwrap(), b"content");
}

#[test]
fn damage_found_while_only_reading_is_left_in_place_and_reported_once() {
    let cache = Cache::new();
    let record = cache.publish("x");
    overwrite(&cache.store.object_path(&record.outputs[0].object), b"bad");
    let before = files(&cache.path());
    let reading = Store::open_reading(&cache.path()).unwrap();
    assert!(reading.lookup_verified(&record.key).unwrap().is_none());
    assert!(reading.lookup_verified(&record.key).unwrap().is_none());
    let damage = reading.take_damage();
    assert_eq!(damage.len(), 1);
    assert_eq!(
        damage[0].path,
        cache.store.object_path(&record.outputs[0].object)
    );
    assert_eq!(files(&cache.path()), before);
}

#[test]
fn any_bad_or_missing_object_makes_a_verified_lookup_a_miss() {
    for at in 0..3 {
        for remove in [false, true] {
            let cache = Cache::new();
            let record = cache.publish("x");
            let path = cache.store.object_path(&record.objects().nth(at).unwrap());
            if remove {
                fs::remove_file(path).unwrap();
            } else if at < 2 {
                overwrite(&path, b"bad");
            } else {
                continue;
            }
            assert!(
                cache.store.lookup_verified(&record.key).unwrap().is_none(),
                "{at} {remove}"
            );
            assert_eq!(cache.publish("x"), record);
            assert_eq!(
                cache.store.lookup_verified(&record.key).unwrap(),
                Some(record)
            );
        }
    }
}

#[test]
fn a_record_in_anothers_place_is_a_miss() {
    let cache = Cache::new();
    let (one, other) = (cache.publish("one"), cache.publish("other"));
    fs::copy(cache.record_path(&one.key), cache.dir.path().join("copy")).unwrap();
    fs::rename(cache.dir.path().join("copy"), cache.record_path(&other.key)).unwrap();
    assert_eq!(cache.store.lookup(&other.key).unwrap(), None);
    assert_eq!(
        cache.store.take_damage()[0].item,
        DamagedItem::Record(other.key)
    );
    assert_eq!(cache.store.lookup(&one.key).unwrap(), Some(one));
}

/// Every byte of a record, each of its bits, and every length that it could be cut to.
#[test]
fn a_damaged_record_is_always_a_miss() {
    let cache = Cache::new();
    let record = cache.publish("x");
    let path = cache.record_path(&record.key);
    let good = fs::read(&path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        for bad in [&bad[..], &good[..at]] {
            fs::write(&path, bad).unwrap();
            assert_eq!(cache.store.lookup(&record.key).unwrap(), None, "byte {at}");
            assert_eq!(cache.store.take_damage().len(), 1);
        }
    }
    fs::write(&path, [&good[..], b"\0"].concat()).unwrap();
    assert_eq!(cache.store.lookup(&record.key).unwrap(), None);
    fs::write(&path, &good).unwrap();
    assert_eq!(cache.store.lookup(&record.key).unwrap(), Some(record));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn garbage_is_never_a_record(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
        let cache = Cache::new();
        let record = cache.publish("x");
        overwrite(&cache.record_path(&record.key), &garbage);
        prop_assert_eq!(cache.store.lookup(&record.key).unwrap(), None);
    }
}
