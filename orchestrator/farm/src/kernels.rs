//! The kernels of a farm: what the entries of the manifest stand for.

use std::path::{Path, PathBuf};

use globset::Glob;
use kiln_kernel::{
    KernelInput, KernelRelease, KernelRequest, KernelSelectionError, KernelSpec, KernelStore,
    MODULES_DIR, TargetKernel, fingerprints::Fingerprints, select_kernels, version,
};
use toml::Spanned;

use super::{
    FarmError, KernelProblem, Located, Manifest,
    family::KernelFamily,
    manifest::{KernelEntry, KernelSource},
    paths,
};

/// A kernel of the farm.
#[derive(Debug, Clone)]
pub struct FarmKernel {
    /// What rules may call it by.
    pub(crate) name: Option<String>,
    /// Whose kernel it is.
    pub(crate) family: KernelFamily,
    /// Its tree, and what builds for it.
    pub target: TargetKernel,
    /// The entry that it comes from.
    pub(crate) at: Located,
}

/// Finds the kernels that a manifest names.
pub struct KernelFinder<'a, 's> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// What is known of files already; its store is where header packages are unpacked.
    pub fingerprints: &'a mut Fingerprints<'s>,
}

impl KernelFinder<'_, '_> {
    /// Finds the kernels of the entries from the `first` on, counted from 0; oldest first, each
    /// once.
    ///
    /// # Errors
    /// Fails with the first entry that stands for no usable kernel, and if two stand for
    /// different kernels of one release and architecture.
    pub fn from(&mut self, first: usize) -> Result<Vec<FarmKernel>, FarmError> {
        let mut kernels: Vec<FarmKernel> = Vec::new();
        for entry in self.manifest.kernels().get(first..).unwrap_or_default() {
            for kernel in self.entry(entry)? {
                self.add(&mut kernels, kernel)?;
            }
        }
        kernels.sort_by(|a, b| {
            let (a, b) = (&a.target.tree, &b.target.tree);
            version::compare(a.release.as_str(), b.release.as_str())
                .then_with(|| a.arch.cmp(&b.arch))
        });
        Ok(kernels)
    }

    /// Adds a kernel unless it is there; what it is called and whose it is, the first says that says it.
    fn add(&mut self, kernels: &mut Vec<FarmKernel>, kernel: FarmKernel) -> Result<(), FarmError> {
        let target = kernel.target.tree.target();
        let same = |other: &&mut FarmKernel| other.target.tree.target() == target;
        let Some(earlier) = kernels.iter_mut().find(same) else {
            kernels.push(kernel);
            return Ok(());
        };
        if earlier.target != kernel.target && !self.same_content(earlier, &kernel)? {
            return Err(FarmError::SameKernel {
                kernel: target,
                first: place(earlier),
                second: place(&kernel),
            });
        }
        earlier.name = earlier.name.take().or(kernel.name);
        earlier.family = earlier.family.or_said(kernel.family);
        Ok(())
    }

    /// Whether builds for two kernels would see the same, wherever its files are.
    fn same_content(&mut self, a: &FarmKernel, b: &FarmKernel) -> Result<bool, FarmError> {
        if a.target.system != b.target.system {
            return Ok(false);
        }
        let mut roots = |kernel: &FarmKernel| -> Result<Vec<_>, FarmError> {
            let input =
                KernelInput::new(kernel.target.clone(), self.fingerprints).map_err(|source| {
                    FarmError::Kernel {
                        at: kernel.at.clone(),
                        source: Box::new(source.into()),
                    }
                })?;
            let roots = input.roots.iter();
            Ok(roots.map(|root| (root.path.clone(), root.digest)).collect())
        };
        Ok(roots(a)? == roots(b)?)
    }

