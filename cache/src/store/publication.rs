//! Publishing: several objects, and perhaps the record that names them, written to last at once.
//!
//! Everything is first written under `tmp/`; then all files are synced together, the objects get their
//! names, their directories are synced, and only then the record gets its own. A crash at any point
//! leaves no record without its objects. `step` marks those points for the tests that crash there.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tempfile::NamedTempFile;

use super::error::{At, StoreError};
use super::gate::Gate;
use super::layout::make_directory;
use super::{Access, Store, durable, objects};
use crate::digest::{ActionKey, ObjectDigest};
use crate::encoding::{self, Frame};
use crate::record::ActionRecord;

/// Objects on their way into the store. Dropped uncommitted, it leaves nothing behind.
#[derive(Debug)]
pub struct Publication<'s> {
    store: &'s Store,
    objects: BTreeMap<ObjectDigest, Staged>,
}

/// One object, written but without its name; no file if the store has it already.
#[derive(Debug)]
struct Staged {
    file: Option<NamedTempFile>,
    size: u64,
}

impl<'s> Publication<'s> {
    /// Adds an object of these bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`], or what the system says.
    pub fn put_bytes(&mut self, content: &[u8]) -> Result<ObjectDigest, StoreError> {
        let digest = ObjectDigest::of(content);
        let size = content.len() as u64;
        if self.objects.contains_key(&digest) {
            return Ok(digest);
        }
        let mut file = None;
        if !self.store.has_whole(&digest, size) {
            let mut written = durable::temporary(&self.store.work()?, durable::FINAL)?;
            written.write_all(content).at(written.path())?;
            file = Some(written);
        }
        step("object written");
        self.objects.insert(digest, Staged { file, size });
        Ok(digest)
    }

    /// Adds an object with the content of a file, links followed: its digest and size.
    ///
    /// The digest is of what was copied. That the file stays the same meanwhile is the caller's care.
    ///
    /// # Errors
    ///
    /// As [`Publication::put_bytes`]; [`StoreError::NotRegular`] for anything but a file.
    pub fn put_file(&mut self, path: &Path) -> Result<(ObjectDigest, u64), StoreError> {
        let (digest, staged) = self.store.stage_file(path)?;
        let size = staged.size;
        self.objects.entry(digest).or_insert(staged);
        step("object written");
        Ok((digest, size))
    }

    /// Adds the contents of several files, copied side by side; results in the order of the paths.
    ///
    /// # Errors
    ///
    /// As [`Publication::put_file`].
    pub fn put_files(&mut self, paths: &[PathBuf]) -> Result<Vec<(ObjectDigest, u64)>, StoreError> {
        self.store.require_write()?;
        let staged: Vec<_> = paths
            .par_iter()
            .map(|path| self.store.stage_file(path))
            .collect::<Result<_, _>>()?;
        let take = |(digest, staged): (ObjectDigest, Staged)| {
            let size = staged.size;
            self.objects.entry(digest).or_insert(staged);
            (digest, size)
        };
        Ok(staged.into_iter().map(take).collect())
    }

    /// Makes the objects part of the store, to last.
    ///
    /// # Errors
    ///
    /// As [`Publication::put_bytes`]; some of the objects may then be in the store, each whole.
    pub fn commit(self) -> Result<(), StoreError> {
        self.write(None)
    }

    /// Makes the objects and then the record part of the store, to last.
    ///
    /// The record may also name objects that are in the store already.
    ///
    /// # Errors
    ///
    /// As [`Publication::commit`]; the record is then not in the store, or the earlier one still is.
    ///
    /// # Panics
    ///
    /// In debug builds, when the record names an object that is nowhere.
    pub fn commit_with(self, record: &ActionRecord) -> Result<(), StoreError> {
        let store = self.store;
        let mut file = durable::temporary(&store.work()?, durable::FINAL)?;
        file.write_all(&encoding::encode(Frame::RECORD, record))
            .at(file.path())?;
        debug_assert!(
            record
                .objects()
                .all(|object| self.objects.contains_key(&object) || store.contains(&object)),
            "record of {} names an object that is not in the store",
            record.key
        );
        step("record written");
        self.write(Some((record.key, file)))
    }

