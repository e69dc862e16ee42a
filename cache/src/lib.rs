//! The content-addressed cache beneath kiln: digests, keys, objects, records, index, upkeep.
//!
//! Everything slow is an *action*. Its inputs make an [`ActionKey`] ([`KeyBuilder`]); its outcome is an
//! [`ActionRecord`] in a [`Store`], next to the objects that it made, each named by its own digest.
//! Trees of input files are fingerprinted by [`scan_tree`], and the [`Index`] remembers how they looked
//! so that the next time nothing has to be read.
//!
//! The crate knows nothing of what is built. It never prints, exits or reads the environment.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod digest;
mod encoding;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod key;
mod record;
mod store;
mod tier;
mod tree;

pub use digest::{ActionKey, Digest, DigestParseError, ObjectDigest};
pub use encoding::DecodeError;
pub use index::{Index, NamedFiles};
pub use key::{ActionKind, Component, Detail, KEY_FORMAT, KeyBuilder};
pub use record::{ActionRecord, Cost, Output, Status, Subject};
pub use store::{
    ActionLock, Damage, DamagedItem, FileMode, GcOptions, GcReport, KindStats, Lease, Publication,
    Records, STORE_FORMAT, Scratch, Stats, Store, StoreError, Syncing, VerifyMode, VerifyReport,
    copy as copy_hashed,
};
pub use tier::{Tier, TierAnswer};
pub use tree::{
    Change, ChangeKind, EntryKind, FileScan, FileSnapshot, Manifest, ManifestEntry, ManifestError,
    ScanError, ScanOptions, Spot, StatIdentity, Stop, TreeScan, TreeSnapshot, lag, moved,
    scan_file, scan_file_until, scan_tree, unchanged,
};
