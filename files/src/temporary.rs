//! Directories that go with their process, however it ends.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::geteuid,
};
use tempfile::TempDir;

use crate::{filled::remove_filled, identity::is_still_itself};

/// What has an entry of this name is not removed for an orphan: nobody else has what is in it.
pub(crate) const KEPT: &str = "kept";

/// A directory that nobody but its user can enter. It is removed when it is dropped; if its process is killed before that,
/// it is when the next of the same kind is made beside it.
#[derive(Debug)]
pub struct TemporaryDirectory {
    directory: TempDir,
    /// Locked as long as this process lives, wherever its number means something. Not where the file system has no locks.
    _lock: Option<File>,
}

impl TemporaryDirectory {
    /// Makes one in `parent`, and removes those of this user that killed processes left there. Its name begins with
    /// `prefix`, which no other directories may have.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    pub fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        remove_orphans(parent, prefix);
        loop {
            let directory = tempfile::Builder::new()
                .prefix(prefix)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)?;
            // Who looks for orphans just now may take it for one before it is locked.
            let lock = match lock(directory.path()) {
                Lock::Ours(lock) => Some(lock),
                Lock::Impossible => None,
                Lock::Taken => continue,
            };
            return Ok(Self {
                directory,
                _lock: lock,
            });
        }
    }

    /// Leaves it where it is.
    pub(crate) fn keep(self) {
        let _ = self.directory.keep();
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

enum Lock {
    Ours(File),
    /// Another process has it, or it is gone.
    Taken,
    Impossible,
}

/// Nothing else is locked meanwhile: its parent could be held for ever by whoever may read it.
fn lock(path: &Path) -> Lock {
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Lock::Taken,
        Err(_) => return Lock::Impossible,
        Ok(directory) => directory,
    };
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Lock::Taken,
        Err(_) => Lock::Impossible,
        Ok(()) if is_still_itself(path, &directory) => Lock::Ours(directory),
        Ok(()) => Lock::Taken,
    }
}

fn remove_orphans(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let own = path.symlink_metadata();
        let own = own.is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
        // Held while it is removed.
        if own
            && let Lock::Ours(_lock) = lock(&path)
            && path.join(KEPT).symlink_metadata().is_err()
        {
            let _ = remove_filled(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_process_left_goes_with_the_next() {
        let parent = tempfile::tempdir().unwrap();
        for left in [".t-left/deep/er", "u-other/deep", ".t-precious/kept"] {
            fs::create_dir_all(parent.path().join(left)).unwrap();
        }
        std::os::unix::fs::symlink("u-other", parent.path().join(".t-link")).unwrap();
        fs::write(parent.path().join(".t-file"), "").unwrap();
        let there = [".t-file", ".t-link", ".t-precious", "u-other"];
        let made = TemporaryDirectory::new_in(parent.path(), ".t-").unwrap();
        let own = made.path().file_name().unwrap().to_str().unwrap();
        let mut expected = [&there[..], &[own]].concat();
        expected.sort_unstable();
        assert_eq!(names(parent.path()), expected);
        assert!(parent.path().join("u-other/deep").is_dir());
        let mode = made.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        // One that is in use stays, with what is in it.
        fs::write(made.path().join("file"), "").unwrap();
        let other = TemporaryDirectory::new_in(parent.path(), ".t-").unwrap();
        assert!(made.path().join("file").is_file());
        drop((made, other));
        assert_eq!(names(parent.path()), there);
    }

    #[test]
    fn many_at_once_all_keep_theirs() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let made = TemporaryDirectory::new_in(parent.path(), ".t-").unwrap();
                        fs::write(made.path().join("file"), "").unwrap();
                        assert!(made.path().join("file").is_file());
                    }
                });
            }
        });
        assert!(names(parent.path()).is_empty());
    }
}
