//! Collecting what was not used for longest, under a size or an age, and never what is in use.
//!
//! An entry's last use is its file's modification time, set by whoever looks it up with the gate held
//! shared. First everything is read without holding anybody up; then what is to go is deleted in small
//! batches with the gate held alone, and each entry is looked at once more before it goes. Whatever was
//! used since the oldest living lease began is kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::claim::{self, oldest_lease};
use super::error::StoreError;
use super::gate::Gate;
use super::{Store, listing};
use crate::digest::{ActionKey, ObjectDigest};

/// Objects that no record names are left alone for this long, lest one is about to.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// Damaged files are kept for this long, for whoever wants to know what happened to them.
const DAMAGED_AGE: Duration = Duration::from_secs(24 * 3600);

/// The clock that stamps a lease and the one that stamps a use may differ by one tick of either.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// How many entries are deleted before others get a turn.
const BATCH: usize = 256;

/// What is to be collected. Without either bound only what no record names goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// Objects and records together should not have more bytes than this.
    pub max_size: Option<u64>,
    /// Records that were not used for this long go.
    pub older_than: Option<Duration>,
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// How many records went.
    pub removed_records: u64,
    /// How many objects went.
    pub removed_objects: u64,
    /// How many bytes that freed, damaged files and leftovers not counted.
    pub freed: u64,
    /// How many bytes of objects and records are left.
    pub kept_bytes: u64,
    /// How many records should have gone but were used under a lease that is still held.
    pub kept_in_use: u64,
}

struct Object {
    path: PathBuf,
    size: u64,
    used: SystemTime,
    names: u64,
}

struct Record {
    path: PathBuf,
    size: u64,
    used: SystemTime,
    objects: Vec<ObjectDigest>,
}

impl Record {
    /// Its objects, each once.
    fn distinct(mut objects: Vec<ObjectDigest>) -> Vec<ObjectDigest> {
        objects.sort_unstable();
        objects.dedup();
        objects
    }
}

/// A file that is to go, unless it was used after it was listed.
struct Doomed {
    path: PathBuf,
    used: SystemTime,
}

impl Store {
    /// Collects what is over the bounds, least recently used first.
    ///
    /// Others may use the cache meanwhile; they wait for a few hundred deletions at most.
    ///
    /// # Errors
    ///
    /// When the system refuses. What was deleted until then is gone, nothing is half gone: records go
    /// before their objects.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport, StoreError> {
        self.require_write()?;
        claim::sweep(self)?;
        let now = SystemTime::now();
        self.drop_old_damage(now)?;
        // Objects first: one that is published in between is not in the list and stays.
        let mut objects = self.list_objects()?;
        let mut records = self.list_records(&mut objects)?;
        records.sort_unstable_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));

        let horizon = self.horizon()?;
        let orphans_before = horizon.min(before(now, ORPHAN_AGE));
        let mut report = GcReport::default();
        let orphans: Vec<_> = objects
            .iter()
            .filter(|(_, object)| object.names == 0 && object.used < orphans_before)
            .map(|(digest, _)| *digest)
            .collect();
        // What names them no longer, or never did, has to last before they go.
        let sync_records = || -> Result<(), StoreError> {
            let shards = listing::shards(&self.layout().actions())?;
            Ok(self
                .disk()
                .sync_directories(shards.iter().map(PathBuf::as_path))?)
        };
        if !orphans.is_empty() {
            sync_records()?;
        }
        self.remove_objects(&mut objects, &orphans, &mut report)?;

        let total = total(&objects, &records);
        let released =
            self.remove_records(options, now, total, records, &mut objects, &mut report)?;
        if !released.is_empty() {
            sync_records()?;
        }
        self.remove_objects(&mut objects, &released, &mut report)?;
        report.kept_bytes += objects.values().map(|object| object.size).sum::<u64>();
        Ok(report)
    }

    /// Removes records until the bounds hold; the objects that no record names any longer.
    fn remove_records(
        &self,
        options: &GcOptions,
        now: SystemTime,
        mut total: u64,
        records: Vec<Record>,
        objects: &mut HashMap<ObjectDigest, Object>,
        report: &mut GcReport,
    ) -> Result<Vec<ObjectDigest>, StoreError> {
        let horizon = self.horizon()?;
        let expired_before = options.older_than.map(|age| before(now, age));
        let over = |total| options.max_size.is_some_and(|max| total > max);
        let mut released = Vec::new();
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let mut batch = Vec::new();
            for record in records.by_ref().take(BATCH) {
                let expired = expired_before.is_some_and(|before| record.used < before);
                if !expired && !over(total) {
                    report.kept_bytes += record.size;
                } else if record.used >= horizon {
                    report.kept_in_use += 1;
                    report.kept_bytes += record.size;
                } else {
                    total -= record.size + unnamed_bytes(&record, objects, horizon);
                    batch.push(record);
                }
            }
            let doomed = batch.iter().map(|record| Doomed {
                path: record.path.clone(),
                used: record.used,
            });
            let gone = self.remove_unused(&doomed.collect::<Vec<_>>())?;
            for (record, gone) in batch.into_iter().zip(gone) {
                if gone {
                    report.removed_records += 1;
                    report.freed += record.size;
                    released.extend(record.objects);
                } else {
                    report.kept_in_use += 1;
                    report.kept_bytes += record.size;
                    for object in &record.objects {
                        objects
                            .entry(*object)
                            .and_modify(|object| object.names += 1);
                    }
                }
            }
        }
        released.sort_unstable();
        released.dedup();
        released.retain(|digest| {
            let object = objects.get(digest);
            object.is_some_and(|object| object.names == 0 && object.used < horizon)
        });
        Ok(released)
    }

    fn remove_objects(
        &self,
        objects: &mut HashMap<ObjectDigest, Object>,
        digests: &[ObjectDigest],
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        for batch in digests.chunks(BATCH) {
            let doomed = batch.iter().filter_map(|digest| objects.get(digest));
            let doomed: Vec<_> = doomed
                .map(|object| Doomed {
                    path: object.path.clone(),
                    used: object.used,
                })
                .collect();
            let gone = self.remove_unused(&doomed)?;
            for (digest, gone) in batch.iter().zip(gone) {
                if gone && let Some(object) = objects.remove(digest) {
                    report.removed_objects += 1;
                    report.freed += object.size;
                }
            }
        }
        Ok(())
    }

    /// Deletes those files that nobody has used since they were listed; which ones that were.
    fn remove_unused(&self, doomed: &[Doomed]) -> Result<Vec<bool>, StoreError> {
        if doomed.is_empty() {
            return Ok(Vec::new());
        }
        let _gate = Gate::alone(self.layout())?;
        let remove = |doomed: &Doomed| {
            let unused = modified(&doomed.path) == Some(doomed.used);
            if unused {
                self.disk().remove_tree(&doomed.path)?;
            }
            Ok(unused)
        };
        doomed.iter().map(remove).collect()
    }

    /// The moment since when a living process may have planned to use something.
    fn horizon(&self) -> Result<SystemTime, StoreError> {
        let _gate = Gate::alone(self.layout())?;
        let oldest = oldest_lease(self.layout())?;
        let far = SystemTime::now() + Duration::from_secs(1 << 32);
        Ok(oldest.map_or(far, |began| before(began, CLOCK_SLACK)))
    }

    fn list_objects(&self) -> Result<HashMap<ObjectDigest, Object>, StoreError> {
        let mut objects = HashMap::new();
        for shard in listing::shards(&self.layout().objects())? {
            for listed in listing::entries::<ObjectDigest>(&shard)? {
                let object = Object {
                    size: listed.metadata.len(),
                    used: listed.metadata.modified().unwrap_or(SystemTime::now()),
                    path: listed.path,
                    names: 0,
                };
                objects.insert(listed.name, object);
            }
        }
        Ok(objects)
    }

    fn list_records(
        &self,
        objects: &mut HashMap<ObjectDigest, Object>,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        for shard in listing::shards(&self.layout().actions())? {
            for listed in listing::entries::<ActionKey>(&shard)? {
                let named = match self.read_record(&listed.name)? {
                    Some(record) => record.objects().chain(record.details()).collect(),
                    // Of another version of the format: what it names cannot be told.
                    None if listed.path.exists() => Vec::new(),
                    None => continue,
                };
                let named = Record::distinct(named);
                for object in &named {
                    objects
                        .entry(*object)
                        .and_modify(|object| object.names += 1);
                }
                records.push(Record {
                    size: listed.metadata.len(),
                    used: listed.metadata.modified().unwrap_or(SystemTime::now()),
                    path: listed.path,
                    objects: named,
                });
            }
        }
        Ok(records)
    }

    fn drop_old_damage(&self, now: SystemTime) -> Result<(), StoreError> {
        for path in listing::paths(&self.layout().damaged())? {
            let changed = path
                .symlink_metadata()
                .and_then(|metadata| metadata.modified());
            if changed.is_ok_and(|changed| changed < before(now, DAMAGED_AGE)) {
                self.disk().remove_tree(&path)?;
            }
        }
        Ok(())
    }
}

