//! Which of the paths inside a sandbox are the system's.
//!
//! All else inside is in the key by other components: the kernel's trees, the source, what a job makes itself.

use std::path::{Path, PathBuf};

use crate::{
    sandbox::{ETC_FILES, Layout, SYSTEM_DIRECTORIES, View, covers},
    toolbox::{KBUILD_PREFIX, SystemRoot},
};

/// The system's paths, as one job sees them.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Below these nothing is the system's.
    others: Vec<PathBuf>,
}

impl Extent {
    /// The extent for a job with this view.
    pub fn new(layout: &Layout, view: &View, system: &SystemRoot) -> Self {
        let bound = view.read_only.iter().map(|(_, inside)| inside);
        let links = view.links.iter().map(|(inside, _)| inside);
        let mut others = covers(layout, system);
        others.extend(bound.chain(links).cloned());
        others.push(PathBuf::from("/lib/modules"));
        others.push(layout.install_tree.clone());
        Self { others }
    }

    /// Whether an absolute path without `.` and `..` is the system's.
    pub fn holds(&self, path: &Path) -> bool {
        let system = SYSTEM_DIRECTORIES
            .iter()
            .chain(&ETC_FILES)
            .chain(&["/etc/alternatives"])
            .any(|place| path.starts_with(place));
        system && !self.others.iter().any(|other| path.starts_with(other)) && !is_kbuild(path)
    }
}

/// Whether a path is of the programs of some kernel's build: those of the job's own kernel are in its key, of the others nothing is
/// shown.
fn is_kbuild(path: &Path) -> bool {
    let mut below = path.strip_prefix("/usr/lib").into_iter().flatten();
    below
        .next()
        .is_some_and(|name| name.to_string_lossy().starts_with(KBUILD_PREFIX))
}
