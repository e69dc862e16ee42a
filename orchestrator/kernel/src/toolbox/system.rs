//! Where the programs of a build come from: this machine, or a toolchain root.
//!
//! A toolchain root is a directory that holds another system: a debootstrap folder, an unpacked
//! container image. Builds see its /usr in place of the machine's, and its package database
//! is the toolbox in their keys. Paths given and returned are those that a build sees, unless
//! a name says otherwise.

use std::path::{Path, PathBuf};

use super::SEARCH_PATH;
use crate::{
    KernelRelease, MODULES_DIR,
    layers::{Layers, Place},
};

/// The system that a build runs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SystemRoot {
    files: Layers,
}

/// Why a directory cannot be a toolchain root.
#[derive(Debug, thiserror::Error)]
pub enum SystemRootError {
    /// It is not a directory that can be read.
    #[error("toolchain root {path} cannot be used")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It lacks what no build can do without.
    #[error("toolchain root {path} has no {missing}")]
    Incomplete {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
}

impl SystemRoot {
    /// This machine.
    pub fn host() -> Self {
        Self::default()
    }

    /// The system in a directory.
    ///
    /// # Errors
    /// Fails if the directory cannot be read, or holds no /usr, bash or make.
    pub fn at(directory: &Path) -> Result<Self, SystemRootError> {
        let path = std::fs::canonicalize(directory).map_err(|source| SystemRootError::Io {
            path: directory.to_owned(),
            source,
        })?;
        let system = Self {
            files: Layers::of([path.clone()]),
        };
        let missing = if !path.join("usr").is_dir() {
            Some("/usr")
        } else if system.files.resolve(Path::new("/bin/bash")).is_none() {
            Some("/bin/bash")
        } else if system.files.resolve(Path::new("/usr/bin/make")).is_none() {
            Some("/usr/bin/make")
        } else {
            None
        };
        match missing {
            Some(missing) => Err(SystemRootError::Incomplete { path, missing }),
            None => Ok(system),
        }
    }

    /// Its files.
    pub fn files(&self) -> &Layers {
        &self.files
    }

    /// Whether it is this machine.
    pub fn is_host(&self) -> bool {
        self.files.is_host()
    }

    /// The directory that is its `/`.
    pub fn directory(&self) -> &Path {
        self.files
            .directories()
            .first()
            .map_or(Path::new("/"), PathBuf::as_path)
    }

    /// Where a path is on this machine, no link followed.
    pub fn host_path(&self, inside: &Path) -> PathBuf {
        self.directory()
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Whether a kernel is installed here with its headers.
    pub fn has_kernel(&self, release: &KernelRelease) -> bool {
        let build = Path::new(MODULES_DIR).join(release.as_str()).join("build");
        self.files.exists(&build.join("include"))
    }

    /// Finds a program as the shell inside a sandbox would, links followed.
    pub fn find_program(&self, name: &str) -> Option<Place> {
        if name.contains('/') {
            return self.files.resolve(Path::new(name));
        }
        SEARCH_PATH
            .iter()
            .map(|directory| Path::new(directory).join(name))
            .find_map(|path| self.files.resolve(&path))
            .filter(|place| place.host.is_file())
    }
}
