//! Checking the whole store: every object read, every record decoded and its objects looked for.

use std::fs::Metadata;

use kiln_durable::regular::{self, Unreadable};
use rayon::prelude::*;

use super::claim;
use super::damage::{Damage, DamagedItem};
use super::error::StoreError;
use super::records::RECORD_LIMIT;
use super::{Store, listing, objects};
use crate::digest::{ActionKey, ObjectDigest};
use crate::encoding::{self, DecodeError, Frame};
use crate::record::ActionRecord;

/// Whether to put right what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyMode {
    /// Change nothing.
    Look,
    /// Move bad files aside, remove records that lack objects and what dead processes left.
    Repair,
}

/// What a check of the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many objects were read.
    pub objects: u64,
    /// How many bytes they had.
    pub object_bytes: u64,
    /// How many records were decoded.
    pub records: u64,
    /// Objects that are not what their name says, in order.
    pub bad_objects: Vec<ObjectDigest>,
    /// Records that cannot be decoded or are not of their key, in order.
    pub bad_records: Vec<ActionKey>,
    /// Good records that name an object which is missing or bad, in order.
    pub incomplete_records: Vec<ActionKey>,
    /// How many files and directories of dead processes were removed.
    pub leftovers_removed: u64,
    /// Where bad files were moved; empty when only looking.
    pub moved_aside: Vec<Damage>,
}

impl VerifyReport {
    /// Whether there was nothing to put right.
    pub fn is_clean(&self) -> bool {
        self.bad_objects.is_empty()
            && self.bad_records.is_empty()
            && self.incomplete_records.is_empty()
    }
}

impl Store {
    /// Checks everything in the store, on all cores. Others may use it meanwhile.
    ///
    /// # Errors
    ///
    /// When the system refuses to read or, repairing, to write. What is bad is no error.
    pub fn verify(&self, mode: VerifyMode) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        if mode == VerifyMode::Repair {
            self.require_write()?;
            report.leftovers_removed = claim::sweep(self)?;
        }
        self.verify_objects(&mut report)?;
        if mode == VerifyMode::Repair {
            for object in &report.bad_objects {
                self.set_aside(DamagedItem::Object(*object));
            }
        }
        self.verify_records(&mut report)?;
        if mode == VerifyMode::Repair {
            for record in &report.bad_records {
                self.set_aside(DamagedItem::Record(*record));
            }
            for record in &report.incomplete_records {
                self.forget(record)?;
            }
            report.moved_aside = self.take_damage();
        }
        Ok(report)
    }

    fn verify_objects(&self, report: &mut VerifyReport) -> Result<(), StoreError> {
        for shard in listing::shards(&self.layout().objects())? {
            let checked = listing::entries::<ObjectDigest>(&shard)?
                .into_par_iter()
                .map(|object| {
                    let opened = regular::open(&object.path, objects::OBJECT_LIMIT);
                    let hashed = opened.and_then(|(mut file, metadata)| {
                        let is_safe = self.layout().is_safe(&object.path, &metadata);
                        let hashed = objects::hash(&mut file).map_err(Unreadable::System)?;
                        Ok((is_safe, hashed))
                    });
                    match hashed {
                        Ok((is_safe, (found, size))) => {
                            let is_good = is_safe && found == object.name;
                            Ok(Some((object.name, is_good, size)))
                        }
                        Err(Unreadable::Missing) => Ok(None),
                        Err(Unreadable::System(error)) if !objects::is_damage(&error) => {
                            Err(StoreError::io(&object.path, error))
                        }
                        Err(_) => Ok(Some((object.name, false, 0))),
                    }
                })
                .collect::<Result<Vec<_>, _>>()?;
            for (digest, good, size) in checked.into_iter().flatten() {
                report.objects += 1;
                report.object_bytes += size;
                if !good {
                    report.bad_objects.push(digest);
                }
            }
        }
        Ok(())
    }

    fn verify_records(&self, report: &mut VerifyReport) -> Result<(), StoreError> {
        let lacks = |record: &ActionRecord| {
            let bad = |object| report.bad_objects.binary_search(&object).is_ok();
            record.objects().any(bad) || self.missing_object(record).is_some()
        };
        let (mut bad, mut incomplete) = (Vec::new(), Vec::new());
        for shard in listing::shards(&self.layout().actions())? {
            for listed in listing::entries::<ActionKey>(&shard)? {
                let is_safe = |metadata: &Metadata| self.layout().is_safe(&listed.path, metadata);
                let read = regular::read_if(&listed.path, RECORD_LIMIT, is_safe);
                let Ok(Some(bytes)) = read else {
                    bad.push(listed.name);
                    continue;
                };
                let decoded = encoding::decode::<ActionRecord>(Frame::RECORD, &bytes);
                // Whether it is good only its own release can tell.
                if let Err(DecodeError::Version { .. }) = decoded {
                    continue;
                }
                report.records += 1;
                match decoded {
                    Ok(record) if record.key != listed.name => bad.push(listed.name),
                    Ok(record) if lacks(&record) => incomplete.push(listed.name),
                    Ok(_) => {}
                    Err(_) => bad.push(listed.name),
                }
            }
        }
        report.bad_records = bad;
        report.incomplete_records = incomplete;
        Ok(())
    }
}