    fn entry(&mut self, entry: &Spanned<KernelEntry>) -> Result<Vec<FarmKernel>, FarmError> {
        let at = self.manifest.at(entry);
        let KernelEntry {
            name,
            source,
            root,
            family,
        } = entry.get_ref();
        let root = root.as_ref().map(|root| self.absolute(root));
        let failed = |source: KernelProblem| FarmError::Kernel {
            at: at.clone(),
            source: Box::new(source),
        };
        let sources = match source {
            KernelSource::Release(release) => {
                installed(release, root.as_deref()).map_err(failed)?
            }
            KernelSource::Tree(path) => vec![kiln_kernel::KernelSource::Tree(self.absolute(path))],
            KernelSource::Headers(patterns) => {
                let files = self.header_files(patterns, &at)?;
                self.stored(&files).map_err(failed)?
            }
        };
        let open = |source| {
            let request = KernelRequest {
                source,
                root: root.clone(),
            };
            let target = request.open().map_err(|error| failed(error.into()))?;
            Ok(FarmKernel {
                name: name.clone(),
                family: KernelFamily::new(family.map(Into::into), &request.source, &target),
                target,
                at: at.clone(),
            })
        };
        sources.into_iter().map(open).collect()
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        let path = self.manifest.directory().join(path);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The header packages that an entry's patterns stand for.
    fn header_files(&self, patterns: &[String], at: &Located) -> Result<Vec<PathBuf>, FarmError> {
        let directory = self.manifest.directory();
        let mut files = Vec::new();
        for pattern in patterns {
            let found = paths::expand(directory, pattern).map_err(|source| FarmError::Pattern {
                at: at.clone(),
                pattern: pattern.clone(),
                source: Box::new(source),
            })?;
            if found.is_empty() {
                return Err(if paths::is_pattern(pattern) {
                    FarmError::NothingMatches {
                        at: at.clone(),
                        pattern: pattern.clone(),
                        what: "file",
                        directory: directory.to_owned(),
                    }
                } else {
                    FarmError::NotThere {
                        at: at.clone(),
                        path: directory.join(pattern),
                    }
                });
            }
            files.extend(found.iter().map(|path| self.absolute(path)));
        }
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Unpacks header packages, once, and gives the kernels that they make.
    fn stored(
        &mut self,
        files: &[PathBuf],
    ) -> Result<Vec<kiln_kernel::KernelSource>, KernelProblem> {
        let store =
            KernelStore::open(self.fingerprints.store()).map_err(KernelSelectionError::from)?;
        let kernels = store
            .add(files, self.fingerprints)
            .map_err(KernelSelectionError::from)?;
        Ok(kernels
            .into_iter()
            .map(kiln_kernel::KernelSource::Stored)
            .collect())
    }
}

/// Where a kernel is from, with its toolchain where that is not this machine's, and which
/// entry says so.
fn place(kernel: &FarmKernel) -> String {
    let target = &kernel.target;
    let (origin, at) = (target.named.join(" "), &kernel.at);
    if target.system.is_host() {
        return format!("{origin} ({at})");
    }
    let root = target.system.directory().display();
    format!("{origin} with root {root} ({at})")
}

/// Kernels with headers in the toolchain root, if it has any that fit; else on this machine.
fn installed(
    release: &str,
    root: Option<&Path>,
) -> Result<Vec<kiln_kernel::KernelSource>, KernelProblem> {
    if let Some(root) = root {
        let inside = in_root(release, root)?;
        if !inside.is_empty() {
            return Ok(inside
                .into_iter()
                .map(kiln_kernel::KernelSource::InRoot)
                .collect());
        }
    }
    let trees = select_kernels(&KernelSpec::Named(vec![release.to_owned()]))?;
    let sources = trees
        .into_iter()
        .map(|tree| kiln_kernel::KernelSource::Installed(tree.release));
    Ok(sources.collect())
}

fn in_root(release: &str, root: &Path) -> Result<Vec<KernelRelease>, KernelProblem> {
    let glob = Glob::new(release)
        .map_err(|source| KernelProblem::Glob { source })?
        .compile_matcher();
    let modules = root.join(MODULES_DIR.trim_start_matches('/'));
    let names = std::fs::read_dir(modules).into_iter().flatten().flatten();
    let mut releases: Vec<KernelRelease> = names
        .filter_map(|entry| KernelRelease::new(entry.file_name().into_string().ok()?).ok())
        .filter(|release| glob.is_match(release.as_str()))
        .collect();
    releases.sort();
    Ok(releases)
}
