//! Looking records up: by key, all of them, or the nearest to a subject.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use kiln_durable::regular::{self, Unreadable};
use rayon::prelude::*;

use super::damage::DamagedItem;
use super::error::StoreError;
use super::gate::Gate;
use super::objects::{OBJECT_LIMIT, is_damage, touch};
use super::{Store, listing};
use crate::digest::{ActionKey, ObjectDigest};
use crate::encoding::{self, DecodeError, Frame};
use crate::key::ActionKind;
use crate::record::{ActionRecord, Subject};

/// No record is longer when it is written down.
pub(crate) const RECORD_LIMIT: u64 = 64 << 20;

impl Store {
    /// The record of a key, marked as used now; `None` if there is none or it was bad.
    ///
    /// Its objects are not looked at.
    ///
    /// # Errors
    ///
    /// When the system refuses to read, not when the record is bad.
    pub fn lookup(&self, key: &ActionKey) -> Result<Option<ActionRecord>, StoreError> {
        let _gate = Gate::shared(self.layout(), self.access())?;
        let record = self.read_record(key)?;
        if record.is_some() {
            touch(&self.layout().action(key));
        }
        Ok(record)
    }

    /// The record of a key, if every output has been read and has its digest and size, and its log is
    /// there. All of it is marked as used now.
    ///
    /// # Errors
    ///
    /// As [`Store::lookup`].
    pub fn lookup_verified(&self, key: &ActionKey) -> Result<Option<ActionRecord>, StoreError> {
        let gate = Gate::shared(self.layout(), self.access())?;
        let Some(record) = self.read_record(key)? else {
            return Ok(None);
        };
        touch(&self.layout().action(key));
        for object in record.objects() {
            touch(&self.object_path(&object));
        }
        drop(gate);
        if let Some(log) = record.log
            && self.open_plain(&log, OBJECT_LIMIT)?.is_none()
        {
            return Ok(None);
        }
        for output in &record.outputs {
            let found = self.verify_within(&output.object, output.size)?;
            if found != Some(output.size) {
                return Ok(None);
            }
        }
        Ok(Some(record))
    }

    /// Removes a record; its objects stay until they are collected.
    ///
    /// # Errors
    ///
    /// When it cannot be removed. That there is none is no error.
    pub fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        self.require_write()?;
        Ok(self.disk().remove_tree(&self.layout().action(key))?)
    }

    /// All records, in the order of their keys. Bad ones are moved aside and left out.
    ///
    /// Only the names of one 256th of the records are in memory at once; nothing is marked as used.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read; each item likewise.
    pub fn records(&self) -> Result<Records<'_>, StoreError> {
        Ok(Records {
            store: self,
            shards: listing::shards(&self.layout().actions())?.into(),
            keys: VecDeque::new(),
        })
    }

    /// The newest record of the same subject's name and kind, the same target preferred.
    ///
    /// Reads every record; [`Index::nearest`](crate::Index::nearest) knows a shorter way.
    ///
    /// # Errors
    ///
    /// As [`Store::records`].
    pub fn nearest(
        &self,
        subject: &Subject,
        kind: ActionKind,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let shards = listing::shards(&self.layout().actions())?;
        shards
            .into_par_iter()
            .map(|shard| {
                let records = self.shard_keys(&shard)?.into_iter();
                let mut best = None;
                for key in records {
                    best = nearer(subject, kind, best, self.read_record(&key)?);
                }
                Ok(best)
            })
            .try_reduce(|| None, |one, other| Ok(nearer(subject, kind, one, other)))
    }

    /// The record as it is on disk, not marked as used.
    pub(crate) fn read_record(&self, key: &ActionKey) -> Result<Option<ActionRecord>, StoreError> {
        let path = self.layout().action(key);
        let is_safe = |metadata: &Metadata| self.layout().is_safe(&path, metadata);
        let bytes = match regular::read_if(&path, RECORD_LIMIT, is_safe) {
            Ok(Some(bytes)) => bytes,
            // It may be whole, and forged.
            Ok(None) => return Ok(self.bad_record(key)),
            Err(Unreadable::Missing) => return Ok(None),
            Err(Unreadable::NotRegular | Unreadable::TooLarge) => return Ok(self.bad_record(key)),
            Err(Unreadable::System(error)) if is_damage(&error) => return Ok(self.bad_record(key)),
            Err(Unreadable::System(error)) => return Err(StoreError::io(&path, error)),
        };
        match encoding::decode::<ActionRecord>(Frame::RECORD, &bytes) {
            Ok(record) if record.key == *key => Ok(Some(record)),
            // Somebody else's format is no damage; the next outcome replaces it.
            Err(DecodeError::Version { .. }) => Ok(None),
            Ok(_) | Err(DecodeError::Damaged) => Ok(self.bad_record(key)),
        }
    }

    /// The first of a record's objects that is not there.
    pub(crate) fn missing_object(&self, record: &ActionRecord) -> Option<ObjectDigest> {
        record.objects().find(|object| !self.contains(object))
    }

    fn bad_record(&self, key: &ActionKey) -> Option<ActionRecord> {
        self.set_aside(DamagedItem::Record(*key));
        None
    }

    fn shard_keys(&self, shard: &Path) -> Result<Vec<ActionKey>, StoreError> {
        let mut keys: Vec<ActionKey> = listing::paths(shard)?
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

/// Of two records, the one to compare a new action of this subject with.
pub(crate) fn nearer(
    subject: &Subject,
    kind: ActionKind,
    best: Option<ActionRecord>,
    other: Option<ActionRecord>,
) -> Option<ActionRecord> {
    let other = other.filter(|other| other.kind == kind && other.subject.name == subject.name);
    let rank = |record: &ActionRecord| {
        let same_target = record.subject.target == subject.target;
        (same_target, record.created, record.key)
    };
    match (best, other) {
        (Some(best), Some(other)) if rank(&other) > rank(&best) => Some(other),
        (None, other) => other,
        (best, _) => best,
    }
}

/// All records of a store; see [`Store::records`].
#[derive(Debug)]
pub struct Records<'s> {
    store: &'s Store,
    shards: VecDeque<PathBuf>,
    keys: VecDeque<ActionKey>,
}

impl Iterator for Records<'_> {
    type Item = Result<ActionRecord, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(key) = self.keys.pop_front() {
                if let Some(found) = self.store.read_record(&key).transpose() {
                    return Some(found);
                }
            }
            match self.store.shard_keys(&self.shards.pop_front()?) {
                Ok(keys) => self.keys = keys.into(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
