//! A package as an input: its source tree with its digest, wherever it comes from.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use kiln_cache::{Manifest, ObjectDigest, ScanOptions, TreeScan, scan_tree};
use kiln_kernel::{
    fingerprints::{FingerprintError, Fingerprints},
    package::{Found, PackageArchiveError, PackageId, PackageSource, unpack},
    witness::Witness,
};
use kiln_sandbox::{ScratchBase, copy_tree};

use super::Ingredient;

/// Why a package's source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageInputError {
    /// It cannot be read, or changes while it is.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// It cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] PackageArchiveError),
    /// A scratch directory cannot be used.
    #[error("cannot prepare {path}")]
    Scratch {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the files of a source tree are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceLocation {
    /// In a directory.
    Directory(PathBuf),
    /// In an archive.
    Archive {
        /// The archive.
        file: PathBuf,
        /// The directory in it.
        inner: PathBuf,
    },
}

/// A package to build.
#[derive(Debug)]
pub struct PackageInput {
    /// How messages name it until its dkms.conf has been read.
    pub label: String,
    /// The name and version it is registered under, if it is.
    pub registered: Option<PackageId>,
    /// Where its source is.
    pub location: SourceLocation,
    /// The digest of the source tree's manifest.
    pub digest: ObjectDigest,
    scan: Option<Arc<TreeScan>>,
    /// The directory, or the archive.
    seen: Arc<Witness>,
    prepared: Mutex<Prepared>,
}

/// What has been laid out on disk so far.
#[derive(Debug, Default)]
struct Prepared {
    /// The unpacked source.
    unpacked: Option<PathBuf>,
    /// A directory with the source that the build user can read.
    readable: Option<PathBuf>,
    manifest: Option<Arc<Manifest>>,
}

impl PackageInput {
    /// Fingerprints what was found; an archive may hold several packages, and is unpacked in
    /// `base` if it has not been seen before.
    ///
    /// # Errors
    /// Fails if the source cannot be read.
    pub fn new(
        found: &Found,
        fingerprints: &mut Fingerprints<'_>,
        base: Option<&ScratchBase>,
    ) -> Result<Vec<Self>, PackageInputError> {
        match &found.source {
            PackageSource::Tree(path) => {
                let scan = fingerprints.tree(path)?;
                let seen = fingerprints.tree_witness(path)?;
                Ok(vec![Self {
                    label: found.label(),
                    registered: found.registered.clone(),
                    location: SourceLocation::Directory(path.clone()),
                    digest: scan.digest,
                    scan: Some(scan),
                    seen,
                    prepared: Mutex::default(),
                }])
            }
            PackageSource::Archive(file) => {
                let seen = fingerprints.file_witness(file)?;
                let digest = seen.digest().expect("a file has a digest");
                let base = base.expect("an archive comes with a place to unpack it in");
                let listing =
                    fingerprints.memo("archive", digest, || archive_listing(file, base))?;
                Ok(decode_listing(&listing)
                    .into_iter()
                    .map(|(inner, digest)| Self {
                        label: file_name(&inner),
                        registered: None,
                        location: SourceLocation::Archive {
                            file: file.clone(),
                            inner,
                        },
                        digest,
                        scan: None,
                        seen: Arc::clone(&seen),
                        prepared: Mutex::default(),
                    })
                    .collect())
            }
        }
    }

    /// A directory with the source, unpacked at first need.
    ///
    /// # Errors
    /// Fails if the archive cannot be unpacked.
    pub fn directory(&self, base: &ScratchBase) -> Result<PathBuf, PackageInputError> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        self.unpacked(&mut prepared, base)
    }

    /// A directory with the source that the build user can read: the source itself, or a copy.
    ///
    /// # Errors
    /// Fails if the source cannot be unpacked or copied.
    pub fn readable_directory(&self, base: &ScratchBase) -> Result<PathBuf, PackageInputError> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &prepared.readable {
            return Ok(path.clone());
        }
        let mut path = self.unpacked(&mut prepared, base)?;
        if base.user().barrier(&path).is_some() {
            let manifest = self.manifest_of(&mut prepared, base)?;
            let copy = base
                .directory("source")
                .map_err(scratch_error(base.path()))?;
            copy_tree(&path, &manifest, &copy, base.user()).map_err(scratch_error(&path))?;
            path = copy;
        }
        prepared.readable = Some(path.clone());
        Ok(path)
    }

    /// The source tree's manifest.
    ///
    /// # Errors
    /// Fails if an archive cannot be unpacked again.
    pub fn manifest(&self, base: &ScratchBase) -> Result<Arc<Manifest>, PackageInputError> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        self.manifest_of(&mut prepared, base)
    }

    /// The source as a part of a key.
    pub fn as_ingredient(&self, name: String) -> Ingredient {
        Ingredient::seen(name, self.digest, &self.seen)
    }

    /// What it takes to look at the source again.
    pub fn seen(&self) -> &Arc<Witness> {
        &self.seen
    }

    /// The scan of a source directory; an archive has none.
    pub fn scan(&self) -> Option<&Arc<TreeScan>> {
        self.scan.as_ref()
    }

    /// The number of files in the source: a guess at how long a first build may take.
    pub fn weight(&self) -> u64 {
        self.scan
            .as_ref()
            .map_or(0, |scan| scan.snapshot.len() as u64)
    }

    fn unpacked(
        &self,
        prepared: &mut Prepared,
        base: &ScratchBase,
    ) -> Result<PathBuf, PackageInputError> {
        match &self.location {
            SourceLocation::Directory(path) => Ok(path.clone()),
            SourceLocation::Archive { file, inner } => {
                if let Some(path) = &prepared.unpacked {
                    return Ok(path.clone());
                }
                let into = base
                    .directory("archive")
                    .map_err(scratch_error(base.path()))?;
                unpack(file, &into)?;
                let path = into.join(inner);
                prepared.unpacked = Some(path.clone());
                Ok(path)
            }
        }
    }

    fn manifest_of(
        &self,
        prepared: &mut Prepared,
        base: &ScratchBase,
    ) -> Result<Arc<Manifest>, PackageInputError> {
        if let Some(manifest) = &prepared.manifest {
            return Ok(Arc::clone(manifest));
        }
        let manifest = match &self.scan {
            Some(scan) => scan.manifest(),
            None => {
                let path = self.unpacked(prepared, base)?;
                scan_tree(&path, None, &ScanOptions::default())
                    .map_err(FingerprintError::from)?
                    .manifest()
            }
        };
        let manifest = Arc::new(manifest);
        prepared.manifest = Some(Arc::clone(&manifest));
        Ok(manifest)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn scratch_error(path: &Path) -> impl FnOnce(io::Error) -> PackageInputError {
    let path = path.to_owned();
    move |source| PackageInputError::Scratch { path, source }
}

/// Unpacks an archive to learn its packages: for each, its digest and its directory.
fn archive_listing(file: &Path, base: &ScratchBase) -> Result<Vec<u8>, PackageInputError> {
    let into = base
        .directory("archive")
        .map_err(scratch_error(base.path()))?;
    let mut listing = Vec::new();
    for inner in unpack(file, &into)? {
        let scan = scan_tree(&into.join(&inner), None, &ScanOptions::default())
            .map_err(FingerprintError::from)?;
        listing.extend_from_slice(scan.digest.to_string().as_bytes());
        listing.push(b' ');
        listing.extend_from_slice(inner.as_os_str().as_bytes());
        listing.push(0);
    }
    let _ = std::fs::remove_dir_all(&into);
    Ok(listing)
}

fn decode_listing(listing: &[u8]) -> Vec<(PathBuf, ObjectDigest)> {
    listing
        .split(|byte| *byte == 0)
        .filter_map(|line| {
            let space = line.iter().position(|byte| *byte == b' ')?;
            let digest = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
            Some((PathBuf::from(OsStr::from_bytes(&line[space + 1..])), digest))
        })
        .collect()
}
