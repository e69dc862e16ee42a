//! Writing so that it lasts: temporary file, fsync, rename, fsync of the directory.
//!
//! Several files are synced at once, because a journalling file system then commits them together.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use tempfile::NamedTempFile;

use super::error::{At, StoreError};

/// The mode of files that are written once: objects and records.
pub(crate) const FINAL: u32 = 0o444;

/// The mode of other files of the cache.
pub(crate) const SHARED: u32 = 0o644;

/// More threads than this do not make a disk sync faster.
const SYNC_THREADS: usize = 8;

/// Makes a temporary file that is removed unless it is renamed.
pub(crate) fn temporary(directory: &Path, mode: u32) -> Result<NamedTempFile, StoreError> {
    tempfile::Builder::new()
        .prefix(".kiln-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)
        .at(directory)
}

/// Gives a temporary file its name, replacing whatever had it.
pub(crate) fn rename(file: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::io(path, error.error)),
    }
}

/// Makes the names in a directory last.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).at(path)
}

/// Makes the names in several directories last.
pub(crate) fn sync_directories(paths: &[PathBuf]) -> Result<(), StoreError> {
    at_once(paths, |path| sync_directory(path))
}

/// Makes the content of several files last.
pub(crate) fn sync_files(files: &[&NamedTempFile]) -> Result<(), StoreError> {
    at_once(files, |file| file.as_file().sync_all().at(file.path()))
}

fn at_once<T: Sync>(
    items: &[T],
    sync: impl Fn(&T) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let share = items.len().div_ceil(SYNC_THREADS).max(1);
    let mut shares = items.chunks(share);
    let first = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| scope.spawn(|| share.iter().try_for_each(&sync)))
            .collect();
        let mut done = first.iter().try_for_each(&sync);
        for other in others {
            done = done.and(other.join().expect("syncing does not panic"));
        }
        done
    })
}

/// Marks a file as used now. Best effort: what cannot be marked is collected a little earlier.
pub(crate) fn touch(path: &Path) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::empty());
}

/// Removes a file or a whole directory; that it is gone already is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => remove_directory(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Also removes directories below that their owner may not write, which a build may have left.
fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            allow_removal(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

fn allow_removal(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            allow_removal(&entry.path())?;
        }
    }
    Ok(())
}
