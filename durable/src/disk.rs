//! The operations themselves: each of them one step for whoever watches.

use std::fmt;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::syncfs;

use crate::temporary::PREFIX;
use crate::{Failure, Operation, Step, Temporary, Watch, all_at_once};

/// The file systems of this machine, as far as they are written to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Disk {
    watch: Option<Arc<dyn Watch>>,
}

impl Disk {
    /// A disk of which each operation is watched.
    pub fn watched(watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch) }
    }

    /// Makes a directory; that it is there already is fine.
    ///
    /// # Errors
    ///
    /// When the system refuses, or something else has the name.
    pub fn make_directory(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        self.perform(Operation::MakeDirectory, path, || {
            match DirBuilder::new().mode(mode).create(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(())
                }
                made => made,
            }
        })
    }

    /// Makes a directory of just this mode, whatever the umask is; nothing may have the name.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn make_new_directory(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        self.perform(Operation::MakeDirectory, path, || {
            fs::create_dir(path)?;
            fs::set_permissions(path, Permissions::from_mode(mode))
        })
    }

    /// Makes a directory with those above it that are missing; not synced.
    ///
    /// # Errors
    ///
    /// As [`Disk::make_directory`].
    pub fn make_path(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        for directory in missing(path).into_iter().rev() {
            self.make_directory(directory, mode)?;
        }
        Ok(())
    }

    /// Makes a directory with those above it that are missing, all to last.
    ///
    /// # Errors
    ///
    /// As [`Disk::make_directory`].
    pub fn make_directories(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        let missing = missing(path);
        // The one that is there may have been made a moment ago by who was interrupted.
        if let Some(there) = missing.last().map(|first| parent(first)) {
            match self.sync_directory(parent(there)) {
                // Nor has it been made by those who may not read what it is in.
                Err(failure) if failure.source.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
        }
        for directory in missing.into_iter().rev() {
            self.make_directory(directory, mode)?;
            self.sync_directory(parent(directory))?;
        }
        Ok(())
    }

    /// Writes a new file, and makes it last.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
        let file = self.perform(Operation::Write, path, || {
            let mut file = create(path)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(content)?;
            Ok(file)
        })?;
        self.perform(Operation::SyncFile, path, || file.sync_all())
    }

    /// Writes a new file piece by piece, which only its owner may read unless `write` says otherwise; not
    /// synced.
    ///
    /// # Errors
    ///
    /// What `write` fails with, or the making of the file; a part of the file may be left.
    pub fn write_new<T, E: From<Failure>>(
        &self,
        path: &Path,
        write: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<T, E> {
        let step = Step {
            operation: Operation::Write,
            path,
            from: None,
        };
        self.before(&step)?;
        let written = match create(path) {
            Ok(mut file) => write(&mut file),
            Err(error) => Err(Failure::new(path, error).into()),
        };
        self.after(&step);
        written
    }

    /// Copies a file to a new one with a mode, and makes that last.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn copy(&self, from: &Path, path: &Path, mode: u32) -> Result<(), Failure> {
        self.copy_with(from, path, |file, _| {
            file.set_permissions(Permissions::from_mode(mode))
        })
    }

    /// Copies a file with its owner, mode and time, and makes that last.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn duplicate(&self, from: &Path, path: &Path) -> Result<(), Failure> {
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
    ///
    /// # Errors
    ///
    /// When the system refuses, as it does from one file system to another.
    pub fn link(&self, from: &Path, path: &Path) -> Result<(), Failure> {
        self.second_name(from, path)?;
        self.perform(Operation::SyncFile, path, || File::open(path)?.sync_all())
    }

    /// Gives a file a second name; not synced.
    ///
    /// # Errors
    ///
    /// As [`Disk::link`].
    pub fn second_name(&self, from: &Path, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::Link, path, || {
            anew(path, || fs::hard_link(from, path))
        })
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn symlink(&self, target: &Path, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::Symlink, path, || {
            anew(path, || symlink(target, path))
        })
    }

    /// Writes a file that has no final name yet: not synced, removed when dropped.
    ///
    /// # Errors
    ///
    /// What `write` fails with, or the making of the file; nothing is left then.
    pub fn write_temporary<T, E: From<Failure>>(
        &self,
        directory: &Path,
        mode: u32,
        write: impl FnOnce(&mut Temporary) -> Result<T, E>,
    ) -> Result<(Temporary, T), E> {
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)
            .and_then(|made| made.keep().map_err(|error| error.error));
        let (file, path) = made.map_err(|error| Failure::new(directory, error))?;
        let mut temporary = Temporary::new(self, file, path.clone());
        let step = Step {
            operation: Operation::Write,
            path: &path,
            from: None,
        };
        self.before(&step)?;
        let written = write(&mut temporary);
        self.after(&step);
        Ok((temporary, written?))
    }

    /// Gives a written file a time of change, which lasts once the file is synced.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn set_modified(&self, file: &Temporary, time: SystemTime) -> Result<(), Failure> {
        self.perform(Operation::SetTime, file.path(), || {
            file.file().set_modified(time)
        })
    }

    /// Makes the content of written files last.
    ///
    /// # Errors
    ///
    /// When the system cannot.
    pub fn sync_files(&self, files: &[&Temporary]) -> Result<(), Failure> {
        all_at_once(files, |file| {
            self.perform(Operation::SyncFile, file.path(), || file.file().sync_all())
        })
    }

    /// Gives a written file its final name, replacing what has it.
    ///
    /// # Errors
    ///
    /// When the system refuses; the file is removed then.
    pub fn name(&self, file: Temporary, path: &Path) -> Result<(), Failure> {
        self.rename(file.path(), path)?;
        file.release();
        Ok(())
    }

    /// Renames a file or directory, replacing what has the name.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn rename(&self, from: &Path, path: &Path) -> Result<(), Failure> {
        let step = Step {
            operation: Operation::Rename,
            path,
            from: Some(from),
        };
        self.take(&step, || fs::rename(from, path))
    }

    /// Removes a file or link; that it is gone already is fine.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn remove(&self, path: &Path) -> Result<(), Failure> {
        match self.perform(Operation::Remove, path, || fs::remove_file(path)) {
            // A read-only file system says so before it says that there is nothing.
            Err(_) if path.symlink_metadata().is_err() => Ok(()),
            removed => removed,
        }
    }

    /// Removes a file or link, or a directory with all in it, also where its owner may not write; that it is
    /// gone already is fine.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn remove_tree(&self, path: &Path) -> Result<(), Failure> {
        let removed = self.perform(Operation::Remove, path, || {
            if path.symlink_metadata()?.is_dir() {
                remove_directories(path)
            } else {
                fs::remove_file(path)
            }
        });
        match removed {
            Err(failure) if failure.source.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes a directory if it is there, empty and may be removed.
    ///
    /// # Errors
    ///
    /// Only what a watch wants.
    pub fn remove_directory(&self, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::RemoveDirectory, path, || {
            // Whatever keeps it keeps it, as with `rmdir --ignore-fail-on-non-empty || true`.
            let _ = fs::remove_dir(path);
            Ok(())
        })
    }

    /// Makes the names in a directory last; that it is gone is fine.
    ///
    /// # Errors
    ///
    /// When the system cannot.
    pub fn sync_directory(&self, path: &Path) -> Result<(), Failure> {
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

    /// Makes the names in several directories last, each once.
    ///
    /// # Errors
    ///
    /// As [`Disk::sync_directory`].
    pub fn sync_directories<'a>(
        &self,
        directories: impl IntoIterator<Item = &'a Path>,
    ) -> Result<(), Failure> {
        let mut directories: Vec<&Path> = directories.into_iter().collect();
        directories.sort_unstable();
        directories.dedup();
        all_at_once(&directories, |directory| self.sync_directory(directory))
    }

    /// Makes the names in the directories of some paths last.
    ///
    /// # Errors
    ///
    /// As [`Disk::sync_directory`].
    pub fn sync_directories_of<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<(), Failure> {
        self.sync_directories(paths.into_iter().filter_map(|path| path.parent()))
    }

    /// Makes everything below a directory last, and whatever else its file system has not written yet.
    ///
    /// # Errors
    ///
    /// When the system cannot.
    pub fn sync_tree(&self, path: &Path) -> Result<(), Failure> {
        self.perform(Operation::SyncTree, path, || Ok(syncfs(File::open(path)?)?))
    }

    fn perform<T>(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, Failure> {
        let step = Step {
            operation,
            path,
            from: None,
        };
        self.take(&step, act)
    }

    fn take<T>(&self, step: &Step<'_>, act: impl FnOnce() -> io::Result<T>) -> Result<T, Failure> {
        let done = self
            .before(step)
            .and_then(|()| act().map_err(|source| Failure::new(step.path, source)));
        self.after(step);
        done
    }

    fn before(&self, step: &Step<'_>) -> Result<(), Failure> {
        match &self.watch {
            Some(watch) => watch
                .before(step)
                .map_err(|source| Failure::new(step.path, source)),
            None => Ok(()),
        }
    }

    fn after(&self, step: &Step<'_>) {
        if let Some(watch) = &self.watch {
            watch.after(step);
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut disk = f.debug_struct("Disk");
        disk.field("is_watched", &self.watch.is_some()).finish()
    }
}

/// The directories of a path that are not there, the innermost first.
fn missing(path: &Path) -> Vec<&Path> {
    let is_missing = |directory: &&Path| {
        !directory.as_os_str().is_empty() && directory.symlink_metadata().is_err()
    };
    path.ancestors().take_while(is_missing).collect()
}

/// The directory that a path is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    anew(path, || options.open(path))
}

/// Makes something new where a leftover may have the name. A leftover may be a second name of
/// a file in use, so it is never written into.
fn anew<T>(path: &Path, make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            make()
        }
        made => made,
    }
}

/// Also removes directories below that their owner may not write.
fn remove_directories(path: &Path) -> io::Result<()> {
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
