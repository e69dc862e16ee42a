//! BUILD_DEPENDS: what must be installed before, and what was installed when a package was
//! built.

use std::fs;

use kiln_kernel::{package::PackageId, version};

use super::{Session, confs::Known, console::Died, target::Target, tree::Selection};

impl Session {
    /// Checks that what a package depends on is installed.
    ///
    /// # Errors
    /// Ends with 13, unless `--force` is given.
    pub(crate) fn check_dependencies(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
    ) -> Result<(), Died> {
        let missing: String = facts
            .conf
            .build_depends
            .iter()
            .filter(|name| !self.tree.any_installed(name, target))
            .map(|name| format!(" {name}"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if self.force {
            self.console.warn(&[&format!(
                "Trying to build module {package} for kernel {target} despite of missing BUILD_DEPENDS:{missing}."
            )]);
            return Ok(());
        }
        Err(self.console.die(
            13,
            &[
                &format!(
                    "Aborting build of module {package} for kernel {target} due to missing BUILD_DEPENDS:{missing}."
                ),
                "You may override by specifying --force.",
            ],
        ))
    }

    /// Writes down which versions of its dependencies a package was built with.
    pub(crate) fn note_dependencies(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
    ) {
        let base = self.tree.base(package, target);
        for name in &facts.conf.build_depends {
            if let Some(version) = self.newest_version(name, target) {
                let _ = fs::write(base.join(format!(".dep_{name}")), format!("{version}\n"));
            }
        }
    }

    /// The newest version of a module in the tree, as far as a kernel may use it.
    pub(crate) fn newest_version(&self, name: &str, target: &Target) -> Option<String> {
        let selection = Selection {
            module: name,
            kernel: target.kernel.as_str(),
            arch: target.arch.as_str(),
            ..Selection::default()
        };
        self.tree
            .rows(&selection)
            .into_iter()
            .map(|row| row.package.version.to_string())
            .max_by(|a, b| version::compare(a, b))
    }
}
