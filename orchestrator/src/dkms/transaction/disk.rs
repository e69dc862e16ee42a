//! The file system operations that a transaction is made of; all its writing goes through here.
//!
//! Tests watch each operation, and can have it fail or be the last one: see `tests/`.

use std::{
    fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink},
    path::{Path, PathBuf},
    thread,
};

use super::error::Failure;

/// More threads than this do not make a disk sync faster.
const THREADS: usize = 8;

/// What is done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    MakeDirectory,
    /// Creates the file and writes all of it.
    Write,
    Link,
    Symlink,
    /// Always within one directory; the path is the new one.
    Rename,
    Remove,
    RemoveDirectory,
    SyncFile,
    SyncDirectory,
}

/// The operations.
#[derive(Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) watch: Option<std::sync::Arc<dyn super::tests::Watch>>,
}

impl Disk {
    /// Makes a directory; that it is there already is fine.
    pub(super) fn make_directory(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        self.perform(Operation::MakeDirectory, path, || {
            match DirBuilder::new().mode(mode).create(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(())
                }
                made => made,
            }
        })
    }

    /// Writes a new file, and makes it last.
    pub(super) fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
        let file = self.perform(Operation::Write, path, || {
            let mut file = create(path)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(content)?;
            Ok(file)
        })?;
        self.perform(Operation::SyncFile, path, || file.sync_all())
    }

    /// Copies a file to a new one with a mode, and makes that last.
    pub(super) fn copy(&self, from: &Path, path: &Path, mode: u32) -> Result<(), Failure> {
        self.copy_with(from, path, |file, _| {
            file.set_permissions(Permissions::from_mode(mode))
        })
    }

    /// Copies a file with its owner, mode and time, and makes that last.
    pub(super) fn duplicate(&self, from: &Path, path: &Path) -> Result<(), Failure> {
        self.copy_with(from, path, |file, original| {
            // Only root can give files away; others get a copy of their own.
            let _ = fchown(file, Some(original.uid()), Some(original.gid()));
            file.set_permissions(original.permissions())?;
            file.set_times(FileTimes::new().set_modified(original.modified()?))
        })
    }

    fn copy_with(
        &self,
        from: &Path,
        path: &Path,
        complete: impl FnOnce(&File, &fs::Metadata) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut source = File::open(from).map_err(|error| Failure::new(from, error))?;
        let file = self.perform(Operation::Write, path, || {
            let mut file = create(path)?;
            io::copy(&mut source, &mut file)?;
            complete(&file, &source.metadata()?)?;
            Ok(file)
        })?;
        self.perform(Operation::SyncFile, path, || file.sync_all())
    }

    /// Gives a file a second name, and makes its content last.
    pub(super) fn link(&self, from: &Path, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::Link, path, || {
            anew(path, || fs::hard_link(from, path))
        })?;
        self.perform(Operation::SyncFile, path, || File::open(path)?.sync_all())
    }

    /// Makes a symbolic link.
    pub(super) fn symlink(&self, target: &Path, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::Symlink, path, || {
            anew(path, || symlink(target, path))
        })
    }

    /// Renames within a directory.
    pub(super) fn rename(&self, from: &Path, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::Rename, path, || fs::rename(from, path))
    }

    /// Removes a file or link; that it is gone already is fine.
    pub(super) fn remove(&self, path: &Path) -> Result<(), Failure> {
        match self.perform(Operation::Remove, path, || fs::remove_file(path)) {
            // A read-only file system says so before it says that there is nothing.
            Err(_) if path.symlink_metadata().is_err() => Ok(()),
            removed => removed,
        }
    }

    /// Removes a directory if it is there, empty and may be removed.
    pub(super) fn remove_directory(&self, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::RemoveDirectory, path, || {
            // Whatever keeps it keeps it, as with `rmdir --ignore-fail-on-non-empty || true`.
            let _ = fs::remove_dir(path);
            Ok(())
        })
    }

    /// Makes the names in a directory last; that it is gone is fine.
    pub(super) fn sync_directory(&self, path: &Path) -> Result<(), Failure> {
        let synced = self.perform(Operation::SyncDirectory, path, || {
            match File::open(path)?.sync_all() {
                // Some file systems have nothing to sync there.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                synced => synced,
            }
        });
        match synced {
            Err(failure) if failure.is_vanished() => Ok(()),
            synced => synced,
        }
    }

    /// Makes the names in the directories of some paths last.
    pub(super) fn sync_directories_of<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<(), Failure> {
        let mut directories: Vec<&Path> = paths.into_iter().filter_map(|p| p.parent()).collect();
        directories.sort_unstable();
        directories.dedup();
        all_at_once(&directories, |directory| self.sync_directory(directory))
    }

    fn perform<T>(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, Failure> {
        #[cfg(test)]
        if let Some(watch) = &self.watch {
            return super::tests::watched(&**watch, operation, path, act);
        }
        #[cfg(not(test))]
        let _ = operation;
        act().map_err(|source| Failure::new(path, source))
    }
}

/// Does something to each item, several at a time. Fails with one of the failures.
pub(super) fn all_at_once<T: Sync>(
    items: &[T],
    act: impl Fn(&T) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let mut shares = items.chunks(items.len().div_ceil(THREADS).max(1));
    let first = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| scope.spawn(|| share.iter().try_for_each(&act)))
            .collect();
        let mut done = first.iter().try_for_each(&act);
        for other in others {
            done = done.and(other.join().expect("file operations do not panic"));
        }
        done
    })
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    anew(path, || options.open(path))
}

/// Makes something new where a leftover may have the name. A leftover may be a second name of
/// a module in use, so it is never written into.
fn anew<T>(path: &Path, make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            make()
        }
        made => made,
    }
}
