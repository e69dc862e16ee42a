//! Values in the index, packed. What cannot be read or kept is found out again.

use kiln_cache::{Index, ObjectDigest};
use serde::{Serialize, de::DeserializeOwned};

/// The bytes that are kept under a name and a digest.
pub fn load_bytes(index: &Index, name: &str, of: ObjectDigest) -> Option<Vec<u8>> {
    let packed = index.memo(name, of.to_string().as_bytes()).ok()??;
    zstd::decode_all(packed.as_slice()).ok()
}

/// Keeps bytes under a name and a digest.
pub fn keep_bytes(index: &Index, name: &str, of: ObjectDigest, bytes: &[u8]) {
    if let Ok(packed) = zstd::encode_all(bytes, 1) {
        let _ = index.put_memo(name, of.to_string().as_bytes(), &packed);
    }
}

/// The value that is kept under a name and a digest.
pub fn load<T: DeserializeOwned>(index: &Index, name: &str, of: ObjectDigest) -> Option<T> {
    serde_json::from_slice(&load_bytes(index, name, of)?).ok()
}

/// Keeps a value under a name and a digest.
pub fn keep(index: &Index, name: &str, of: ObjectDigest, value: &impl Serialize) {
    if let Ok(text) = serde_json::to_vec(value) {
        keep_bytes(index, name, of, &text);
    }
}
