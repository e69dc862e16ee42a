//! Kernels from their header packages.
//!
//! Each package is unpacked once into a directory of its own, named by the digest of the package
//! file; a kernel is a stack of such directories, so that several kernels share what they have in
//! common. Any number of processes may use one store at once, and one that is killed leaves nothing
//! that counts. docs/kernels.md has the whole of it.

mod assemble;
mod entry;
mod error;
mod facts;
mod stored;
mod sweep;
mod unpack;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use kiln_cache::{ObjectDigest, ScanError, Store, TreeScan, scan_file};
use kiln_durable::{Disk, Failure};
use rayon::prelude::*;
use rustix::fs::{FlockOperation, flock};

pub use error::KernelStoreError;
pub use stored::{StoredKernel, StoredPackage};
pub use sweep::{SweepOptions, SweepReport};
#[cfg(feature = "fuzzing")]
pub use unpack::unpack_for_fuzzing;

use crate::fingerprints::{FingerprintError, Fingerprints};
use entry::Entry;

/// The directory of the store in a cache.
const DIRECTORY: &str = "kernels";

/// The directory in which entries are made. Nobody else can open it, and so hold its lock for ever.
const TEMPORARY: &str = "tmp";

/// The store of unpacked header packages in one cache.
#[derive(Debug)]
pub struct KernelStore {
    directory: PathBuf,
    disk: Disk,
}

/// A directory in which something is made, or that is to go; removed when dropped.
struct Aside<'a> {
    path: PathBuf,
    disk: &'a Disk,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // What cannot be removed now goes when the store is locked next.
        let _ = self.disk.remove_tree(&self.path);
    }
}

/// A package that has to be unpacked.
struct Wanted<'a> {
    file: &'a Path,
    digest: ObjectDigest,
}

