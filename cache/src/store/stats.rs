//! What is in the store, counted.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::error::StoreError;
use super::{Store, listing};
use crate::digest::ObjectDigest;
use crate::key::ActionKind;

/// What a store holds. Counting marks nothing as used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many objects there are.
    pub objects: u64,
    /// How many bytes they have.
    pub object_bytes: u64,
    /// How many records there are of each kind, and what they cost.
    pub records: BTreeMap<ActionKind, KindStats>,
    /// How many bytes all records have.
    pub record_bytes: u64,
    /// How many damaged files were moved aside and are still kept.
    pub damaged: u64,
    /// When the record that was not used for longest was last used.
    pub oldest_use: Option<SystemTime>,
    /// When any record was last used.
    pub newest_use: Option<SystemTime>,
}

/// The records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// Recorded successes.
    pub successes: u64,
    /// Recorded failures.
    pub failures: u64,
    /// The processor time that having to run them all again would take.
    pub cpu: std::time::Duration,
}

impl Stats {
    /// How many records there are.
    pub fn record_count(&self) -> u64 {
        let counts = self.records.values();
        counts.map(|kind| kind.successes + kind.failures).sum()
    }
}

impl Store {
    /// Counts what is in the store. Bad records are moved aside and not counted; objects are not read.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let layout = self.layout();
        let mut stats = Stats {
            damaged: listing::paths(&layout.damaged())?.len() as u64,
            ..Stats::default()
        };
        for shard in listing::shards(&layout.objects())? {
            for object in listing::entries::<ObjectDigest>(&shard)? {
                stats.objects += 1;
                stats.object_bytes += object.metadata.len();
            }
        }
        for shard in listing::shards(&layout.actions())? {
            for listed in listing::entries(&shard)? {
                let Some(record) = self.read_record(&listed.name)? else {
                    continue;
                };
                let kind = stats.records.entry(record.kind).or_default();
                if record.status.is_success() {
                    kind.successes += 1;
                } else {
                    kind.failures += 1;
                }
                kind.cpu += record.cost.cpu;
                stats.record_bytes += listed.metadata.len();
                if let Ok(used) = listed.metadata.modified() {
                    stats.oldest_use = Some(stats.oldest_use.map_or(used, |old| old.min(used)));
                    stats.newest_use = stats.newest_use.max(Some(used));
                }
            }
        }
        Ok(stats)
    }
}
