//! A kernel as an input: its trees with their digests, its configuration, its symbols.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use kiln_cache::{EntryKind, Manifest, ObjectDigest, TreeScan};

use crate::{
    KernelConfig, KernelTree, SymbolCrcs, SymversError, TargetKernel, external_roots,
    fingerprints::{FingerprintError, Fingerprints},
    layers::Layers,
    may_be_shown, may_be_source, outside_targets,
    toolbox::SystemRoot,
    witness::Witness,
};

/// A kernel's Makefile fragment, which may insist on a compiler.
pub const KERNEL_VARIABLES: &str = ".kernelvariables";

/// One directory or file that belongs to a kernel.
#[derive(Debug, Clone)]
pub struct KernelRoot {
    /// Where builds see it: the only path of a kernel that keys hold.
    pub path: PathBuf,
    /// Where it is on this machine.
    pub host: PathBuf,
    /// The digest of its manifest and of unusual permissions in it, or of the file.
    pub digest: ObjectDigest,
    /// The digest of its files' times, for a directory.
    pub times: Option<ObjectDigest>,
    /// The scan, for a directory.
    pub scan: Option<Arc<TreeScan>>,
    /// What it takes to look at it again.
    pub seen: Arc<Witness>,
}

/// A kernel to build for.
#[derive(Debug)]
pub struct KernelInput {
    /// Its build tree.
    pub tree: KernelTree,
    /// All that belongs to it, sorted by path, no root below another.
    pub roots: Vec<KernelRoot>,
    /// What builds for it.
    pub system: SystemRoot,
    /// The options that name it on kiln's command line.
    pub arguments: String,
    config: OnceLock<KernelConfig>,
    symbols: OnceLock<SymbolCrcs>,
    required_compiler: OnceLock<Option<String>>,
}

impl KernelInput {
    /// Finds and fingerprints everything that belongs to a kernel.
    ///
    /// # Errors
    /// Fails if a tree cannot be read or changes while it is.
    pub fn new(
        target: impl Into<TargetKernel>,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Self, FingerprintError> {
        let target = target.into();
        let arguments = target.arguments();
        let TargetKernel {
            mut tree, system, ..
        } = target;
        if tree.files.is_host() {
            tree.source.take_if(|source| !may_be_source(source));
        }
        let mut open: Vec<PathBuf> = [Some(&tree.build), tree.source.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let mut roots: Vec<KernelRoot> = Vec::new();
        while let Some(path) = open.pop() {
            if roots.iter().any(|root| path.starts_with(&root.path)) {
                continue;
            }
            roots.retain(|root| !root.path.starts_with(&path));
            let host = tree.files.host_path(&path);
            if host.is_file() {
                let seen = fingerprints.file_witness(&host)?;
                let digest = seen.digest().expect("a file has a digest");
                roots.push(KernelRoot {
                    path,
                    host,
                    digest,
                    times: None,
                    scan: None,
                    seen,
                });
                continue;
            }
            let scan = fingerprints.tree(&host)?;
            let seen = fingerprints.tree_witness(&host)?;
            open.extend(references(&tree.files, &path, &scan, fingerprints));
            roots.push(KernelRoot {
                digest: as_shown(&scan),
                times: Some(scan.snapshot.times_and_modes()),
                scan: Some(scan),
                path,
                host,
                seen,
            });
        }
        roots.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            tree,
            roots,
            system,
            arguments,
            config: OnceLock::new(),
            symbols: OnceLock::new(),
            required_compiler: OnceLock::new(),
        })
    }

    /// A kernel of which nothing is there: a dkms.conf may be read for it, and nothing be built.
    pub fn without_trees(target: impl Into<TargetKernel>) -> Self {
        let target = target.into();
        Self {
            arguments: target.arguments(),
            tree: target.tree,
            roots: Vec::new(),
            system: target.system,
            config: OnceLock::new(),
            symbols: OnceLock::new(),
            required_compiler: OnceLock::new(),
        }
    }

    /// Whether it has a Makefile fragment that may insist on a compiler.
    pub fn has_variables(&self) -> bool {
        self.tree.host_file(KERNEL_VARIABLES).is_file()
    }

    /// The compiler that the fragment insists on, once that is known; none without one.
    pub fn required_compiler(&self) -> Option<&str> {
        self.required_compiler.get()?.as_deref()
    }

