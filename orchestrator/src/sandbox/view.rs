//! What one action may see besides the system directories, and what it is told.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use super::{Attention, Layout};
use crate::{
    kernel::{Arch, KernelTree},
    toolbox::{SEARCH_PATH, SystemRoot},
};

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
}

impl View {
    /// A view of nothing, with the variables that every action gets.
    pub fn new(layout: &Layout, directory: PathBuf) -> Self {
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
    pub fn show_neighbours(&mut self, neighbours: &BTreeSet<PathBuf>, trees: [&Path; 2]) {
        let mut found = neighbours.clone();
        for tree in trees.into_iter().filter(|tree| neighbours.contains(*tree)) {
            let entries = fs::read_dir(tree).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()));
        }
        let own: Vec<PathBuf> = self
            .read_only
            .iter()
            .map(|(_, inside)| inside.clone())
            .collect();
        let linked = self.links.iter().map(|(inside, _)| inside.clone());
        let own: Vec<PathBuf> = own.into_iter().chain(linked).collect();
        found.retain(|path| !own.iter().any(|shown| shown.starts_with(path)));
        for path in found.iter().filter(|path| !trees.contains(&path.as_path())) {
            // What has gone meanwhile cannot be shown.
            if path.exists() {
                self.show(path);
            }
        }
        self.neighbours = found;
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
