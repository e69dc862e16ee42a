//! One kernel's build tree: where it is, and which release it builds for.
//!
//! A tree is found under `/lib/modules/<release>/build` or named by its path. Its
//! release comes from what it would compile into a module (`UTS_RELEASE`), not from
//! the name of a directory. Its paths are those that a build sees; where the files are on
//! this machine, its [`Layers`] say.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kiln_durable::regular;

use super::{Arch, InvalidName, KernelRelease};
use crate::{layers::Layers, sizes};

/// A kernel build tree that modules can be built against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelTree {
    /// The release that modules built here are for.
    pub release: KernelRelease,
    /// The release that the tree compiles into modules (`UTS_RELEASE`): the same, unless the
    /// user gives the tree another name.
    pub uts_release: KernelRelease,
    /// The machine architecture, as dkms names it (`uname -m`).
    pub arch: Arch,
    /// The build tree with all symbolic links resolved, as a path inside.
    pub build: PathBuf,
    /// The source tree, where it is apart from the build tree, as a path inside.
    pub source: Option<PathBuf>,
    /// Where the files are: the machine's own file system for an installed kernel.
    pub files: Layers,
}

/// Why a kernel cannot be built for.
#[derive(Debug, thiserror::Error)]
pub enum KernelTreeError {
    /// There is no build tree at all.
    #[error("kernel {kernel} has no headers: {path} does not exist")]
    NoHeaders {
        /// The kernel as the user named it.
        kernel: String,
        /// Where the tree was looked for.
        path: PathBuf,
    },
    /// The directory lacks what every configured kernel tree has.
    #[error("{path} is not a configured kernel build tree: it has no {missing}")]
    Incomplete {
        /// The tree.
        path: PathBuf,
        /// The file that is missing.
        missing: &'static str,
    },
    /// The release is not usable as a name.
    #[error("{path} names a kernel release that cannot be used")]
    Release {
        /// The file that names it.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidName,
    },
    /// A file of the tree cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl KernelTree {
    /// Opens the build tree of an installed kernel, `<modules>/<release>/build`.
    ///
    /// # Errors
    /// Fails if the tree is missing or incomplete.
    pub fn installed(modules: &Path, release: &KernelRelease) -> Result<Self, KernelTreeError> {
        let link = modules.join(release.as_str()).join("build");
        if !link.join("include").exists() {
            return Err(KernelTreeError::NoHeaders {
                kernel: release.to_string(),
                path: link,
            });
        }
        let source = modules.join(release.as_str()).join("source");
        Self::open(&link, source.exists().then_some(source.as_path()))
    }

    /// Opens the build tree of a kernel that is installed in another file system.
    ///
    /// # Errors
    /// Fails if the tree is missing or incomplete.
    pub fn installed_in(
        files: &Layers,
        modules: &Path,
        release: &KernelRelease,
    ) -> Result<Self, KernelTreeError> {
        let directory = modules.join(release.as_str());
        let (link, source) = (directory.join("build"), directory.join("source"));
        if !files.exists(&link.join("include")) {
            return Err(KernelTreeError::NoHeaders {
                kernel: release.to_string(),
                path: files.host_path(&link),
            });
        }
        Self::open_in(
            files,
            &link,
            files.exists(&source).then_some(source.as_path()),
        )
    }

    /// Opens a build tree by its path.
    ///
    /// # Errors
    /// Fails if the tree is missing or incomplete.
    pub fn at(path: &Path) -> Result<Self, KernelTreeError> {
        if path.exists() && !path.is_dir() {
            return Err(KernelTreeError::Io {
                path: path.to_owned(),
                source: io::ErrorKind::NotADirectory.into(),
            });
        }
        if !path.is_dir() {
            return Err(KernelTreeError::NoHeaders {
                kernel: path.display().to_string(),
                path: path.to_owned(),
            });
        }
        let source = path.join("source");
        Self::open(path, source.exists().then_some(source.as_path()))
    }

