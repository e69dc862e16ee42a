//! What can be built for: a kernel, wherever its files are, and the system that builds it.

use std::path::{Path, PathBuf};

use crate::{
    Arch, KernelRelease, KernelSelectionError, KernelTree, MODULES_DIR, StoredKernel,
    toolbox::SystemRoot, version,
};

/// Where a kernel's headers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// Installed on this machine.
    Installed(KernelRelease),
    /// Installed in the request's toolchain root.
    InRoot(KernelRelease),
    /// A build tree, given by its path.
    Tree(PathBuf),
    /// Unpacked from header packages.
    Stored(StoredKernel),
}

/// A kernel to build for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRequest {
    /// Where its headers are.
    pub source: KernelSource,
    /// The toolchain root that builds for it: this machine's own programs if there is none.
    pub root: Option<PathBuf>,
}

/// A kernel that can be built for: its tree was found, and its toolchain is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetKernel {
    /// The tree.
    pub tree: KernelTree,
    /// What builds for it.
    pub system: SystemRoot,
    /// What the user calls it by: its release, the path of its tree, or its packages.
    pub named: Vec<String>,
}

impl From<KernelTree> for TargetKernel {
    fn from(tree: KernelTree) -> Self {
        Self {
            named: vec![tree.release.to_string()],
            tree,
            system: SystemRoot::host(),
        }
    }
}

impl KernelRequest {
    /// A kernel that this machine's own programs build for.
    pub fn new(source: KernelSource) -> Self {
        Self { source, root: None }
    }

    /// Finds the kernel's tree and its toolchain.
    ///
    /// # Errors
    /// Fails if one of them is not there or cannot be used, and for a kernel of an architecture
    /// whose programs this machine cannot run.
    pub fn open(&self) -> Result<TargetKernel, KernelSelectionError> {
        let system = match &self.root {
            Some(root) => SystemRoot::at(root)?,
            None => SystemRoot::host(),
        };
        let modules = Path::new(MODULES_DIR);
        let tree = match &self.source {
            KernelSource::Installed(release) => KernelTree::installed(modules, release)?,
            KernelSource::InRoot(release) => {
                KernelTree::installed_in(system.files(), modules, release)?
            }
            KernelSource::Tree(path) => KernelTree::at(path)?,
            KernelSource::Stored(kernel) => kernel.tree().clone(),
        };
        let host = Arch::host();
        if !tree.arch.runs_on(&host) {
            return Err(KernelSelectionError::ForeignArch {
                kernel: tree.release.to_string(),
                arch: tree.arch,
                host,
            });
        }
        let named = match &self.source {
            KernelSource::Installed(_) | KernelSource::InRoot(_) => vec![tree.release.to_string()],
            KernelSource::Tree(path) => vec![path.display().to_string()],
            KernelSource::Stored(kernel) => {
                let files = kernel.packages().iter().map(|package| &package.file);
                files.map(|file| file.display().to_string()).collect()
            }
        };
        Ok(TargetKernel {
            tree,
            system,
            named,
        })
    }
}

impl TargetKernel {
    /// The options that name this on kiln's command line.
    pub fn arguments(&self) -> String {
        let mut options: Vec<String> = self.named.iter().map(|name| format!("-k {name}")).collect();
        if !self.system.is_host() {
            options.push(format!("--root {}", self.system.directory().display()));
        }
        options.join(" ")
    }

    /// Whether only a sandbox can show this: its files are not where builds look for them.
    pub fn needs_sandbox(&self) -> bool {
        !self.tree.files.is_host() || !self.system.is_host()
    }
}

/// Sorts kernels by version, each once.
///
/// # Errors
/// Fails if two different ones build for the same release and architecture: their results would
/// have one name.
pub fn distinct(mut targets: Vec<TargetKernel>) -> Result<Vec<TargetKernel>, KernelSelectionError> {
    targets.sort_by(|a, b| {
        let (one, other) = (&a.tree, &b.tree);
        version::compare(one.release.as_str(), other.release.as_str())
            .then_with(|| one.arch.cmp(&other.arch))
            .then_with(|| one.build.cmp(&other.build))
            .then_with(|| one.files.cmp(&other.files))
            .then_with(|| a.system.cmp(&b.system))
    });
    targets.dedup_by(|a, b| same_place(a, b));
    let pair = targets
        .windows(2)
        .find(|pair| pair[0].tree.target() == pair[1].tree.target());
    match pair {
        Some(pair) => Err(KernelSelectionError::Ambiguous {
            release: pair[0].tree.release.to_string(),
            first: describe(&pair[0]),
            second: describe(&pair[1]),
        }),
        None => Ok(targets),
    }
}

fn same_place(a: &TargetKernel, b: &TargetKernel) -> bool {
    a.tree.build == b.tree.build && a.tree.files == b.tree.files && a.system == b.system
}

/// The tree or the package that has it, with its toolchain where that is not this machine's.
fn describe(target: &TargetKernel) -> PathBuf {
    let build = match target.named.first() {
        Some(package) if !target.tree.files.is_host() => PathBuf::from(package),
        _ => target.tree.build.clone(),
    };
    if target.system.is_host() {
        return build;
    }
    let root = target.system.directory().display();
    PathBuf::from(format!("{} (root {root})", build.display()))
}
