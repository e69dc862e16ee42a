//! `dkms remove`: takes a package away from kernels, and out of the tree once no kernel has it.

use std::{fs, path::Path};

use kiln_durable::regular;
use kiln_files::Guard;
use kiln_kernel::{package::PackageId, sizes};

use super::{Session, console::Died, leftovers::remove_leftovers};

/// Whether a directory of a version is not a kernel's.
pub(super) fn is_own_name(name: &str) -> bool {
    OWN.contains(&name)
}

/// Directories of a version that are not a kernel's.
const OWN: [&str; 6] = ["build", "tarball", "driver_disk", "rpm", "deb", "source"];

impl Session {
    /// `dkms remove`, for each kernel of the command.
    ///
    /// # Errors
    /// Ends as the last removal did; with 0 for the old half of an upgrade by rpm.
    pub(crate) fn remove(&mut self, package: &PackageId) -> Result<(), Died> {
        self.lock_package(package)?;
        self.find_all_targets_again();
        let version = self.tree.version(package);
        remove_leftovers(&self.tree, &version);
        if self.arguments.rpm_safe_upgrade && self.is_rpm_upgrade(package) {
            return Err(self.console.die_warning(
                0,
                &["Remove cancelled because --rpm_safe_upgrade scenario detected."],
            ));
        }
        for target in self.targets.clone() {
            self.maybe_uninstall(package, &target)?;
            self.maybe_unbuild(package, &target);
            self.console.line("");
        }
        if !has_kernels(&version) {
            self.console.line(format_args!(
                "Deleting module {package} completely from the DKMS tree."
            ));
            self.remove_tree(&version);
        }
        // Only goes if nothing is in it.
        let _ = fs::remove_dir(self.tree.module(package));
        Ok(())
    }

    /// Whether the same rpm transaction has just added this very version.
    fn is_rpm_upgrade(&self, package: &PackageId) -> bool {
        let Some((caller, started)) = super::rpm::caller_of_caller() else {
            return false;
        };
        let prefix = format!("dkms_rpm_safe_upgrade_lock.{caller}.");
        let name = format!("{}-{}", package.name, package.version);
        let directory = Path::new(self.variables.value("tmp_location"));
        let guard = Guard::of_process();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with(&prefix) {
                continue;
            }
            // Anybody may put a file into a directory for temporary ones.
            let path = entry.path();
            let is_own = |found: &fs::Metadata| guard.inspect_own(&path, found).is_ok();
            let read = regular::read_if(&path, sizes::TEXT, is_own);
            let text = read.ok().flatten().unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let mut lines = text.lines();
            if lines.next() == Some(name.as_str()) && lines.next_back() == Some(started.as_str()) {
                let _ = fs::remove_file(path);
                return true;
            }
        }
        false
    }
}

fn has_kernels(version: &Path) -> bool {
    fs::read_dir(version)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .any(|name| !OWN.iter().any(|own| name.ends_with(own)))
}