impl KernelStore {
    /// Opens the store in a cache; it is made at first need.
    ///
    /// # Errors
    /// Fails if its directory cannot be made.
    pub fn open(cache: &Store) -> Result<Self, KernelStoreError> {
        let directory = cache.directory().join(DIRECTORY);
        let disk = cache.disk().clone();
        for (path, mode) in [
            (directory.clone(), 0o755),
            (directory.join(TEMPORARY), 0o700),
        ] {
            match disk.make_new_directory(&path, mode) {
                Err(made) if made.source.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            check_owner(&path).map_err(io_error(&path))?;
            // Earlier versions made it open to all.
            close(&path, mode).map_err(io_error(&path))?;
        }
        Ok(Self { directory, disk })
    }

    /// Finds the kernels that header packages make, sorted by version.
    ///
    /// `paths` are `.deb` and `.rpm` files, tarballs, and folders with the files of such packages,
    /// of any number of kernels and in any order; what is not in the store is unpacked into it,
    /// except folders, which stay where they are.
    ///
    /// # Errors
    /// Fails if a package cannot be read or is refused, if a kernel lacks a part, if packages
    /// contradict each other, and if a package has no part in any kernel.
    pub fn add(
        &self,
        paths: &[PathBuf],
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Vec<StoredKernel>, KernelStoreError> {
        let mut folders = Vec::new();
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        for path in paths {
            if path.is_dir() {
                folders.push(Entry::folder(path)?);
                continue;
            }
            let digest = fingerprints.file(path)?;
            if !wanted.iter().any(|known| known.digest == digest) {
                wanted.push(Wanted { file: path, digest });
            }
        }
        let mut entries = self.entries(&wanted, fingerprints)?;
        entries.extend(folders);
        assemble::assemble(&entries, fingerprints)
    }

    /// The entries of packages, unpacked where they are not there or damaged.
    fn entries(
        &self,
        wanted: &[Wanted<'_>],
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Vec<Entry>, KernelStoreError> {
        let mut found = self.known(wanted, fingerprints);
        if found.iter().all(Option::is_some) {
            return Ok(found.into_iter().flatten().collect());
        }
        // Unpacking takes seconds: other processes want the index meanwhile.
        fingerprints.close();
        let lock = self.lock()?;
        self.remove_leftovers();
        // Who made the store may have been killed a moment later.
        if let Some(cache) = self.directory.parent() {
            self.disk.sync_directory(cache)?;
        }
        // Somebody else may have unpacked them before the lock was free.
        for (entry, wanted) in found.iter_mut().zip(wanted) {
            if entry.is_none() {
                fingerprints.forget_below(&self.place(wanted.digest));
                *entry = self.entry(wanted, fingerprints);
            }
        }
        fingerprints.close();
        let missing: Vec<&Wanted<'_>> = found
            .iter()
            .zip(wanted)
            .filter(|(entry, _)| entry.is_none())
            .map(|(_, wanted)| wanted)
            .collect();
        let scans = missing
            .par_iter()
            .map(|wanted| self.unpack(wanted))
            .collect::<Result<Vec<_>, _>>()?;
        drop(lock);
        for (entry, wanted) in found.iter().zip(wanted) {
            if entry.is_none() {
                fingerprints.forget_below(&self.place(wanted.digest));
            }
        }
        for (path, scan) in scans.into_iter().flatten() {
            fingerprints.adopt(path, scan);
        }
        for (entry, wanted) in found.iter_mut().zip(wanted) {
            if entry.is_none() {
                *entry = self.entry(wanted, fingerprints);
            }
        }
        found
            .into_iter()
            .zip(wanted)
            .map(|(entry, wanted)| {
                entry.ok_or_else(|| KernelStoreError::Io {
                    path: self.place(wanted.digest),
                    source: io::Error::other("what was just unpacked is not there"),
                })
            })
            .collect()
    }

    fn known(
        &self,
        wanted: &[Wanted<'_>],
        fingerprints: &mut Fingerprints<'_>,
    ) -> Vec<Option<Entry>> {
        wanted
            .iter()
            .map(|wanted| self.entry(wanted, fingerprints))
            .collect()
    }

    fn entry(&self, wanted: &Wanted<'_>, fingerprints: &mut Fingerprints<'_>) -> Option<Entry> {
        Entry::open(&self.directory, wanted.file, wanted.digest, fingerprints)
    }

    fn place(&self, digest: ObjectDigest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    /// Unpacks a package and puts it in its place, to last; what is there gives way. Needs the lock.
    /// Gives the trees in it.
    fn unpack(&self, wanted: &Wanted<'_>) -> Result<Vec<(PathBuf, TreeScan)>, KernelStoreError> {
        let disk = &self.disk;
        let making = self.aside("new", wanted.digest)?;
        disk.make_new_directory(&making.path, 0o755)?;
        let root = Entry::root_of(&making.path);
        disk.make_new_directory(&root, 0o755)?;
        let facts = unpack::unpack(wanted.file, &root, disk)?;
        // The name must be that of what was unpacked.
        let read = scan_file(wanted.file, None).map_err(FingerprintError::from)?;
        if read.snapshot.digest() != wanted.digest {
            let path = wanted.file.to_owned();
            return Err(FingerprintError::from(ScanError::ChangedWhileRead { path }).into());
        }
        let scans = Entry::finish(&making.path, facts, disk)?;
        let place = self.place(wanted.digest);
        disk.sync_tree(&making.path)?;
        let old = self.aside("old", wanted.digest)?;
        if fs::symlink_metadata(&place).is_ok() {
            disk.rename(&place, &old.path)?;
        }
        disk.rename(&making.path, &place)?;
        // Before the old one goes: it must not come back with a part of its files.
        disk.sync_directory(&self.directory)?;
        let scans = scans.into_iter();
        Ok(scans.map(|(path, scan)| (place.join(path), scan)).collect())
    }

    /// A name in the temporary directory that nothing has. Needs the lock.
    fn aside(&self, what: &str, digest: ObjectDigest) -> Result<Aside<'_>, KernelStoreError> {
        let path = self.directory.join(TEMPORARY);
        let path = path.join(format!("{what}-{digest}"));
        self.disk.remove_tree(&path)?;
        Ok(Aside {
            path,
            disk: &self.disk,
        })
    }

    /// Waits until nobody else unpacks here.
    fn lock(&self) -> Result<File, KernelStoreError> {
        let path = self.directory.join(TEMPORARY);
        let directory = File::open(&path).map_err(io_error(&path))?;
        rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))
            .map_err(|errno| io_error(&path)(errno.into()))?;
        Ok(directory)
    }

    /// Removes what killed processes left. Needs the lock: who holds it is the only one to make
    /// anything there.
    fn remove_leftovers(&self) {
        let entries = fs::read_dir(self.directory.join(TEMPORARY));
        for entry in entries.into_iter().flatten().flatten() {
            let _ = self.disk.remove_tree(&entry.path());
        }
    }
}

/// Takes from a directory what of its permissions is not in a mode.
fn close(path: &Path, mode: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?.mode() & 0o7777;
    match found & !mode {
        0 => Ok(()),
        _ => fs::set_permissions(path, fs::Permissions::from_mode(found & mode)),
    }
}

/// Who can write here decides what is built against.
fn check_owner(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let mine = found.uid() == rustix::process::geteuid().as_raw();
    if found.is_dir() && mine && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "not a directory that only its owner, who must be the caller, can write",
    ))
}

impl From<Failure> for KernelStoreError {
    fn from(Failure { path, source }: Failure) -> Self {
        Self::Io { path, source }
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> KernelStoreError + use<> {
    let path = path.to_owned();
    move |source| KernelStoreError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
