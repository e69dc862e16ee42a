//! A kernel as an input: its trees with their digests, its configuration, its symbols.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use kiln_cache::{EntryKind, Manifest, ObjectDigest, TreeScan};

use super::{FingerprintError, Fingerprints, TargetKernel, fingerprints::changed_since};
use crate::{
    kernel::{
        KernelConfig, KernelTree, SymbolCrcs, SymversError, dangling_references, external_roots,
    },
    layers::Layers,
    toolbox::SystemRoot,
};

/// One directory or file that belongs to a kernel.
#[derive(Debug, Clone)]
pub struct KernelRoot {
    /// Where builds see it: the only path of a kernel that keys hold.
    pub path: PathBuf,
    /// Where it is on this machine.
    pub host: PathBuf,
    /// The digest of its manifest, or of the file.
    pub digest: ObjectDigest,
    /// The scan, for a directory.
    pub scan: Option<Arc<TreeScan>>,
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
        let TargetKernel { tree, system, .. } = target;
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
                let digest = fingerprints.file(&host)?;
                roots.push(KernelRoot {
                    path,
                    host,
                    digest,
                    scan: None,
                });
                continue;
            }
            let scan = fingerprints.tree(&host)?;
            open.extend(references(&tree.files, &path, &scan, fingerprints).roots);
            roots.push(KernelRoot {
                digest: scan.digest,
                scan: Some(scan),
                path,
                host,
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
        })
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

    /// The first file that is not what it was when the kernel was fingerprinted.
    pub fn changed_file(&self) -> Option<PathBuf> {
        self.roots
            .iter()
            .find_map(|root| changed_since(&root.host, root.scan.as_ref()?))
    }
}

/// What a tree refers to outside itself: paths inside.
pub(crate) struct References {
    /// The directories and files that are there.
    pub(crate) roots: Vec<PathBuf>,
    /// Paths that lead nowhere.
    pub(crate) dangling: Vec<PathBuf>,
}

/// Finds what a tree refers to. Remembered by the tree's digest, unless something is not there: it
/// may come without a change of the tree.
pub(crate) fn references(
    files: &Layers,
    path: &Path,
    scan: &TreeScan,
    fingerprints: &mut Fingerprints<'_>,
) -> References {
    let mut name = format!("outside {}", path.display());
    if !files.is_host() {
        for directory in files.directories() {
            name.push(' ');
            name.push_str(&directory.to_string_lossy());
        }
    }
    let found = fingerprints.memo(&name, scan.digest, || {
        let manifest = scan.manifest();
        let found = References {
            roots: external_roots(files, path, links(&manifest)),
            dangling: dangling_references(files, path, links(&manifest)),
        };
        if !found.dangling.is_empty() {
            return Err(found);
        }
        let roots: Vec<&[u8]> = found
            .roots
            .iter()
            .map(|r| r.as_os_str().as_bytes())
            .collect();
        Ok(roots.join(&0))
    });
    let mut found = found.map_or_else(
        |incomplete| incomplete,
        |known| References {
            roots: known
                .split(|byte| *byte == 0)
                .filter(|root| !root.is_empty())
                .map(|root| PathBuf::from(OsStr::from_bytes(root)))
                .collect(),
            dangling: Vec::new(),
        },
    );
    found
        .roots
        .retain(|root| files.places(root).next().is_some());
    found
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
