//! The names that things have on the inside of a sandbox.

use std::path::{Path, PathBuf};

use kiln_kernel::{
    KernelRelease,
    package::{PackageId, PackageName},
};

/// The paths that an action is told, fixed for all machines and users under bubblewrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The DKMS tree, `/var/lib/dkms` unless framework.conf or a bare process moves it.
    pub dkms_tree: PathBuf,
    /// Where module sources are, `/usr/src`.
    pub source_tree: PathBuf,
    /// Where kernels are installed, `/lib/modules`.
    pub install_tree: PathBuf,
    /// kiln's own files inside: shims, scripts, results.
    pub run: PathBuf,
    /// Where an action leaves results for kiln.
    pub out: PathBuf,
}

/// Where the machine has what DKMS keeps.
#[derive(Debug, Clone, Copy)]
pub struct Trees<'a> {
    /// The DKMS tree.
    pub dkms: &'a Path,
    /// The directory of module sources.
    pub source: &'a Path,
    /// Where kernels are installed.
    pub install: &'a Path,
}

/// What of kiln's own an action sees where it has namespaces, and so no scratch directory in its paths.
pub(super) const RUN: &str = "/run/kiln";

impl Layout {
    /// Whether these are the paths of an action with namespaces of its own.
    pub(super) fn is_in_namespaces(&self) -> bool {
        self.run == Path::new(RUN)
    }

    /// The directory that shims are in, first in PATH.
    pub fn shims(&self) -> PathBuf {
        self.run.join("bin")
    }

    /// The kernel build tree, as a dkms.conf is told it.
    pub fn kernel_source_dir(&self, release: &KernelRelease) -> PathBuf {
        self.install_tree.join(release.as_str()).join("build")
    }

    /// `<dkms_tree>/<module>/<version>`.
    pub fn package(&self, package: &PackageId) -> PathBuf {
        package_dir(&self.dkms_tree, package)
    }

    /// `<source_tree>/<module>-<version>`.
    pub fn package_source(&self, package: &PackageId) -> PathBuf {
        self.source_tree
            .join(format!("{}-{}", package.name, package.version))
    }

    /// The directory of a module's own overrides in `/etc/dkms`.
    pub fn overrides(name: &PackageName) -> PathBuf {
        Path::new("/etc/dkms").join(name.as_str())
    }
}

/// `<tree>/<module>/<version>`, for a DKMS tree on either side of the sandbox.
pub fn package_dir(tree: &Path, package: &PackageId) -> PathBuf {
    tree.join(package.name.as_str())
        .join(package.version.as_str())
}
