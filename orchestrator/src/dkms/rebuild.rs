//! BUILD_DEPENDS_REBUILD: packages that are built anew when what they depend on has changed.

use kiln_durable::regular;
use kiln_kernel::{package::PackageId, sizes};

use super::{
    Session, confs::Strictness, console::Died, install::Ending, target::Target, tree::Selection,
};

impl Session {
    /// Whether any package may have to be rebuilt for a kernel after the installation of another.
    pub(crate) fn any_rebuilds(&mut self, target: &Target) -> bool {
        let packages = self.tree.packages(&Selection::default());
        packages.into_iter().any(|package| {
            self.silent_facts(&package, target)
                .is_some_and(|facts| facts.conf.build_depends_rebuild)
        })
    }

    /// The packages that are built for a kernel.
    fn built_for(&self, target: &Target) -> Vec<PackageId> {
        let selection = Selection {
            kernel: target.kernel.as_str(),
            arch: target.arch.as_str(),
            ..Selection::default()
        };
        let rows = self.tree.rows(&selection).into_iter();
        rows.filter(|row| row.target.as_ref() == Some(target))
            .map(|row| row.package)
            .collect()
    }

    /// Rebuilds what depends on something that is not what it was built with.
    ///
    /// # Errors
    /// Ends where a conf cannot be read.
    pub(crate) fn rebuild_dependents(&mut self, target: &Target) -> Result<(), Died> {
        let mut outdated = Vec::new();
        for package in self.built_for(target) {
            let facts = self.read_conf_or_die(&package, target, None, Strictness::Lenient)?;
            let concerned =
                !facts.conf.build_depends.is_empty() && facts.conf.build_depends_rebuild;
            // Once a command and kernel: an outdated mark that cannot be renewed must not go on for ever.
            let done = self.rebuilt.contains(&(package.clone(), target.clone()));
            if concerned && !self.force && !done && self.is_outdated(&package, target)? {
                outdated.push((package, facts.conf.build_depends.clone()));
            }
        }
        let mut rebuilt: Vec<String> = Vec::new();
        let mut left: Vec<(PackageId, Vec<String>)> = Vec::new();
        let mut progress = true;
        while progress {
            progress = false;
            for (package, depends) in std::mem::take(&mut outdated) {
                if depends.iter().all(|name| rebuilt.contains(name)) {
                    left.push((package, depends));
                    continue;
                }
                self.console.line("");
                self.console.line(format_args!(
                    "Rebuilding module {package} due to updated dependencies"
                ));
                self.console.line("");
                if self.rebuild(&package, target).is_ok() {
                    rebuilt.push(package.name.to_string());
                    progress = true;
                }
            }
            outdated.clone_from(&left);
        }
        if !outdated.is_empty() {
            self.console.line(
                "Warning: The following modules could not be rebuilt due to dependency cycles:",
            );
            for (package, _) in outdated {
                self.console.line(format_args!("  {package}"));
            }
        }
        Ok(())
    }

    /// Builds and installs a package anew. If that fails, all is as it was.
    fn rebuild(&mut self, package: &PackageId, target: &Target) -> Result<(), Died> {
        self.rebuilt.insert((package.clone(), target.clone()));
        self.do_uninstall(package, target, Ending::Later)?;
        if let Err(died) = self.build_anew(package, target) {
            self.changes().forget();
            return Err(died);
        }
        // dkms counts a package as rebuilt once it is built; what was installed stays until the
        // new build takes its place.
        if self.do_install(Some(package), target, Ending::Now).is_err() {
            self.changes().forget();
        }
        Ok(())
    }

    /// Whether a package was built with other versions of its dependencies than are there.
    fn is_outdated(&mut self, package: &PackageId, target: &Target) -> Result<bool, Died> {
        let facts = self.read_conf_or_die(package, target, None, Strictness::Strict)?;
        let base = self.tree.base(package, target);
        for name in &facts.conf.build_depends {
            let Some(version) = self.newest_version(name, target) else {
                continue;
            };
            let noted = base.join(format!(".dep_{name}"));
            let noted = regular::read_text_at_once(&noted, sizes::TEXT);
            if noted.is_ok_and(|noted| noted.trim_end_matches('\n') == version) {
                continue;
            }
            return Ok(true);
        }
        Ok(false)
    }
}
