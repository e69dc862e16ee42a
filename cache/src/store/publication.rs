//! Publishing: several objects, and perhaps the record that names them, written to last at once.
//!
//! Everything is first written under `tmp/`; then all files are synced together, the objects get their
//! names, their directories are synced, and only then the record gets its own. A crash at any point
//! leaves no record without its objects.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use kiln_durable::Temporary;
use rayon::prelude::*;

use super::damage::DamagedItem;
use super::error::{At, StoreError};
use super::gate::Gate;
use super::layout::FINAL;
use super::objects::OBJECT_LIMIT;
use super::records::RECORD_LIMIT;
use super::{Access, Store, objects};
use crate::digest::ObjectDigest;
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
    file: Option<Temporary>,
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
        if !self.store.has_good(&digest, size)? {
            file = Some(self.store.stage_bytes(content, OBJECT_LIMIT)?);
        }
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
        let file = store.stage_bytes(&encoding::encode(Frame::RECORD, record), RECORD_LIMIT)?;
        debug_assert!(
            record
                .objects()
                .all(|object| self.objects.contains_key(&object) || store.contains(&object)),
            "record of {} names an object that is not in the store",
            record.key
        );
        self.write(Some((record, file)))
    }

    fn write(self, record: Option<(&ActionRecord, Temporary)>) -> Result<(), StoreError> {
        let Self { store, objects } = self;
        let (layout, disk) = (store.layout(), store.disk());
        let written = objects.values().filter_map(|staged| staged.file.as_ref());
        let written = written.chain(record.as_ref().map(|(_, file)| file));
        disk.sync_files(&written.collect::<Vec<_>>())?;

        let mut entries: Vec<PathBuf> =
            objects.keys().map(|digest| layout.object(digest)).collect();
        if let Some((record, _)) = &record {
            // Also those that are there already: another process may have named them a moment ago.
            entries.extend(record.objects().map(|digest| layout.object(&digest)));
            entries.push(layout.action(&record.key));
        }
        store.ensure_shards(&entries)?;
        let named = entries.len() - usize::from(record.is_some());
        let gate = Gate::shared(layout, Access::Write)?;
        for (digest, staged) in objects {
            let path = layout.object(&digest);
            match staged.file {
                Some(file) if !store.has_whole(&digest, staged.size) => {
                    store.name_entry(file, &path, DamagedItem::Object(digest))?;
                }
                // Stored meanwhile, or long ago: used now, so that it is not collected.
                _ => objects::touch(&path),
            }
        }
        drop(gate);
        disk.sync_directories_of(&entries[..named])?;

        if let Some((record, file)) = record {
            let path = layout.action(&record.key);
            let gate = Gate::shared(layout, Access::Write)?;
            store.name_entry(file, &path, DamagedItem::Record(record.key))?;
            drop(gate);
            disk.sync_directories_of([&path])?;
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

    /// Whether there is this very object, used now; what has its name and is bad is moved aside.
    fn has_good(&self, digest: &ObjectDigest, size: u64) -> Result<bool, StoreError> {
        Ok(self.verify_used(digest, size)? == Some(size))
    }

    /// Whether there is an object of that name and size. What it holds is verified when it is read.
    fn has_whole(&self, digest: &ObjectDigest, size: u64) -> bool {
        self.size_of(digest) == Some(size)
    }

    fn stage_bytes(&self, content: &[u8], limit: u64) -> Result<Temporary, StoreError> {
        let work = self.work()?;
        refuse_too_large(content.len() as u64, &work, limit)?;
        let write = |file: &mut Temporary| {
            let written = file.write_all(content);
            written.at(file.path())
        };
        let (file, ()) = self.disk().write_temporary(&work, FINAL, write)?;
        Ok(file)
    }

    fn stage_file(&self, path: &Path) -> Result<(ObjectDigest, Staged), StoreError> {
        let mut source = objects::open_regular(path)?;
        refuse_too_large(source.metadata().at(path)?.len(), path, OBJECT_LIMIT)?;
        let write = |file: &mut Temporary| {
            if rustix::fs::ioctl_ficlone(file.file(), &source).is_ok() {
                let mut clone = std::fs::File::open(file.path()).at(file.path())?;
                return objects::hash(&mut clone).at(file.path());
            }
            let mut unwritten = None;
            let copied = objects::copy(&mut source, |piece| {
                file.write_all(piece).inspect_err(|error| {
                    unwritten = Some(std::io::Error::from(error.kind()));
                })
            });
            match unwritten {
                Some(error) => Err(StoreError::io(file.path(), error)),
                None => copied.at(path),
            }
        };
        let disk = self.disk();
        let (file, (digest, size)) = disk.write_temporary(&self.work()?, FINAL, write)?;
        let file = (!self.has_good(&digest, size)?).then_some(file);
        Ok((digest, Staged { file, size }))
    }

    /// Gives an entry its name. A directory there, which renaming does not replace, is damage.
    fn name_entry(
        &self,
        file: Temporary,
        path: &Path,
        item: DamagedItem,
    ) -> Result<(), StoreError> {
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            self.set_aside(item);
        }
        Ok(self.disk().name(file, path)?)
    }
}

fn refuse_too_large(size: u64, path: &Path, limit: u64) -> Result<(), StoreError> {
    if size <= limit {
        return Ok(());
    }
    let path = path.to_path_buf();
    Err(StoreError::TooLarge { path, limit })
}
