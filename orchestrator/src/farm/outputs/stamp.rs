//! Whether a published file is the one of a record and its settings: told by its time, as
//! for the logs of `kiln build -o`, so that a farm whose builds are all hits packs nothing.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kiln_cache::{ActionRecord, ObjectDigest};

/// The time that marks what was made of one record by the same settings: when the record was
/// made, in seconds; a digest of everything else below that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(SystemTime);

impl Stamp {
    /// The stamp of a record's outputs.
    pub(super) fn new(record: &ActionRecord, settings: &str) -> Self {
        let outputs: Vec<String> = record
            .outputs
            .iter()
            .map(|output| format!("{} {}", output.path, output.object))
            .collect();
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "{version}\0{settings}\0{}\0{}",
            record.key,
            outputs.join("\0")
        );
        let digest = ObjectDigest::of(text.as_bytes()).to_string();
        let nanos = u32::from_str_radix(&digest[..8], 16).unwrap_or_default() % 1_000_000_000;
        let ended = record.created / 1_000_000_000;
        Self(UNIX_EPOCH + Duration::new(ended, nanos))
    }

    /// Whether a file has it. Where times have no nanoseconds, none has.
    pub(super) fn is_on(self, path: &Path) -> bool {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| time == self.0)
    }

    /// Puts it on a file. If that fails, the file is made anew next time.
    pub(super) fn put_on(self, path: &Path) {
        let _ = File::open(path).and_then(|file| file.set_modified(self.0));
    }
}
