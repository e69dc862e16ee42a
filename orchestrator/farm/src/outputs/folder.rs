//! The folder of a farm, as it is written to: under its name a file is whole, with its stamp, at any moment
//! at which the power may fail.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use kiln_build::results::{DeliveryError, Placing};
use kiln_cache::Syncing;
use kiln_durable::{Disk, Failure, regular};

/// A folder that outputs are put into.
pub(super) struct Folder {
    path: PathBuf,
    disk: Disk,
}

impl Folder {
    pub(super) fn new(path: &Path, disk: &Disk) -> Self {
        Self {
            path: path.to_owned(),
            disk: disk.clone(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a copy of a file into the folder, with its mode and the time that vouches for it.
    ///
    /// # Errors
    /// Fails if it cannot be read or written; what was there then stays.
    pub(super) fn copy(
        &self,
        from: &Path,
        to: &Path,
        time: SystemTime,
    ) -> Result<(), DeliveryError> {
        let failed = |source| DeliveryError::Output {
            path: to.to_owned(),
            source,
        };
        if let Some(directory) = to.parent() {
            self.disk.make_path(directory, 0o777)?;
        }
        let copy = || -> io::Result<()> {
            let mut source = File::open(from)?;
            let placing = Placing {
                disk: &self.disk,
                mode: source.metadata()?.permissions().mode() & 0o777,
                time: Some(time),
                syncing: Syncing::First,
            };
            placing.place(to, |file| io::copy(&mut source, file).map(drop))
        };
        copy().map_err(failed)
    }

    /// Writes a file into the folder's top, unless it is there already.
    ///
    /// # Errors
    /// Fails if it cannot be written; what was there then stays.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), DeliveryError> {
        let path = self.path.join(name);
        if regular::read(&path, text.len() as u64).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        let placing = Placing {
            disk: &self.disk,
            mode: 0o666,
            time: None,
            syncing: Syncing::First,
        };
        let written = placing.place(&path, |file| file.write_all(text.as_bytes()));
        written.map_err(|source| DeliveryError::Output { path, source })
    }

    /// Removes a file, and the directories that are empty then; not synced.
    ///
    /// # Errors
    /// Fails if the file cannot be removed.
    pub(super) fn remove(&self, inner: &Path) -> Result<(), Failure> {
        self.disk.remove(&self.path.join(inner))?;
        for parent in inner.ancestors().skip(1) {
            let directory = self.path.join(parent);
            // Only goes if nothing is in it.
            if parent.as_os_str().is_empty() {
                break;
            }
            self.disk.remove_directory(&directory)?;
            if directory.exists() {
                break;
            }
        }
        Ok(())
    }

    /// Makes the names in the folder's top last.
    ///
    /// # Errors
    /// Fails if the system cannot.
    pub(super) fn sync_top(&self) -> Result<(), DeliveryError> {
        self.disk
            .sync_directory(&self.path)
            .map_err(DeliveryError::from)
    }

    /// Makes all in the folder last, and its own name.
    ///
    /// # Errors
    /// Fails if the system cannot.
    pub(super) fn sync_all(&self) -> Result<(), DeliveryError> {
        let above = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        match self.disk.sync_directory(above) {
            // Whoever may not read it has not made the folder in it.
            Err(denied) if denied.source.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
        self.disk.sync_tree(&self.path).map_err(DeliveryError::from)
    }
}