    /// Takes note of the value that `CC` has in the fragment: `ccache gcc-12` insists on gcc-12.
    pub fn set_compiler(&self, cc: &str) {
        let compiler = cc.split_whitespace().last().map(str::to_owned);
        self.required_compiler.get_or_init(|| compiler);
    }

    /// All roots: where each is on this machine, and where builds see it.
    pub fn mounts(&self) -> Vec<(PathBuf, PathBuf)> {
        self.roots
            .iter()
            .map(|root| (root.host.clone(), root.path.clone()))
            .collect()
    }

    /// The configuration, read at first need. A tree without one has no symbols.
    pub fn config(&self) -> &KernelConfig {
        self.config
            .get_or_init(|| KernelConfig::read(&self.tree).unwrap_or_default())
    }

    /// The symbols that the kernel exports, read at first need.
    ///
    /// # Errors
    /// Fails if Module.symvers cannot be read.
    pub fn symbols(&self) -> Result<&SymbolCrcs, SymversError> {
        if let Some(symbols) = self.symbols.get() {
            return Ok(symbols);
        }
        let symbols = SymbolCrcs::read(&self.tree.host_file("Module.symvers"))?;
        Ok(self.symbols.get_or_init(|| symbols))
    }
}

/// The digest of a tree that a sandbox shows as it is: its manifest's, unless permissions in it may keep a build from a part of it.
fn as_shown(scan: &TreeScan) -> ObjectDigest {
    let closed = scan.snapshot.closed();
    if closed.is_empty() {
        return scan.digest;
    }
    let mut text = format!("{}\n", scan.digest).into_bytes();
    for (path, mode) in closed {
        text.extend_from_slice(format!("{mode:o} ").as_bytes());
        text.extend_from_slice(&path);
        text.push(0);
    }
    ObjectDigest::of(&text)
}

/// The roots that a tree refers to. Remembered by the tree's digest, unless something that it
/// refers to is not there: it may come without a change of the tree.
fn references(
    files: &Layers,
    path: &Path,
    scan: &TreeScan,
    fingerprints: &mut Fingerprints<'_>,
) -> Vec<PathBuf> {
    let mut name = format!("outside of {}", path.display());
    if !files.is_host() {
        for directory in files.directories() {
            name.push(' ');
            name.push_str(&directory.to_string_lossy());
        }
    }
    let found = fingerprints.memo(&name, scan.digest, || {
        let manifest = scan.manifest();
        let roots = external_roots(files, path, links(&manifest));
        let whole = outside_targets(files, path, links(&manifest)).all(|p| files.exists(&p));
        if whole { Ok(join(&roots)) } else { Err(roots) }
    });
    let mut roots = found.map_or_else(|roots| roots, |known| split(&known));
    roots.retain(|root| files.places(root).next().is_some());
    // Who may look where can have changed since they were found.
    roots.retain(|root| !files.is_host() || may_be_shown(path, root));
    roots.dedup_by(|later, earlier| later.starts_with(earlier));
    roots
}

/// What `part` makes of the paths that a tree refers to, each once; remembered by the tree's
/// digest, whatever else is there.
pub(crate) fn parts_referred_to(
    files: &Layers,
    path: &Path,
    scan: &TreeScan,
    part: impl Fn(&Path) -> Option<PathBuf>,
    fingerprints: &mut Fingerprints<'_>,
) -> Vec<PathBuf> {
    let name = format!("parts {}", path.display());
    let found = fingerprints.memo(&name, scan.digest, || {
        let manifest = scan.manifest();
        let targets = outside_targets(files, path, links(&manifest));
        let mut parts: Vec<PathBuf> = targets.filter_map(|path| part(&path)).collect();
        parts.sort();
        parts.dedup();
        Ok::<_, std::convert::Infallible>(join(&parts))
    });
    let Ok(found) = found;
    split(&found)
}

fn join(paths: &[PathBuf]) -> Vec<u8> {
    let paths: Vec<&[u8]> = paths
        .iter()
        .map(|path| path.as_os_str().as_bytes())
        .collect();
    paths.join(&0)
}

fn split(joined: &[u8]) -> Vec<PathBuf> {
    joined
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect()
}

/// The symbolic links of a tree: their paths, and what they say.
fn links(manifest: &Manifest) -> impl Iterator<Item = (&Path, &Path)> {
    manifest
        .entries()
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::Symlink { target } => Some((
                Path::new(OsStr::from_bytes(&entry.path)),
                Path::new(OsStr::from_bytes(target)),
            )),
            _ => None,
        })
}
