//! Turns what the user said with `-k` into kernel trees.

use std::{
    fs,
    path::{Path, PathBuf},
};

use globset::Glob;

use super::{Arch, KernelRelease, KernelStoreError, KernelTree, KernelTreeError};
use crate::toolbox::SystemRootError;

/// Where installed kernels keep their modules and their `build` link.
pub const MODULES_DIR: &str = "/lib/modules";

/// Which kernels to build for.
#[derive(Debug, Clone)]
pub enum KernelSpec {
    /// The running kernel if it has headers, else all that have.
    Default,
    /// Every installed kernel with a usable tree.
    All,
    /// Releases, globs over releases, and paths of build trees, in any mixture.
    Named(Vec<String>),
}

/// Why the kernels cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum KernelSelectionError {
    /// A pattern fits no kernel that has headers.
    #[error("no kernel with headers matches {pattern:?}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The kernels that could have been meant.
        available: Vec<String>,
    },
    /// The pattern cannot be parsed.
    #[error("{pattern:?} is not a valid pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// A header package is named that is not there.
    #[error("{path} does not exist")]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// No kernel has headers.
    #[error("no kernel in {MODULES_DIR} has headers")]
    NoneInstalled,
    /// Two different trees build for the same release.
    #[error("{first} and {second} both build for {release}")]
    Ambiguous {
        /// The release.
        release: String,
        /// One tree.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The programs in a kernel's tree cannot run here.
    #[error("kernel {kernel} is for {arch}, and its build programs do not run on {host}")]
    ForeignArch {
        /// The kernel.
        kernel: String,
        /// Its architecture.
        arch: Arch,
        /// This machine's.
        host: Arch,
    },
    /// One tree is not usable.
    #[error(transparent)]
    Tree(#[from] KernelTreeError),
    /// Header packages are not usable.
    #[error(transparent)]
    Store(#[from] KernelStoreError),
    /// A toolchain root is not usable.
    #[error(transparent)]
    Root(#[from] SystemRootError),
}

/// Finds the kernel trees that `spec` names, in any order; one may be there more than once.
///
/// # Errors
/// Fails if a name matches nothing or names a tree that cannot be used. Trees that are
/// merely found (`All`, globs) and are not usable are passed over.
pub fn select_kernels(spec: &KernelSpec) -> Result<Vec<KernelTree>, KernelSelectionError> {
    let modules = Path::new(MODULES_DIR);
    Ok(match spec {
        KernelSpec::Default => default_kernels(modules)?,
        KernelSpec::All => nonempty(usable(modules))?,
        KernelSpec::Named(names) => {
            let mut trees = Vec::new();
            for name in names {
                trees.extend(named(modules, name)?);
            }
            trees
        }
    })
}

fn default_kernels(modules: &Path) -> Result<Vec<KernelTree>, KernelSelectionError> {
    let running = KernelRelease::running().and_then(|r| KernelTree::installed(modules, &r).ok());
    match running {
        Some(tree) => Ok(vec![tree]),
        None => nonempty(usable(modules)),
    }
}

fn named(modules: &Path, name: &str) -> Result<Vec<KernelTree>, KernelSelectionError> {
    if name.contains('/') {
        return Ok(vec![KernelTree::at(Path::new(name))?]);
    }
    if [".deb", ".rpm"].iter().any(|ending| name.ends_with(ending)) {
        return Err(KernelSelectionError::NoFile { path: name.into() });
    }
    if name.contains(['*', '?', '[', '{']) {
        let pattern = Glob::new(name)
            .map_err(|source| KernelSelectionError::Pattern {
                pattern: name.to_owned(),
                source,
            })?
            .compile_matcher();
        let all = usable(modules);
        let available = all.iter().map(|t| t.release.to_string()).collect();
        let matching: Vec<_> = all
            .into_iter()
            .filter(|tree| pattern.is_match(tree.release.as_str()))
            .collect();
        if matching.is_empty() {
            return Err(KernelSelectionError::NoMatch {
                pattern: name.to_owned(),
                available,
            });
        }
        return Ok(matching);
    }
    let release = KernelRelease::new(name).map_err(|source| KernelTreeError::Release {
        path: modules.join(name),
        source,
    })?;
    Ok(vec![KernelTree::installed(modules, &release)?])
}

/// Every installed kernel whose tree is complete.
fn usable(modules: &Path) -> Vec<KernelTree> {
    let Ok(entries) = fs::read_dir(modules) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| KernelRelease::new(entry.file_name().into_string().ok()?).ok())
        .filter_map(|release| KernelTree::installed(modules, &release).ok())
        .collect()
}

fn nonempty(trees: Vec<KernelTree>) -> Result<Vec<KernelTree>, KernelSelectionError> {
    if trees.is_empty() {
        Err(KernelSelectionError::NoneInstalled)
    } else {
        Ok(trees)
    }
}
