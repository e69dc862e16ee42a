//! Which of the paths inside a sandbox count, and why.
//!
//! The system's do; so does what is shown of other packages. All else inside is in the key by other components: the
//! kernel's trees, the source, what an action makes itself.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use kiln_cache::Component;
use kiln_kernel::toolbox::{KBUILD_PREFIX, SystemRoot};
use kiln_sandbox::{
    ETC_DIRECTORIES, ETC_FILES, Layout, OwnTree, SYSTEM_DIRECTORIES, Scratch, View, covers, machine,
};
use kiln_trace::Machine;

use super::Reach;

/// The paths that count, as one action sees them.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The kernel's trees, the source, and whatever else the key names by a component of its own.
    bound: Vec<PathBuf>,
    /// Links that kiln makes, and where they lead.
    links: Vec<(PathBuf, PathBuf)>,
    /// Files of kiln's own that stand in for others.
    made: Vec<PathBuf>,
    /// What is covered by nothing.
    covered: Vec<PathBuf>,
    /// Where other packages are: the source tree and the DKMS tree.
    near: [PathBuf; 2],
    /// Directories of the action's own in the DKMS tree, in which others of this machine may appear.
    merged: Vec<PathBuf>,
    /// Those of them that are shown.
    neighbours: BTreeSet<PathBuf>,
    /// kiln's own files: where they are inside, and which directory that is.
    own: PathBuf,
    own_identity: Option<(u64, u64)>,
    /// What programs are told of the machine.
    machine: Machine,
    system: SystemRoot,
    /// Whether it counts, too, that nothing is where the sandbox shows nothing.
    wide: bool,
    /// Whether all that is looked up is kept.
    audited: bool,
}

/// What a path is to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A file that counts.
    Counted,
    /// In the key by another component, or the action's own.
    Bound,
    /// Where other packages are.
    Near,
    /// Anything else.
    Elsewhere,
}

impl Extent {
    /// The extent for an action with this view and scratch directory.
    pub fn new(layout: &Layout, view: &View, scratch: &Scratch) -> Self {
        let system = &view.system;
        let shown = view.read_only.iter().map(|(_, inside)| inside);
        let links = view.links.iter().map(|(inside, _)| inside);
        let OwnTree { merged, own } = OwnTree::new(&scratch.dkms_tree(), &layout.dkms_tree);
        let neighbours = view.neighbours.clone();
        let kiln = std::env::current_exe().unwrap_or_default();
        let is_made = |host: &Path| host.starts_with(scratch.path()) || *host == kiln;
        let made = view.read_only.iter().filter(|(host, _)| is_made(host));
        let links: Vec<PathBuf> = links.cloned().collect();
        let mut bound: Vec<PathBuf> = shown
            .chain(&links)
            .cloned()
            .chain(own)
            .chain(view.own_results())
            .collect();
        bound.retain(|path| !neighbours.contains(path));
        bound.push(layout.run.clone());
        let mut covered = covers(layout, system);
        covered.push(PathBuf::from("/lib/modules"));
        covered.push(layout.install_tree.clone());
        Self {
            bound,
            links: view.links.clone(),
            made: made.map(|(_, inside)| inside.clone()).collect(),
            covered,
            near: [layout.source_tree.clone(), layout.dkms_tree.clone()],
            merged,
            neighbours,
            own: layout.run.clone(),
            own_identity: identity(&scratch.run()),
            machine: machine(view),
            system: system.clone(),
            wide: false,
            audited: false,
        }
    }

    /// The same for an action that is audited, or not.
    #[must_use]
    pub fn audited(self, audited: bool) -> Self {
        Self { audited, ..self }
    }

    /// Whether all that is looked up is kept.
    pub(super) fn is_audited(&self) -> bool {
        self.audited
    }

    /// The same for an action that must not miss anything that dkms would show it.
    #[must_use]
    pub fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    /// How much is shown.
    pub(super) fn reach(&self) -> Reach {
        match self.neighbours.is_empty() {
            true => Reach::System,
            false => Reach::Neighbours,
        }
    }

    /// Whether it counts that nothing is where the sandbox shows nothing.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// Whether other packages can be shown: those of this machine are no business of another system.
    pub(super) fn has_neighbours(&self) -> bool {
        self.system.is_host()
    }

    /// Whether a path is one of the directories that other packages are in.
    pub(super) fn is_near(&self, path: &Path) -> bool {
        self.places().any(|near| path == near)
    }

