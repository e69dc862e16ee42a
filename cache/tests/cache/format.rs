//! The format on disk: what one release wrote, every later one of the same format reads.

use std::fs;
use std::path::PathBuf;

use crate::fixture::Cache;

/// If this fails, caches in use can no longer be read: raise the frame's version or `STORE_FORMAT`,
/// say so in `docs/cache-format.md`, and only then write the file anew.
#[test]
fn a_record_is_written_as_it_always_was() {
    let cache = Cache::new();
    let record = cache.publish("golden");
    let path = cache.record_path(&record.key);
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record-1");
    if std::env::var_os("KILN_WRITE_GOLDEN").is_some() {
        fs::copy(&path, &golden).unwrap();
    }
    let bytes = fs::read(golden).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(bytes[..12], *b"kilnrec\n\x01\0\0\0");
    crate::damage::overwrite(&path, &bytes);
    assert_eq!(
        cache.store.lookup_verified(&record.key).unwrap(),
        Some(record)
    );
}

/// A later release's record is neither read nor taken for damage.
#[test]
fn a_record_of_another_version_is_a_miss_and_left_alone() {
    let cache = Cache::new();
    let record = cache.publish("x");
    let path = cache.record_path(&record.key);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let payload = bytes.split_off(52);
    bytes.truncate(20);
    let mut checksum = blake3::Hasher::new_derive_key("kiln-cache 2026-11-23 frame checksum");
    checksum.update(&bytes).update(&payload);
    bytes.extend(checksum.finalize().as_bytes());
    bytes.extend(payload);
    crate::damage::overwrite(&path, &bytes);
    assert_eq!(cache.store.lookup(&record.key).unwrap(), None);
    assert_eq!(cache.store.take_damage(), []);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    cache.publish("x");
    assert_eq!(cache.store.lookup(&record.key).unwrap(), Some(record));
}
