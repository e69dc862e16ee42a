//! Trees of files: what they contain, and how to notice cheaply that they have not changed.
//!
//! A [`Manifest`] is a tree's content and nothing else: paths, file digests, execute bits, link
//! targets. A [`TreeSnapshot`] adds how each entry looked to `stat`, so that the next scan reads only
//! what may have changed. The rule that decides what may have changed is in `identity.rs`.

mod file;
mod file_system;
mod identity;
mod manifest;
mod recheck;
mod scan;
mod snapshot;
mod spot;

pub use file::{FileScan, FileSnapshot, scan_file, scan_file_until};
pub use identity::{StatIdentity, lag};
pub use manifest::{Change, ChangeKind, EntryKind, Manifest, ManifestEntry, ManifestError};
pub use recheck::{moved, unchanged};
pub use scan::{ScanError, ScanOptions, Stop, TreeScan, scan_tree};
pub use snapshot::TreeSnapshot;
pub use spot::Spot;
