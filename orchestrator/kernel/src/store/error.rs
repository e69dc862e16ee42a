//! Why header packages make no kernel.

use std::{io, path::PathBuf};

use kiln_archive::ArchiveError;

use crate::{KernelTreeError, fingerprints::FingerprintError};

/// Why header packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelStoreError {
    /// The store cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A package cannot be read, or changes while it is.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// A package cannot be unpacked, or must not be.
    #[error("cannot unpack {path}")]
    Unpack {
        /// The package.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// The file is no package.
    #[error("{path} is not a .deb, .rpm, tarball or folder of kernel headers")]
    NotAPackage {
        /// The file.
        path: PathBuf,
    },
    /// The packages hold no build tree.
    #[error(
        "{} {} no kernel: the package with its build tree is missing",
        list(files),
        makes(files)
    )]
    NoKernel {
        /// The packages.
        files: Vec<PathBuf>,
    },
    /// A part of a kernel is in none of the packages.
    #[error(
        "kernel {kernel} is not complete: nothing brings {path}{}",
        wanted(package)
    )]
    Missing {
        /// The kernel.
        kernel: String,
        /// The path that is missing, as builds would see it.
        path: PathBuf,
        /// The package that has it, as far as that can be told.
        package: Option<String>,
    },
    /// A part of a kernel is there in a version that does not fit.
    #[error("{file} is {package} {found}, but kernel {kernel} needs {package} ({needs})")]
    WrongVersion {
        /// The kernel.
        kernel: String,
        /// The package.
        package: String,
        /// The version that is needed, with its relation.
        needs: String,
        /// The package's file.
        file: PathBuf,
        /// The version that is there.
        found: String,
    },
    /// A package belongs to none of the kernels.
    #[error("{file} belongs to none of the kernels given")]
    Unused {
        /// The package.
        file: PathBuf,
    },
    /// Two packages bring one path with different content.
    #[error("{first} and {second} conflict: both bring {path}, with different content")]
    Conflict {
        /// The path, as builds would see it.
        path: PathBuf,
        /// One package.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two packages each hold a part of one tree.
    #[error("{first} and {second} each hold a part of {path}: one package must have all of it")]
    Divided {
        /// The tree, as builds would see it.
        path: PathBuf,
        /// One package.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// What the packages hold is no usable tree.
    #[error(transparent)]
    Tree(#[from] KernelTreeError),
}

fn list(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    names.join(", ")
}

fn makes(files: &[PathBuf]) -> &'static str {
    if files.len() == 1 { "makes" } else { "make" }
}

fn wanted(package: &Option<String>) -> String {
    match package {
        Some(package) => format!("; package {package} is missing"),
        None => String::new(),
    }
}
