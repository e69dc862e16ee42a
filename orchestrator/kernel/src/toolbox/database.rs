//! The package database of a system, as far as a key needs it.
//!
//! dpkg keeps checksums per package in plain files, so that a change can be told package by package. The databases of rpm, pacman and apk are hashed whole: coarser,
//! never wrong.

use std::path::{Path, PathBuf};

use super::{SystemRoot, TextComponent, dpkg};

/// The kind of database that a system has, by its path on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageDatabase {
    /// dpkg, with its status file.
    Dpkg {
        /// `/var/lib/dpkg/status`.
        status: PathBuf,
    },
    /// A database that is hashed as one file or directory.
    Whole {
        /// Its path.
        path: PathBuf,
    },
    /// None that kiln knows.
    None,
}

impl PackageDatabase {
    /// Looks for the database of a system.
    pub fn detect(system: &SystemRoot) -> Self {
        let status = system.host_path(Path::new("/var/lib/dpkg/status"));
        if status.exists() {
            return Self::Dpkg { status };
        }
        [
            "/var/lib/rpm/rpmdb.sqlite",
            "/usr/lib/sysimage/rpm/rpmdb.sqlite",
            "/var/lib/rpm/Packages.db",
            "/usr/lib/sysimage/rpm/Packages.db",
            "/var/lib/rpm/Packages",
            "/var/lib/pacman/local",
            "/lib/apk/db/installed",
        ]
        .into_iter()
        .map(|path| system.host_path(Path::new(path)))
        .find(|path| path.exists())
        .map_or(Self::None, |path| Self::Whole { path })
    }

    /// The path whose change means that packages changed.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Dpkg { status } => Some(status),
            Self::Whole { path } => Some(path),
            Self::None => None,
        }
    }

    /// The key component, where the packages can be told apart.
    ///
    /// # Errors
    /// Fails if the database cannot be read.
    pub fn packages(&self) -> std::io::Result<Option<TextComponent>> {
        let Self::Dpkg { status } = self else {
            return Ok(None);
        };
        let database = dpkg::Database::read(status)?;
        Ok(Some(TextComponent::new(
            "toolbox packages",
            database.checksums(),
        )))
    }
}