    /// Opens a build tree with the source tree that belongs to it.
    ///
    /// # Errors
    /// Fails if the tree is missing or incomplete.
    fn open(path: &Path, source: Option<&Path>) -> Result<Self, KernelTreeError> {
        Self::open_in(&Layers::host(), path, source)
    }

    /// The same for trees whose files are elsewhere: `path` and `source` are paths inside.
    ///
    /// # Errors
    /// Fails if the tree is missing or incomplete.
    pub fn open_in(
        files: &Layers,
        path: &Path,
        source: Option<&Path>,
    ) -> Result<Self, KernelTreeError> {
        let build = canonical(files, path)?;
        for missing in ["Makefile", "include", "Module.symvers"] {
            if !files.exists(&build.join(missing)) {
                return Err(KernelTreeError::Incomplete {
                    path: files.host_path(&build),
                    missing,
                });
            }
        }
        let release = read_release(files, &build)?;
        let source = source
            .map(|source| canonical(files, source))
            .transpose()?
            .filter(|s| *s != build);
        Ok(Self {
            uts_release: release.clone(),
            release,
            arch: Arch::host(),
            build,
            source,
            files: files.clone(),
        })
    }

    /// The same tree under the release and architecture that the user calls it by.
    pub fn called(self, release: &KernelRelease, arch: &Arch) -> Self {
        Self {
            release: release.clone(),
            arch: arch.clone(),
            ..self
        }
    }

    /// A kernel without headers: a dkms.conf can be evaluated for it, and no more.
    pub fn absent(release: &KernelRelease, arch: &Arch, modules: &Path) -> Self {
        Self {
            release: release.clone(),
            uts_release: release.clone(),
            arch: arch.clone(),
            build: modules.join(release.as_str()).join("build"),
            source: None,
            files: Layers::host(),
        }
    }

    /// Where a file of the build tree is on this machine.
    pub fn host_file(&self, inner: &str) -> PathBuf {
        self.files.host_path(&self.build.join(inner))
    }

    /// The kernel as kiln names it in subjects and paths, `<release>/<arch>`.
    pub fn target(&self) -> String {
        format!("{}/{}", self.release, self.arch)
    }
}

fn canonical(files: &Layers, path: &Path) -> Result<PathBuf, KernelTreeError> {
    if files.is_host() {
        return fs::canonicalize(path).map_err(|source| KernelTreeError::Io {
            path: path.to_owned(),
            source,
        });
    }
    let place = files.resolve(path).ok_or_else(|| KernelTreeError::Io {
        path: files.host_path(path),
        source: io::ErrorKind::NotFound.into(),
    })?;
    Ok(place.inside)
}

/// `UTS_RELEASE`, else `kernel.release`, which Debian fills with the upstream version only.
fn read_release(files: &Layers, build: &Path) -> Result<KernelRelease, KernelTreeError> {
    let header = files.host_path(&build.join("include/generated/utsrelease.h"));
    let (path, text) = match regular::read_text_at_once(&header, sizes::TEXT) {
        Ok(text) => {
            let quoted = text
                .lines()
                .find_map(|line| line.strip_prefix("#define UTS_RELEASE "))
                .map(|value| value.trim().trim_matches('"').to_owned());
            (header, quoted.unwrap_or_default())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let path = files.host_path(&build.join("include/config/kernel.release"));
            let text = regular::read_text_at_once(&path, sizes::TEXT).map_err(|_| {
                KernelTreeError::Incomplete {
                    path: files.host_path(build),
                    missing: "include/generated/utsrelease.h",
                }
            })?;
            (path, text.trim().to_owned())
        }
        Err(source) => {
            return Err(KernelTreeError::Io {
                path: header,
                source,
            });
        }
    };
    KernelRelease::new(text).map_err(|source| KernelTreeError::Release { path, source })
}