    fn write(self, record: Option<(ActionKey, NamedTempFile)>) -> Result<(), StoreError> {
        let Self { store, objects } = self;
        let layout = store.layout();
        let written = objects.values().filter_map(|staged| staged.file.as_ref());
        let record_file = record.as_ref().map(|(_, file)| file);
        durable::sync_files(&written.chain(record_file).collect::<Vec<_>>())?;
        step("files synced");

        let mut changed = Vec::new();
        let gate = Gate::shared(layout, Access::Write)?;
        for (digest, staged) in objects {
            let path = layout.object(&digest);
            make_shard(&path, &layout.objects(), &mut changed)?;
            match staged.file {
                Some(file) if !store.has_whole(&digest, staged.size) => {
                    durable::rename(file, &path)?;
                }
                // Stored meanwhile, or long ago: used now, so that it is not collected.
                _ => durable::touch(&path),
            }
            step("object named");
        }
        drop(gate);
        durable::sync_directories(&distinct(changed))?;
        step("objects' directories synced");

        if let Some((key, file)) = record {
            let path = layout.action(&key);
            let mut changed = Vec::new();
            make_shard(&path, &layout.actions(), &mut changed)?;
            let gate = Gate::shared(layout, Access::Write)?;
            durable::rename(file, &path)?;
            drop(gate);
            step("record named");
            durable::sync_directories(&distinct(changed))?;
            step("record's directory synced");
        }
        Ok(())
    }
}

impl Store {
    /// Starts writing several objects that are to be synced together.
    pub fn publication(&self) -> Publication<'_> {
        Publication {
            store: self,
            objects: BTreeMap::new(),
        }
    }

    /// Stores some bytes, to last. Several are cheaper in one [`Publication`].
    ///
    /// # Errors
    ///
    /// As [`Publication::put_bytes`].
    pub fn put_bytes(&self, content: &[u8]) -> Result<ObjectDigest, StoreError> {
        let mut publication = self.publication();
        let digest = publication.put_bytes(content)?;
        publication.commit()?;
        Ok(digest)
    }

    /// Stores the content of a file, to last: its digest and size.
    ///
    /// # Errors
    ///
    /// As [`Publication::put_file`].
    pub fn put_file(&self, path: &Path) -> Result<(ObjectDigest, u64), StoreError> {
        let mut publication = self.publication();
        let put = publication.put_file(path)?;
        publication.commit()?;
        Ok(put)
    }

    /// Stores the contents of several files, to last; results in the order of the paths.
    ///
    /// # Errors
    ///
    /// As [`Publication::put_file`].
    pub fn put_files(&self, paths: &[PathBuf]) -> Result<Vec<(ObjectDigest, u64)>, StoreError> {
        let mut publication = self.publication();
        let put = publication.put_files(paths)?;
        publication.commit()?;
        Ok(put)
    }

    /// Stores a record, to last, in place of any earlier one of its key.
    ///
    /// # Errors
    ///
    /// As [`Publication::commit_with`].
    ///
    /// # Panics
    ///
    /// In debug builds, when the record names an object that is not in the store.
    pub fn publish(&self, record: &ActionRecord) -> Result<(), StoreError> {
        self.publication().commit_with(record)
    }

    /// Whether there is an object of that name and size. What it holds is verified when it is read.
    fn has_whole(&self, digest: &ObjectDigest, size: u64) -> bool {
        self.object_path(digest)
            .metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    fn stage_file(&self, path: &Path) -> Result<(ObjectDigest, Staged), StoreError> {
        let mut source = objects::open_regular(path)?;
        let mut file = durable::temporary(&self.work()?, durable::FINAL)?;
        let (digest, size) = if rustix::fs::ioctl_ficlone(file.as_file(), &source).is_ok() {
            let mut clone = std::fs::File::open(file.path()).at(file.path())?;
            objects::hash(&mut clone).at(file.path())?
        } else {
            let mut unwritten = None;
            let copied = objects::copy(&mut source, |piece| {
                file.write_all(piece).inspect_err(|error| {
                    unwritten = Some(std::io::Error::from(error.kind()));
                })
            });
            match unwritten {
                Some(error) => return Err(StoreError::io(file.path(), error)),
                None => copied.at(path)?,
            }
        };
        let file = (!self.has_whole(&digest, size)).then_some(file);
        Ok((digest, Staged { file, size }))
    }
}

/// Makes an entry's directory if it is not there, and notes which directories are to be synced.
fn make_shard(entry: &Path, all: &Path, changed: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    let shard = entry.parent().expect("an entry is in a shard");
    if !shard.is_dir() {
        make_directory(shard)?;
        changed.push(all.to_path_buf());
    }
    changed.push(shard.to_path_buf());
    Ok(())
}

fn distinct(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort_unstable();
    paths.dedup();
    paths
}

#[cfg(not(test))]
fn step(_: &str) {}

#[cfg(test)]
use tests::step;

#[cfg(test)]
mod tests;
