//! PACKAGE_NAME and PACKAGE_VERSION as types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{InvalidName, check_component, component_name};

component_name!(
    /// A package's name (PACKAGE_NAME).
    PackageName,
    "PACKAGE_NAME",
    |name| ["mok.key", "mok.pub", "post_transaction.log", "dkms_dbversion"].contains(&name)
);
component_name!(
    /// A package's version (PACKAGE_VERSION).
    PackageVersion,
    "PACKAGE_VERSION",
    |version| version == "original_module" || is_link_of_kernel(version)
);

/// Whether a name beside versions is that of the link `kernel-RELEASE-ARCH`.
fn is_link_of_kernel(name: &str) -> bool {
    name.strip_prefix("kernel-")
        .is_some_and(|rest| rest.contains('-'))
}

/// One version of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageId {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: PackageVersion,
}

impl PackageId {
    /// Checks and joins a name and a version.
    ///
    /// # Errors
    /// Fails if either cannot be a path component.
    pub fn new(name: &str, version: &str) -> Result<Self, InvalidName> {
        Ok(Self {
            name: PackageName::new(name)?,
            version: PackageVersion::new(version)?,
        })
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.name, self.version))
    }
}
