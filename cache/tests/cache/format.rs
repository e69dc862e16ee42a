//! The format on disk: what one release wrote, every later one of the same format reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_cache::{GcOptions, VerifyMode};

use crate::fixture::{Cache, age_all, publish};

/// Versions of records that other releases write.
const OTHERS: [u8; 2] = [1, 3];

/// If this fails, caches in use can no longer be read: raise the frame's version or `STORE_FORMAT`,
/// say so in `docs/cache-format.md`, and only then write the file anew.
#[test]
fn a_record_is_written_as_it_always_was() {
    let cache = Cache::new();
    let record = cache.publish("golden");
    let path = cache.record_path(&record.key);
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record-2");
    if std::env::var_os("KILN_WRITE_GOLDEN").is_some() {
        fs::copy(&path, &golden).unwrap();
    }
    let bytes = fs::read(golden).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(bytes[..12], *b"kilnrec\n\x02\0\0\0");
    crate::damage::overwrite(&path, &bytes);
    assert_eq!(
        cache.store.lookup_verified(&record.key).unwrap(),
        Some(record)
    );
}

/// Makes a record one of another version of the format, as another release would write it.
fn rewrite(path: &Path, version: u8) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = version;
    let payload = bytes.split_off(52);
    bytes.truncate(20);
    let mut checksum = blake3::Hasher::new_derive_key("kiln-cache 2026-11-23 frame checksum");
    checksum.update(&bytes).update(&payload);
    bytes.extend(checksum.finalize().as_bytes());
    bytes.extend(payload);
    crate::damage::overwrite(path, &bytes);
    bytes
}

/// Another release's record is neither read nor taken for damage.
#[test]
fn a_record_of_another_version_is_a_miss_and_left_alone() {
    for version in OTHERS {
        let cache = Cache::new();
        let record = cache.publish("x");
        let path = cache.record_path(&record.key);
        let bytes = rewrite(&path, version);
        assert_eq!(cache.store.lookup(&record.key).unwrap(), None);
        let found = cache.store.verify(VerifyMode::Repair).unwrap();
        assert!(found.is_clean());
        assert_eq!((found.objects, found.records), (3, 0));
        assert_eq!(cache.store.take_damage(), []);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        cache.publish("x");
        assert_eq!(cache.store.lookup(&record.key).unwrap(), Some(record));
    }
}

/// Nobody may come to use it any more, so it goes when it was not used for long.
#[test]
fn a_record_of_another_version_is_collected_like_all() {
    for version in OTHERS {
        let cache = Cache::new();
        let record = publish(&cache.again(), "x");
        rewrite(&cache.record_path(&record.key), version);
        let day = Duration::from_secs(24 * 3600);
        let options = GcOptions {
            max_size: None,
            older_than: Some(day),
        };
        assert_eq!(cache.store.gc(&options).unwrap().removed_records, 0);
        age_all(&cache.path(), 2 * day);
        let report = cache.store.gc(&options).unwrap();
        assert_eq!((report.removed_records, report.removed_objects), (1, 3));
        assert_eq!(report.kept_bytes, 0);
    }
}
