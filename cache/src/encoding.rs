//! How small values are written down: bincode inside a checked frame.
//!
//! The only file that names bincode, so that it can be replaced. A frame is a magic number, a format
//! version, the payload's length, a BLAKE3 checksum over all three and the payload, then the payload.
//! Whatever was cut, flipped or appended is noticed and yields an error, never another value.
//! The layout is in `docs/cache-format.md` and pinned by a golden test.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;

/// Bytes before the payload: magic, version, length, checksum.
const HEADER: usize = 8 + 4 + 8 + Digest::LEN;

/// No value is longer; a length beyond it is damage, not a reason to allocate.
const LIMIT: usize = 256 << 20;

const CHECKSUM_DOMAIN: &str = "kiln-cache 2026-11-23 frame checksum";

/// What kind of value a frame holds: its magic number and the version of its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
}

impl Frame {
    /// An action record. In version 1, its time was in seconds.
    pub(crate) const RECORD: Self = Self::new(b"kilnrec\n", 2);
    /// A tree's snapshot; its payload is not bincode. In version 1, nothing was said of file systems.
    pub(crate) const TREE: Self = Self::new(b"kilntre\n", 2);
    /// A list of file snapshots. In version 1, nothing was said of file systems.
    pub(crate) const FILES: Self = Self::new(b"kilnfil\n", 2);
    /// A recorded cost.
    pub(crate) const COST: Self = Self::new(b"kilncst\n", 1);
    /// The keys of a subject's latest records.
    pub(crate) const RECENT: Self = Self::new(b"kilnnew\n", 1);

    const fn new(magic: &[u8; 8], version: u32) -> Self {
        Self {
            magic: *magic,
            version,
        }
    }
}

/// Why bytes are not a value of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a later or earlier release, in a layout that this one does not read.
    #[error("written in format {found}, not {supported}")]
    Version {
        /// The version that the bytes claim.
        found: u32,
        /// The version that this release reads.
        supported: u32,
    },
    /// Cut short, altered, or something else altogether.
    #[error("damaged or not of this kind")]
    Damaged,
}

/// Writes a value as bincode in a frame.
pub(crate) fn encode<T: Serialize>(frame: Frame, value: &T) -> Vec<u8> {
    let payload = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("plain data encodes into memory");
    wrap(frame, &payload)
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(frame: Frame, bytes: &[u8]) -> Result<T, DecodeError> {
    let payload = unwrap(frame, bytes)?;
    let config = bincode::config::standard().with_limit::<LIMIT>();
    let (value, used) =
        bincode::serde::decode_from_slice(payload, config).map_err(|_| DecodeError::Damaged)?;
    if used == payload.len() {
        Ok(value)
    } else {
        Err(DecodeError::Damaged)
    }
}

/// Puts a payload in a frame.
pub(crate) fn wrap(frame: Frame, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(&frame.magic);
    bytes.extend_from_slice(&frame.version.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    let checksum = checksum(&bytes, payload);
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes a payload out of its frame, once everything about it has been checked.
pub(crate) fn unwrap(frame: Frame, bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let (header, payload) = bytes.split_at_checked(HEADER).ok_or(DecodeError::Damaged)?;
    let (prefix, recorded) = header.split_at(HEADER - Digest::LEN);
    if checksum(prefix, payload) != *recorded || prefix[..8] != frame.magic {
        return Err(DecodeError::Damaged);
    }
    let found = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    if found != frame.version {
        return Err(DecodeError::Version {
            found,
            supported: frame.version,
        });
    }
    let length = (payload.len() as u64).to_le_bytes();
    if prefix[12..] == length {
        Ok(payload)
    } else {
        Err(DecodeError::Damaged)
    }
}

fn checksum(prefix: &[u8], payload: &[u8]) -> [u8; Digest::LEN] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECKSUM_DOMAIN);
    hasher.update(prefix);
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}