    /// The directories that other packages are in.
    fn places(&self) -> impl Iterator<Item = &PathBuf> {
        self.near.iter().chain(&self.merged)
    }

    /// Whether a path is the source tree.
    pub(super) fn is_source_tree(&self, path: &Path) -> bool {
        path == self.near[0]
    }

    /// The directory that is shown for a path below one of those that other packages are in: the first that is in it.
    pub(super) fn unit(&self, path: &Path) -> Option<PathBuf> {
        let near = self
            .places()
            .filter(|near| path.starts_with(near))
            .max_by_key(|near| near.as_os_str().len())?;
        let below = path.strip_prefix(near).ok()?;
        Some(match below.components().next() {
            Some(name) => near.join(name),
            None => near.clone(),
        })
    }

    /// Where a path of the system is on this machine.
    pub(super) fn host_path(&self, path: &Path) -> PathBuf {
        self.system.host_path(path)
    }

    /// Whether a process is in the sandbox: before that, it is the one that makes it.
    pub(super) fn is_inside(&self, process: u32) -> bool {
        let own = inside(process, &self.own);
        self.own_identity.is_some() && identity(&own) == self.own_identity
    }

    /// What programs are told of the machine.
    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What an absolute path without `.` and `..` is.
    pub(super) fn part(&self, path: &Path) -> Part {
        let is_below = |places: &[PathBuf]| places.iter().any(|place| path.starts_with(place));
        if is_below(&self.bound) {
            return Part::Bound;
        }
        let is_shown = |place: &PathBuf| match self.is_near(place) {
            true => path == place,
            false => path.starts_with(place),
        };
        if self.neighbours.iter().any(is_shown) {
            return Part::Counted;
        }
        if is_below(&self.near) {
            return Part::Near;
        }
        let mut system = SYSTEM_DIRECTORIES
            .iter()
            .chain(&ETC_FILES)
            .chain(&ETC_DIRECTORIES);
        let is_system = system.any(|place| path.starts_with(place));
        if is_system && !is_below(&self.covered) && !is_kbuild(path) {
            return Part::Counted;
        }
        Part::Elsewhere
    }

    /// Whether a path is one that nothing is to be seen below.
    pub(super) fn is_cover(&self, path: &Path) -> bool {
        let mut covers = self.covered.iter().chain(&self.near);
        covers.any(|cover| cover.starts_with(path) || path.starts_with(cover))
    }

    /// Whether a path that is bound is in one of these components, or is the action's own.
    pub(super) fn is_covered_by(&self, path: &Path, components: &[Component]) -> bool {
        let is_made = self.made.iter().any(|made| path.starts_with(made));
        if is_made || path.starts_with(&self.own) || path.starts_with(&self.near[1]) {
            return true;
        }
        if let Some((link, target)) = self.links.iter().find(|(link, _)| path.starts_with(link)) {
            let below = path.strip_prefix(link).unwrap_or(path);
            return path == link || self.is_covered_by(&target.join(below), components);
        }
        let below = path.strip_prefix(&self.near[0]).ok();
        components.iter().any(|component| {
            let name = &*component.name;
            if let Some(tree) = name.strip_prefix("kernel tree ") {
                return path.starts_with(tree);
            }
            if let Some(dependency) = name.strip_prefix("source of ") {
                let first = below.and_then(|below| below.iter().next());
                return first.is_some_and(|first| first.to_string_lossy().starts_with(dependency));
            }
            match name {
                "source" => below.is_some(),
                "build_environment file" => true,
                _ => name.starts_with('/') && path.starts_with(name),
            }
        })
    }

    /// Whether a path is of a file that counts.
    pub fn holds(&self, path: &Path) -> bool {
        self.part(path) == Part::Counted
    }
}

/// A path as a process sees it.
pub(super) fn inside(process: u32, path: &Path) -> PathBuf {
    let below = path.strip_prefix("/").unwrap_or(path);
    PathBuf::from(format!("/proc/{process}/root")).join(below)
}

/// Which directory is at a path.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Whether a path is of the programs of some kernel's build: those of the job's own kernel are in its key, of the others nothing is
/// shown.
fn is_kbuild(path: &Path) -> bool {
    let mut below = path.strip_prefix("/usr/lib").into_iter().flatten();
    below
        .next()
        .is_some_and(|name| name.to_string_lossy().starts_with(KBUILD_PREFIX))
}
