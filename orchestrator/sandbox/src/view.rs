//! What one action may see besides the system directories, and what it is told.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use kiln_config::Allowance;
use kiln_kernel::{
    Arch, KernelTree,
    toolbox::{SEARCH_PATH, SystemRoot},
};

use super::{Attention, Layout, own_tree::is_merged};

/// The view of one action.
#[derive(Debug, Clone)]
pub struct View {
    /// Host paths that appear read-only: host path, path inside.
    pub read_only: Vec<(PathBuf, PathBuf)>,
    /// Other packages of this machine: what is shown of the source tree and the DKMS tree.
    pub neighbours: BTreeSet<PathBuf>,
    /// Symbolic links that exist inside only: path inside, target.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Variables of the otherwise empty environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory, as a path inside.
    pub directory: PathBuf,
    /// Where the system directories come from.
    pub system: SystemRoot,
    /// The kernel that it is told of.
    pub release: String,
    /// The architecture that it is told of.
    pub arch: Arch,
    /// Which of its system calls are looked at.
    pub attention: Attention,
    /// What it may use up.
    pub allowance: Allowance,
    /// Whether it may read what nobody notes, where it has no namespaces: what comes of it is not kept.
    pub is_for_once: bool,
}

impl View {
    /// A view of nothing, with the variables that every action gets.
    pub fn new(layout: &Layout, directory: PathBuf, allowance: Allowance) -> Self {
        let mut path = layout.shims().into_os_string();
        for directory in SEARCH_PATH {
            path.push(":");
            path.push(directory);
        }
        let mut view = Self {
            read_only: Vec::new(),
            neighbours: BTreeSet::new(),
            links: Vec::new(),
            environment: Vec::new(),
            directory,
            system: SystemRoot::host(),
            release: "0".to_owned(),
            arch: Arch::host(),
            attention: Attention::Few,
            allowance,
            is_for_once: false,
        };
        view.set("PATH", &path);
        view.set("LC_ALL", "C");
        view
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
    }

    /// Shows a host path under its own name.
    pub fn show(&mut self, path: &Path) {
        self.show_at(path, path);
    }

    /// Shows a host path under another name.
    pub fn show_at(&mut self, host: &Path, inside: &Path) {
        self.read_only.push((host.to_owned(), inside.to_owned()));
    }

    /// Shows other packages under their own names: directories, or all that is in one of the `trees` that hold them.
    ///
    /// `laid` is the action's own DKMS tree on this machine: what it has stays, and where it has a directory, what else
    /// this machine has there is shown beside.
    pub fn show_neighbours(
        &mut self,
        neighbours: &BTreeSet<PathBuf>,
        trees: [&Path; 2],
        laid: &Path,
    ) {
        let [source_tree, dkms_tree] = trees;
        let read_only = self.read_only.iter().map(|(_, inside)| inside);
        let links = self.links.iter().map(|(inside, _)| inside);
        let own: Vec<PathBuf> = read_only
            .chain(links)
            .cloned()
            .chain(self.own_results())
            .collect();
        let (mut shown, mut listed) = (BTreeSet::new(), BTreeSet::new());
        let mut open: Vec<PathBuf> = neighbours.iter().cloned().collect();
        while let Some(path) = open.pop() {
            let below = path.strip_prefix(dkms_tree).ok();
            let place = below.map(|below| laid.join(below));
            let is_merged = place.as_ref().is_some_and(|place| is_merged(laid, place));
            if is_merged || path == source_tree {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                open.extend(entries.map(|entry| entry.path()));
                listed.insert(path);
                continue;
            }
            let is_linked = below.is_some();
            let is_laid = place.is_some_and(|place| fs::symlink_metadata(place).is_ok());
            if is_laid
                || own.iter().any(|own| own.starts_with(&path))
                || !shown.insert(path.clone())
            {
                continue;
            }
            match fs::read_link(&path) {
                Ok(target) if is_linked => self.links.push((path, target)),
                // What has gone meanwhile cannot be shown.
                _ if path.exists() => self.show(&path),
                _ => {}
            }
        }
        // Of these the names count.
        shown.append(&mut listed);
        self.neighbours = shown;
    }

    /// Where a job puts its results in its own DKMS tree: what the machine has there is of a build before.
    pub fn own_results(&self) -> Option<PathBuf> {
        let is_job = self
            .directory
            .file_name()
            .is_some_and(|name| name == "build");
        let version = self.directory.parent().filter(|_| is_job)?;
        Some(version.join(&self.release))
    }

    /// Shows a kernel: its trees where they belong, and the links of an installed kernel to them.
    ///
    /// `roots` are paths on this machine and paths inside.
    pub fn show_kernel(
        &mut self,
        layout: &Layout,
        kernel: &KernelTree,
        roots: &[(PathBuf, PathBuf)],
    ) {
        self.release = kernel.release.to_string();
        self.arch = kernel.arch.clone();
        for (host, inside) in roots {
            self.show_at(host, inside);
        }
        let link = layout.kernel_source_dir(&kernel.release);
        let source = kernel.source.as_ref().unwrap_or(&kernel.build);
        self.link(&link.with_file_name("source"), source);
        self.link(&link, &kernel.build);
    }

    /// Shows a symbolic link, unless it would point to itself: some distributions have the trees
    /// where others have links to them.
    fn link(&mut self, at: &Path, target: &Path) {
        let lib = self.system.files().resolve(Path::new("/lib"));
        let real = match (lib, at.strip_prefix("/lib")) {
            (Some(lib), Ok(rest)) => lib.inside.join(rest),
            _ => at.to_owned(),
        };
        if real != target {
            self.links.push((at.to_owned(), target.to_owned()));
        }
    }
}
