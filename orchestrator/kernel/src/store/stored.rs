//! A kernel as it lies in the store.

use std::path::PathBuf;

use kiln_cache::ObjectDigest;

use crate::KernelTree;

/// A kernel that was found in header packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKernel {
    pub(super) tree: KernelTree,
    pub(super) packages: Vec<StoredPackage>,
}

/// A header package in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPackage {
    /// The file that it came from; or the directory, for a folder with the files of packages.
    pub file: PathBuf,
    /// The digest of the package file, which is its name in the store; none for a folder.
    pub digest: Option<ObjectDigest>,
    /// The package's name, where it states one.
    pub name: Option<String>,
    /// Its version, where it states one.
    pub version: Option<String>,
    /// The directory that has its files, as if it were `/`.
    pub directory: PathBuf,
}

impl StoredKernel {
    /// The kernel's tree: paths inside, and the packages' directories.
    pub fn tree(&self) -> &KernelTree {
        &self.tree
    }

    /// The packages that it is made of, that with the build tree first.
    pub fn packages(&self) -> &[StoredPackage] {
        &self.packages
    }
}
