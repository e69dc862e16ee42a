//! Changing the modules of a kernel, all at once: whoever looks sees each module as it was or as it will
//! be, whatever crashes when, and the next one to look finishes what was begun.
//!
//! A [`Transaction`] locks one kernel's directory. Changes are only recorded, and can be read back as if they
//! had been made, until [`Transaction::commit`] makes them. docs/install-transactions.md tells how, and what
//! is not covered. Knows nothing of packages, dkms.conf or depmod; those are the caller's.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod error;
mod journal;
mod listing;
mod lock;
mod overlay;
mod plan;
mod prepare;
mod recovery;
mod stand_in;
#[cfg(test)]
mod tests;
mod view;

use std::{
    cell::OnceCell,
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use kiln_durable::{Disk, Failure};

use error::Meaning;
use journal::{Journal, Stage};
use listing::Listing;
use overlay::Overlay;
use plan::Plan;

pub use error::TransactionError;
pub use lock::{PackageLock, lock_package};
pub use recovery::Recovered;

/// The changes to one kernel's modules, and to what the DKMS tree says of them.
///
/// Holds the kernel's lock until dropped. Dropped before a commit, it leaves nothing behind.
pub struct Transaction {
    disk: Disk,
    /// As the caller calls it.
    kernel_dir: PathBuf,
    /// The same without symbolic links.
    kernel: PathBuf,
    /// None where there is no such kernel: changes to the DKMS tree then go unrecorded.
    journal: Option<Journal>,
    recovered: Recovered,
    overlay: Overlay,
    listing: OnceCell<Listing>,
    _lock: Option<lock::Held>,
}

/// What a transaction had recorded at a moment.
pub struct Checkpoint(Overlay);

impl Transaction {
    /// Whether an earlier process may have left something in a kernel's directory that [`Transaction::begin`]
    /// would finish; one that is still at work looks the same.
    pub fn is_left(kernel_dir: &Path) -> bool {
        Journal::of(kernel_dir).exists()
    }

    /// Locks a kernel's directory, e.g. `/lib/modules/6.1.0-56-amd64`, and finishes or takes back what an earlier
    /// process left there; see [`Transaction::recovered`]. `waiting` is called once if another process has the lock.
    ///
    /// `tree` is the DKMS tree, which changes are about besides.
    ///
    /// There may be no such directory: packages are also removed from kernels that are gone.
    ///
    /// # Errors
    /// Fails if the directory cannot be locked, or if what was left there cannot be dealt with.
    pub fn begin(
        kernel_dir: &Path,
        tree: &Path,
        waiting: &mut dyn FnMut(),
    ) -> Result<Self, TransactionError> {
        Self::begin_on(Disk::default(), kernel_dir, tree, waiting)
    }

    fn begin_on(
        disk: Disk,
        kernel_dir: &Path,
        tree: &Path,
        waiting: &mut dyn FnMut(),
    ) -> Result<Self, TransactionError> {
        let lock = lock::lock_directory(kernel_dir, waiting)?;
        let overlay = Overlay::default();
        let kernel = overlay.resolve(kernel_dir);
        let journal = lock.is_some().then(|| Journal::of(&kernel));
        let recovered = match &journal {
            Some(journal) => recovery::recover(&disk, journal, &kernel, &overlay.resolve(tree))?,
            None => Recovered::Nothing,
        };
        Ok(Self {
            disk,
            kernel_dir: kernel_dir.to_path_buf(),
            kernel,
            journal,
            recovered,
            overlay,
            listing: OnceCell::new(),
            _lock: lock,
        })
    }

    /// What an earlier process had left. If that [needs depmod](Recovered::needs_depmod), the caller runs it and
    /// then [finishes](Transaction::finish), be it after changes of its own.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Whether a path leads to anything, as `test -e`.
    pub fn exists(&self, path: &Path) -> bool {
        self.overlay.exists(path)
    }

    /// Whether a path leads to a regular file, as `test -f`.
    pub fn is_file(&self, path: &Path) -> bool {
        self.overlay.source(path).is_some()
    }

    /// Whether a path leads to a directory, as `test -d`. One that is only made for a file which is then removed
    /// again is not made at all.
    pub fn is_directory(&self, path: &Path) -> bool {
        self.overlay.is_directory(path)
    }

    /// The target of a symbolic link; nothing if the path is not one.
    pub fn read_link(&self, path: &Path) -> Option<PathBuf> {
        self.overlay.read_link(path)
    }

    /// The absolute path that a path leads to, without symbolic links, as `readlink -m`.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.overlay.resolve(path)
    }

    /// A regular file, to be read.
    ///
    /// # Errors
    /// Fails if there is no such file or it cannot be read.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.overlay.open_file(path)
    }

    /// The regular files in the kernel's directory that have one of some names, in the order in which find(1) comes
    /// upon them; new ones last. The directory is read once a commit, not each time.
    ///
    /// # Errors
    /// Fails if the directory cannot be read.
    pub fn find<N: AsRef<OsStr>>(&self, names: &[N]) -> Result<Vec<PathBuf>, TransactionError> {
        let listing = match self.listing.get() {
            Some(listing) => listing,
            None => {
                let listing = Listing::read(&self.kernel)?;
                self.listing.get_or_init(|| listing)
            }
        };
        let names: Vec<&OsStr> = names.iter().map(AsRef::as_ref).collect();
        let found = listing.find(&self.kernel, &names, &self.overlay);
        Ok(found
            .iter()
            .filter_map(|path| Some(self.kernel_dir.join(path.strip_prefix(&self.kernel).ok()?)))
            .collect())
    }

    /// The regular files below any directory, as `find -type f` has them; new ones last.
    ///
    /// # Errors
    /// Fails if a directory cannot be read.
    pub fn files_below(&self, directory: &Path) -> Result<Vec<PathBuf>, TransactionError> {
        self.overlay.files_below(directory)
    }

    /// Copies a file to a path, with mode 0644, replacing what is there.
    ///
    /// # Errors
    /// Fails if `from` is not a file or `to` is a directory.
    pub fn put(&mut self, from: &Path, to: &Path) -> Result<(), TransactionError> {
        self.overlay.put(from, to)
    }

    /// Writes a file with mode 0644, replacing what is there.
    ///
    /// # Errors
    /// Fails if `to` is a directory.
    pub fn put_bytes(
        &mut self,
        bytes: impl Into<Vec<u8>>,
        to: &Path,
    ) -> Result<(), TransactionError> {
        self.overlay.put_bytes(bytes.into(), to)
    }

    /// Makes a symbolic link, replacing what is there.
    ///
    /// # Errors
    /// Fails if `to` is a directory.
    pub fn put_link(&mut self, target: &Path, to: &Path) -> Result<(), TransactionError> {
        self.overlay.put_link(target, to)
    }

    /// Moves a file or link, keeping mode, owner and time, replacing what is there; also to another file system.
    ///
    /// # Errors
    /// Fails if there is nothing at `from`, or if either is a directory.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<(), TransactionError> {
        self.overlay.rename(from, to)
    }

    /// Removes a file or link, if there is one.
    ///
    /// # Errors
    /// Fails if it is a directory.
    pub fn remove(&mut self, path: &Path) -> Result<(), TransactionError> {
        self.overlay.remove(path)
    }

    /// Removes whatever is at a path, and all that is now below it.
    ///
    /// # Errors
    /// Fails if a directory cannot be read.
    pub fn remove_tree(&mut self, path: &Path) -> Result<(), TransactionError> {
        self.overlay.remove_tree(path)
    }

    /// Removes a directory and its parents below `up_to`, as far as they are empty.
    ///
    /// # Errors
    /// Fails if a directory cannot be read.
    pub fn prune(&mut self, dir: &Path, up_to: &Path) -> Result<(), TransactionError> {
        self.overlay.prune(dir, up_to)
    }

    /// Removes a directory and those below it, as far as they are empty: `find -type d -empty -delete`.
    ///
    /// # Errors
    /// Fails if a directory cannot be read.
    pub fn prune_tree(&mut self, dir: &Path) -> Result<(), TransactionError> {
        self.overlay.prune_tree(dir)
    }

    /// Whether nothing was recorded since the last commit.
    pub fn is_empty(&self) -> bool {
        self.overlay.is_empty()
    }

    /// What is recorded at this moment.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(self.overlay.clone())
    }

    /// Forgets what was recorded since a checkpoint.
    pub fn back_to(&mut self, checkpoint: Checkpoint) {
        self.overlay = checkpoint.0;
    }

    /// Forgets what was recorded since the last commit.
    pub fn forget(&mut self) {
        self.overlay = Overlay::default();
    }

    /// Makes the changes. When it returns they are on disk, to last, and depmod is due; other changes may follow.
    ///
    /// # Errors
    /// Of [`TransactionError::Write`], nothing was changed, and what was recorded still is. Of
    /// [`TransactionError::Unfinished`], the next transaction on this kernel goes on where it stopped; this one is of no
    /// more use.
    pub fn commit(&mut self) -> Result<(), TransactionError> {
        if self.is_empty() {
            return Ok(());
        }
        self.refuse_to_forget()?;
        self.make_changes()?;
        self.forget();
        self.listing = OnceCell::new();
        Ok(())
    }

    /// Another commit would take the place of the one that was not finished.
    fn refuse_to_forget(&self) -> Result<(), TransactionError> {
        match &self.journal {
            Some(journal) if journal.is_at(Stage::Commit) => Err(TransactionError::Unfinished {
                path: journal.path(Stage::Commit),
                source: io::Error::other("an earlier change is not finished"),
            }),
            _ => Ok(()),
        }
    }

    fn make_changes(&self) -> Result<(), TransactionError> {
        let (plan, preparations) = Plan::of(&self.overlay, &self.kernel);
        let disk = &self.disk;
        let prepared = self
            .with_journal(|journal| journal.write(disk, &plan))
            .and_then(|()| prepare::prepare(disk, &plan, &preparations))
            .and_then(|()| {
                self.with_journal(|journal| journal.advance(disk, Stage::Prepare, Stage::Commit))
            });
        if let Err(failure) = prepared {
            // What cannot be taken back now is taken back by the next transaction.
            let _ = plan
                .take_back(disk)
                .and_then(|()| self.with_journal(|journal| journal.remove(disk, Stage::Prepare)));
            return Err(failure.while_preparing());
        }
        self.with_journal(|journal| journal.sync(disk))
            .and_then(|()| plan.apply(disk))
            .and_then(|()| {
                self.with_journal(|journal| {
                    journal.advance(disk, Stage::Commit, Stage::Depmod)?;
                    journal.sync(disk)
                })
            })
            .map_err(Meaning::while_applying)
    }

    fn with_journal(
        &self,
        act: impl FnOnce(&Journal) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.journal.as_ref().map_or(Ok(()), act)
    }

    /// Says that depmod has been run, or need not be, for all that was committed or recovered. To be called before
    /// the kernel's directory is removed, if it is: the journal is in it until then.
    ///
    /// # Errors
    /// Fails if the journal cannot be removed; depmod is then run once more some day.
    pub fn finish(&mut self) -> Result<(), TransactionError> {
        self.recovered = Recovered::Nothing;
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        if !journal.is_at(Stage::Depmod) {
            return Ok(());
        }
        journal
            .remove(&self.disk, Stage::Depmod)
            .map_err(Meaning::while_applying)
    }
}
