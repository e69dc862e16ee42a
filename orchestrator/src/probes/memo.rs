//! Values in the index, packed. What cannot be read or kept is found out again.

use kiln_cache::{Index, ObjectDigest};
use serde::{Serialize, de::DeserializeOwned};

/// What is kept under a name and a digest.
pub(super) fn load<T: DeserializeOwned>(index: &Index, name: &str, of: ObjectDigest) -> Option<T> {
    let value = index.memo(name, of.to_string().as_bytes()).ok()??;
    serde_json::from_slice(&zstd::decode_all(value.as_slice()).ok()?).ok()
}

/// Keeps a value under a name and a digest.
pub(super) fn keep(index: &Index, name: &str, of: ObjectDigest, value: &impl Serialize) {
    let packed = serde_json::to_vec(value)
        .ok()
        .and_then(|text| zstd::encode_all(text.as_slice(), 1).ok());
    if let Some(packed) = packed {
        let _ = index.put_memo(name, of.to_string().as_bytes(), &packed);
    }
}