/// Takes a record's names off its objects; how many bytes are then without a name and may go.
fn unnamed_bytes(
    record: &Record,
    objects: &mut HashMap<ObjectDigest, Object>,
    horizon: SystemTime,
) -> u64 {
    let mut bytes = 0;
    for digest in &record.objects {
        let Some(object) = objects.get_mut(digest) else {
            continue;
        };
        object.names -= 1;
        if object.names == 0 && object.used < horizon {
            bytes += object.size;
        }
    }
    bytes
}

fn total(objects: &HashMap<ObjectDigest, Object>, records: &[Record]) -> u64 {
    let objects = objects.values().map(|object| object.size).sum::<u64>();
    objects + records.iter().map(|record| record.size).sum::<u64>()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.symlink_metadata().ok()?.modified().ok()
}

fn before(moment: SystemTime, age: Duration) -> SystemTime {
    moment.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_after_it_was_listed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        let doomed = [b"used", b"idle"].map(|content| {
            let path = store.object_path(&store.put_bytes(content).unwrap());
            let used = modified(&path).unwrap();
            Doomed { path, used }
        });
        std::thread::sleep(Duration::from_millis(20));
        crate::store::objects::touch(&doomed[0].path);
        assert_eq!(store.remove_unused(&doomed).unwrap(), [false, true]);
        assert!(doomed[0].path.exists() && !doomed[1].path.exists());
    }

    /// Code that does not wait may pass; code that waits never fails.
    #[test]
    fn nothing_goes_while_somebody_uses_an_entry() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        let path = store.object_path(&store.put_bytes(b"used").unwrap());
        let used = modified(&path).unwrap();
        let doomed = [Doomed {
            path: path.clone(),
            used,
        }];
        let gate = Gate::shared(store.layout(), crate::store::Access::Write).unwrap();
        std::thread::scope(|scope| {
            let removed = scope.spawn(|| store.remove_unused(&doomed).unwrap());
            std::thread::sleep(Duration::from_millis(200));
            crate::store::objects::touch(&path);
            drop(gate);
            assert_eq!(removed.join().unwrap(), [false]);
        });
        assert!(path.exists());
    }
}
