//! A kernel and an architecture: what a package is built and installed for.

use std::fmt;

use kiln_kernel::{Arch, InvalidName, KernelRelease};

/// One kernel and architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    /// The kernel's release.
    pub(crate) kernel: KernelRelease,
    /// The architecture.
    pub(crate) arch: Arch,
}

impl Target {
    /// Checks and joins both names.
    ///
    /// # Errors
    /// Fails if either cannot be a directory's name.
    pub(crate) fn new(kernel: &str, arch: &str) -> Result<Self, InvalidName> {
        Ok(Self {
            kernel: KernelRelease::new(kernel)?,
            arch: Arch::new(arch)?,
        })
    }
}

/// As most messages show it: `6.1.0-56-amd64 (x86_64)`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kernel, self.arch)
    }
}
