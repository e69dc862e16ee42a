//! The modules that a job depends on, at the place where dkms would have installed them.
//!
//! They are in a tree of their own in the job's DKMS tree, in which the script runs depmod(8). The kernel's directory shows
//! its directories, in which `find -type f` finds the modules, and has links to what depmod makes.

use std::{
    collections::BTreeSet,
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use kiln_sandbox::{Scratch, View};

use super::{Abort, JobRunner, stage::make_owned};
use crate::plan::{DependencyRecords, JobSpec};

/// What depmod makes.
const INDICES: [&str; 11] = [
    "modules.alias",
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.weakdep",
];

/// The tree that depmod is told of, in a DKMS tree.
pub(super) fn installed(dkms_tree: &Path) -> PathBuf {
    dkms_tree.join(".installed")
}

impl JobRunner {
    /// Puts all dependencies' modules into place, and has the view show them.
    pub(super) fn install_dependencies(
        &self,
        spec: &JobSpec,
        dependencies: &DependencyRecords,
        scratch: &Scratch,
        view: &mut View,
    ) -> Result<(), Abort> {
        let (tree, user) = (scratch.dkms_tree(), self.site.user);
        let release = spec.kernel.tree.release.as_str();
        let below = Path::new("lib/modules").join(release);
        let modules = installed(&tree).join(&below);
        let io_error = |source: io::Error| Abort::Io {
            path: modules.clone(),
            source,
        };
        let mut tops = BTreeSet::new();
        for (dependency, record) in dependencies.iter() {
            for (name, place) in &dependency.places {
                let Some(output) = record.outputs.iter().find(|output| output.path == *name) else {
                    continue;
                };
                let directory = modules.join(place);
                make_owned(&tree, &directory, user).map_err(io_error)?;
                self.restore(output, &directory.join(name))?
                    .map_err(io_error)?;
                tops.extend(place.split('/').next().map(str::to_owned));
            }
        }
        if tops.is_empty() {
            return Ok(());
        }
        // Where distributions have merged /lib into /usr, depmod may look there.
        let usr = installed(&tree).join("usr");
        make_owned(&tree, &usr, user).map_err(io_error)?;
        symlink("../lib", usr.join("lib")).map_err(io_error)?;
        let target = installed(&spec.layout.dkms_tree).join(&below);
        let own = spec.layout.install_tree.join(release);
        for top in &tops {
            view.show_at(&modules.join(top), &own.join(top));
        }
        let links = INDICES.map(|name| (own.join(name), target.join(name)));
        view.links.extend(links);
        Ok(())
    }
}
