//! Files in a farm's folder that no farm has put there: what is put in their place does not replace them.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kiln_build::results::DeliveryError;
use kiln_durable::regular;
use kiln_files::is_same;

use super::ledger;

/// Tells whose files are, in one folder and one run.
#[derive(Debug)]
pub(crate) struct Strangers {
    directory: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What farms have put there, this run among them.
    ours: BTreeSet<PathBuf>,
    /// The names that others' files have now.
    aside: Vec<PathBuf>,
}

impl Strangers {
    /// Of a folder as it is before a run.
    pub(super) fn new(directory: &Path) -> Self {
        let known = Known {
            ours: ledger::all_listed(directory),
            aside: Vec::new(),
        };
        Self {
            directory: directory.to_owned(),
            known: Mutex::new(known),
        }
    }

    /// Puts something at paths. What somebody else has there is first given a second name beside it (`NAME.~1~`), and
    /// keeps that if the new content is another.
    ///
    /// # Errors
    /// Fails as `put` does, or if the second name cannot be made.
    pub(crate) fn keep(
        &self,
        paths: &[PathBuf],
        put: impl FnOnce() -> Result<(), DeliveryError>,
    ) -> Result<(), DeliveryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DeliveryError::Output { path, source }
        };
        let mut second = Vec::new();
        for path in paths.iter().filter(|path| self.is_stranger(path)) {
            second.push((path, second_name(path).map_err(failed(path))?));
        }
        let done = put();
        for (path, name) in second {
            if fs::symlink_metadata(path).is_err() {
                // Nothing was put there.
                fs::rename(&name, path).map_err(failed(path))?;
            } else if is_same(path, &name) || has_content_of(path, &name) {
                fs::remove_file(&name).map_err(failed(&name))?;
            } else {
                self.lock().aside.push(self.inner(&name));
            }
        }
        done?;
        let inner: Vec<PathBuf> = paths.iter().map(|path| self.inner(path)).collect();
        self.lock().ours.extend(inner);
        Ok(())
    }

    /// The names that others' files have now, from the folder.
    pub(super) fn take_aside(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.lock().aside)
    }

    fn is_stranger(&self, path: &Path) -> bool {
        // A directory is never replaced by a file.
        let is_there = fs::symlink_metadata(path).is_ok_and(|there| !there.is_dir());
        is_there && !self.lock().ours.contains(&self.inner(path))
    }

    fn inner(&self, path: &Path) -> PathBuf {
        ledger::inner(&self.directory, path)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a file a second name beside its own.
fn second_name(path: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".~{number}~"));
        let name = PathBuf::from(name);
        match fs::hard_link(path, &name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // A file system without second names: what is put there finds the place empty.
            Err(_) if fs::symlink_metadata(&name).is_err() => {
                return fs::rename(path, &name).map(|()| name);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether two files are regular, and have the same content as far as they can be read.
fn has_content_of(path: &Path, other: &Path) -> bool {
    let Ok(there) = fs::symlink_metadata(path) else {
        return false;
    };
    let [one, other] = [path, other].map(|path| regular::read(path, there.len()).ok());
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, content: &str) -> Result<(), DeliveryError> {
        let new = path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(&new, path).unwrap();
        Ok(())
    }

    #[test]
    fn what_somebody_else_had_there_keeps_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("SHA256SUMS");
        fs::write(&path, "mine").unwrap();
        fs::write(folder.path().join("SHA256SUMS.~1~"), "old").unwrap();
        let strangers = Strangers::new(folder.path());
        let paths = [path.clone()];
        strangers.keep(&paths, || put(&path, "sums")).unwrap();
        strangers.keep(&paths, || put(&path, "more sums")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"more sums");
        assert_eq!(strangers.take_aside(), [Path::new("SHA256SUMS.~2~")]);
        let kept = fs::read(folder.path().join("SHA256SUMS.~2~")).unwrap();
        assert_eq!(kept, b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_same_content_needs_no_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ko");
        let strangers = Strangers::new(folder.path());
        for content in ["module", "module"] {
            fs::write(&path, content).unwrap();
            let paths = [path.clone()];
            strangers.keep(&paths, || put(&path, "module")).unwrap();
            strangers.lock().ours.clear();
        }
        strangers.keep(&[path], || Ok(())).unwrap();
        assert!(strangers.take_aside().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_could_not_be_put_there_leaves_all_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ko");
        fs::write(&path, "mine").unwrap();
        let strangers = Strangers::new(folder.path());
        let failing = || {
            Err(DeliveryError::Output {
                path: PathBuf::new(),
                source: io::ErrorKind::StorageFull.into(),
            })
        };
        assert!(
            strangers
                .keep(std::slice::from_ref(&path), failing)
                .is_err()
        );
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
