//! The DKMS tree: where everything is in it, and what state each package is in.
//!
//! The state is nothing but directories and links, as dkms lays them out, so that either
//! program can go on where the other left off. Only questions are answered here.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{LazyLock, OnceLock},
};

use globset::{GlobBuilder, GlobMatcher};
use kiln_kernel::{Arch, package::PackageId};
use rayon::prelude::*;

use super::target::Target;

/// A DKMS tree and the source tree beside it.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// The tree itself, `/var/lib/dkms`.
    pub(crate) root: PathBuf,
    /// Where the sources are, `/usr/src`.
    pub(crate) sources: PathBuf,
    /// Whether the root is named without symbolic links.
    canonical: OnceLock<bool>,
}

/// How far a package has come for a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Registered, and nothing else.
    Added,
    /// Built for the kernel.
    Built,
    /// Built, and the version that the kernel uses.
    Installed,
    /// Its source or the link to it is gone.
    Broken,
}

impl State {
    /// Its name in `dkms status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Built => "built",
            Self::Installed => "installed",
            Self::Broken => "broken",
        }
    }
}

/// One row of `dkms status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) package: PackageId,
    pub(crate) state: State,
    /// None for a package that is built for no kernel.
    pub(crate) target: Option<Target>,
}

/// Which rows are asked for; parts that are empty or absent mean all. Each may be a glob, as
/// in dkms.
#[derive(Debug, Default, Clone)]
pub(crate) struct Selection<'a> {
    pub(crate) module: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kernel: &'a str,
    pub(crate) arch: &'a str,
}

impl Tree {
    /// A tree and its sources.
    pub(crate) fn new(root: PathBuf, sources: PathBuf) -> Self {
        Self {
            root,
            sources,
            canonical: OnceLock::new(),
        }
    }

    fn is_canonical(&self) -> bool {
        *self
            .canonical
            .get_or_init(|| fs::canonicalize(&self.root).is_ok_and(|path| path == self.root))
    }

    /// `<tree>/<module>`.
    pub(crate) fn module(&self, package: &PackageId) -> PathBuf {
        self.root.join(package.name.as_str())
    }

    /// `<tree>/<module>/<version>`.
    pub(crate) fn version(&self, package: &PackageId) -> PathBuf {
        self.module(package).join(package.version.as_str())
    }

    /// The link to the package's source.
    pub(crate) fn source(&self, package: &PackageId) -> PathBuf {
        self.version(package).join("source")
    }

    /// Where dkms builds, and leaves the log of a failed build.
    pub(crate) fn build(&self, package: &PackageId) -> PathBuf {
        self.version(package).join("build")
    }

    /// What was built for a kernel: `module/`, `log/`.
    pub(crate) fn base(&self, package: &PackageId, target: &Target) -> PathBuf {
        self.version(package)
            .join(target.kernel.as_str())
            .join(target.arch.as_str())
    }

    /// The link that says which version a kernel uses.
    pub(crate) fn active(&self, package: &PackageId, target: &Target) -> PathBuf {
        self.module(package)
            .join(format!("kernel-{}-{}", target.kernel, target.arch))
    }

    /// Where originals are kept that cannot go back to their place.
    pub(crate) fn superseded(&self, package: &PackageId, target: &Target) -> PathBuf {
        self.module(package)
            .join(".superseded_module")
            .join(target.kernel.as_str())
            .join(target.arch.as_str())
    }

    /// Where a kernel's own modules are kept while the package's are installed.
    pub(crate) fn originals(&self, package: &PackageId, target: &Target) -> PathBuf {
        self.module(package)
            .join("original_module")
            .join(target.kernel.as_str())
            .join(target.arch.as_str())
    }

    /// `<source tree>/<module>-<version>`.
    pub(crate) fn source_directory(&self, package: &PackageId) -> PathBuf {
        self.sources
            .join(format!("{}-{}", package.name, package.version))
    }

    /// Whether the source or the link to it is missing.
    pub(crate) fn is_broken(&self, package: &PackageId) -> bool {
        if !self.version(package).is_dir() {
            return false;
        }
        let source = self.source(package);
        if source.is_symlink() {
            !source.is_dir()
        } else {
            self.source_directory(package).is_dir()
        }
    }

    /// Whether the package is registered.
    pub(crate) fn is_added(&self, package: &PackageId) -> bool {
        let source = self.source(package);
        self.version(package).is_dir() && source.is_symlink() && source.is_dir()
    }

    /// Whether the package is built for a kernel.
    pub(crate) fn is_built(&self, package: &PackageId, target: &Target) -> bool {
        self.base(package, target).join("module").is_dir()
    }

    /// Whether a kernel's link points at this version, built or not.
    pub(crate) fn is_active(&self, package: &PackageId, target: &Target) -> bool {
        self.link_names(package, target) && self.base(package, target).is_dir()
    }

