//! Restoring objects: a verified copy appears at its destination whole, or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use kiln_durable::{Temporary, regular};

use super::error::{At, StoreError};
use super::{Store, objects};
use crate::digest::ObjectDigest;

/// What a restored file is for; the process's umask applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// To be read: 0644.
    Plain,
    /// To be executed: 0755.
    Executable,
}

impl FileMode {
    /// The mode for a file that may or may not be executed.
    pub fn of(executable: bool) -> Self {
        if executable {
            Self::Executable
        } else {
            Self::Plain
        }
    }

    fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }
}

/// Whether a restored file is on the disk before it has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// It is: under its name it is whole, whatever happens.
    First,
    /// It is not: after a power failure it may be empty.
    Not,
}

impl Store {
    /// Puts a verified copy of an object at `destination`; its size, or `None` if it is missing or bad.
    ///
    /// A regular file there that has this very content is left alone, whatever its times. Anything else
    /// but a directory is replaced by renaming, so that no reader sees half a file and links to the old
    /// one keep it. The copy shares storage with the object where the file system can do that, but
    /// never the inode. It is not synced: after a crash, restore again.
    ///
    /// # Errors
    ///
    /// When the object cannot be read or the destination cannot be written; its directory must exist.
    pub fn restore(
        &self,
        digest: &ObjectDigest,
        destination: &Path,
        mode: FileMode,
    ) -> Result<Option<u64>, StoreError> {
        self.restore_by(digest, destination, mode, Syncing::Not)
    }

    /// As [`Store::restore`], synced if need be.
    ///
    /// # Errors
    ///
    /// As [`Store::restore`].
    pub fn restore_by(
        &self,
        digest: &ObjectDigest,
        destination: &Path,
        mode: FileMode,
        syncing: Syncing,
    ) -> Result<Option<u64>, StoreError> {
        let Some(mut object) = self.open_used(digest, objects::OBJECT_LIMIT)? else {
            return Ok(None);
        };
        let size = object.metadata().at(&self.object_path(digest))?.len();
        if leave_alone(digest, size, destination, mode)? {
            return Ok(Some(size));
        }
        let directory = match destination.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("/"),
        };
        let write = |file: &mut Temporary| {
            if rustix::fs::ioctl_ficlone(file.file(), &object).is_ok() {
                let mut clone = File::open(file.path()).at(file.path())?;
                return Ok(objects::hash(&mut clone));
            }
            let mut full = None;
            let copied = objects::copy(&mut object, |piece| {
                file.write_all(piece).inspect_err(|error| {
                    full = Some(io::Error::from(error.kind()));
                })
            });
            match full {
                Some(error) => Err(StoreError::io(destination, error)),
                None => Ok(copied),
            }
        };
        let disk = self.disk();
        let (file, copied) = disk.write_temporary(directory, mode.bits(), write)?;
        match copied {
            Ok((found, size)) if found == *digest => {
                if syncing == Syncing::First {
                    disk.sync_files(&[&file])?;
                }
                disk.name(file, destination)?;
                Ok(Some(size))
            }
            Ok(_) => Ok(self.bad(digest)),
            Err(error) => self.unreadable(digest, error),
        }
    }
}

/// Whether the destination already is what it should become; its mode is put right if need be.
fn leave_alone(
    digest: &ObjectDigest,
    size: u64,
    destination: &Path,
    mode: FileMode,
) -> Result<bool, StoreError> {
    let Ok(metadata) = destination.symlink_metadata() else {
        return Ok(false);
    };
    if !metadata.is_file() || metadata.len() != size {
        return Ok(false);
    }
    let same = regular::open(destination, size).is_ok_and(|(mut file, _)| {
        objects::hash(&mut file).is_ok_and(|(found, _)| found == *digest)
    });
    let executable = metadata.mode() & 0o111 != 0;
    if same && executable != (mode == FileMode::Executable) {
        let permissions = Permissions::from_mode(mode.bits());
        fs::set_permissions(destination, permissions).at(destination)?;
    }
    Ok(same)
}
