//! Writes the manifests of tests.

use std::path::PathBuf;

use super::{machine, world::World};

/// A manifest in the making.
pub(crate) struct Manifest(String);

impl Manifest {
    /// Packages by path, kernels by release.
    pub(crate) fn new(packages: &[&str], kernels: &[&str]) -> Self {
        Self(format!("packages = {packages:?}\nkernels = {kernels:?}\n"))
    }

    /// Adds a folder for results.
    pub(crate) fn outputs(self, directory: &str) -> Self {
        self.more(&format!("[outputs]\ndirectory = {directory:?}\n"))
    }

    /// Adds further lines.
    pub(crate) fn more(mut self, lines: &str) -> Self {
        self.0.push_str(lines);
        self
    }

    /// Writes farm.toml.
    pub(crate) fn write(&self, world: &World) -> PathBuf {
        world.write("farm.toml", &self.0)
    }
}

/// Where a module is below the folder of results.
pub(crate) fn module(kernel: &str, package: &str, module: &str) -> PathBuf {
    format!("{kernel}/{}/{package}/{module}.ko", machine::arch()).into()
}