    /// Whether a kernel's link names this version, be that there or not.
    fn link_names(&self, package: &PackageId, target: &Target) -> bool {
        let link = self.active(package, target);
        let Ok(points_at) = fs::read_link(&link) else {
            return false;
        };
        let usual: PathBuf = [
            package.version.as_str(),
            target.kernel.as_str(),
            target.arch.as_str(),
        ]
        .iter()
        .collect();
        if points_at == usual && self.is_canonical() {
            return true;
        }
        fs::canonicalize(&link).is_ok_and(|path| path == self.base(package, target))
    }

    /// Whether the package is built and in use for a kernel.
    pub(crate) fn is_installed(&self, package: &PackageId, target: &Target) -> bool {
        self.is_built(package, target) && self.is_active(package, target)
    }

    /// Every module and version in the tree, whatever its state.
    pub(crate) fn packages(&self, selection: &Selection<'_>) -> Vec<PackageId> {
        let mut packages = Vec::new();
        for module in children(&self.root, selection.module) {
            for version in children(&self.root.join(&module), selection.version) {
                let Ok(package) = PackageId::new(&module, &version) else {
                    continue;
                };
                if self.version(&package).is_dir() {
                    packages.push(package);
                }
            }
        }
        packages
    }

    /// The rows of `dkms status`.
    pub(crate) fn rows(&self, selection: &Selection<'_>) -> Vec<Row> {
        self.packages(selection)
            .into_par_iter()
            .flat_map_iter(|package| self.rows_of(package, selection))
            .collect()
    }

    fn rows_of(&self, package: PackageId, selection: &Selection<'_>) -> Vec<Row> {
        let row = |state| Row {
            package: package.clone(),
            state,
            target: None,
        };
        if self.is_broken(&package) {
            return vec![row(State::Broken)];
        }
        if !self.is_added(&package) {
            return Vec::new();
        }
        let built = self.built(&package, selection);
        if built.is_empty() {
            return vec![row(State::Added)];
        }
        built
    }

    /// The rows of one package for kernels that it is built for.
    pub(crate) fn built(&self, package: &PackageId, selection: &Selection<'_>) -> Vec<Row> {
        let version = self.version(package);
        let mut rows = Vec::new();
        for kernel in children(&version, selection.kernel) {
            if selection.kernel.is_empty() && !looks_like_a_kernel(&kernel) {
                continue;
            }
            for arch in built_arches(&version.join(&kernel), selection.arch) {
                let Ok(target) = Target::new(&kernel, &arch) else {
                    continue;
                };
                let active = self.link_names(package, &target);
                rows.push(Row {
                    package: package.clone(),
                    state: if active {
                        State::Installed
                    } else {
                        State::Built
                    },
                    target: Some(target),
                });
            }
        }
        rows
    }

    /// Whether any version of a module is installed for a kernel.
    pub(crate) fn any_installed(&self, module: &str, target: &Target) -> bool {
        self.installed_version(module, target).is_some()
    }

    /// The version of a module that is installed for a kernel.
    pub(crate) fn installed_version(&self, module: &str, target: &Target) -> Option<PackageId> {
        let selection = Selection {
            module,
            kernel: target.kernel.as_str(),
            arch: target.arch.as_str(),
            ..Selection::default()
        };
        self.rows(&selection)
            .into_iter()
            .find(|row| row.state == State::Installed)
            .map(|row| row.package)
    }
}

/// The architectures that a package is built for, below a kernel's directory.
///
/// Nearly always that is the machine's own alone. A directory's link count says so where the
/// file system counts subdirectories (others say 1): then it need not be listed.
fn built_arches(kernel: &Path, pattern: &str) -> Vec<String> {
    static HOST: LazyLock<Arch> = LazyLock::new(Arch::host);
    let host = HOST.as_str();
    let is_built = |arch: &str| kernel.join(arch).join("module").is_dir();
    let only_one = || fs::symlink_metadata(kernel).is_ok_and(|kernel| kernel.nlink() == 3);
    if pattern.is_empty() && only_one() && is_built(host) {
        return vec![host.to_owned()];
    }
    let mut arches = children(kernel, pattern);
    arches.retain(|arch| is_built(arch));
    arches
}

/// A release starts with a number and a dot; `source`, `build` and `tarball` do not.
fn looks_like_a_kernel(name: &str) -> bool {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && name[digits..].starts_with('.')
}

/// The names in a directory that a shell's glob would give, sorted.
fn children(directory: &Path, pattern: &str) -> Vec<String> {
    if !pattern.is_empty() && !pattern.contains(['*', '?', '[']) {
        return vec![pattern.to_owned()];
    }
    let matcher = match pattern {
        "" | "*" => None,
        _ => match glob(pattern) {
            Some(matcher) => Some(matcher),
            None => return Vec::new(),
        },
    };
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .filter(|name| matcher.as_ref().is_none_or(|m| m.is_match(name)))
        .collect();
    names.sort_unstable();
    names
}

fn glob(pattern: &str) -> Option<GlobMatcher> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .ok()
        .map(|glob| glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_from_other_directories() {
        for kernel in ["6.1.0-1-amd64", "10.0"] {
            assert!(looks_like_a_kernel(kernel), "{kernel}");
        }
        for other in ["source", "build", "6", "v6.1", "tarball"] {
            assert!(!looks_like_a_kernel(other), "{other}");
        }
    }
}
