//! `dkms kernel_preinst`, `kernel_postinst` and `kernel_prerm`: what a kernel's package asks
//! for before it is unpacked, after, and before it is removed.

use std::{fs, time::Duration};

use kiln_cache::GcOptions;

use super::{
    Session,
    confs::Strictness,
    console::{Died, Status},
    depmod::When,
    target::Target,
    tree::Selection,
};

/// How much of the cache stays when a kernel goes unless cache.max_size says, and for how
/// long unused.
const CACHE_SIZE: u64 = 4 << 30;
const CACHE_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Which packages are taken away from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// Those that come back by themselves.
    Autoinstalled,
    /// All.
    All,
}

impl Session {
    /// Takes away what will be rebuilt for the new state of the kernel.
    ///
    /// # Errors
    /// Ends with 14 if any package could not be taken away.
    pub(crate) fn kernel_preinst(&mut self, target: &Target) -> Result<(), Died> {
        self.leave_kernel(target, Leaving::Autoinstalled, "kernel_preinst")
    }

    /// Takes away everything: the kernel goes.
    ///
    /// # Errors
    /// Ends with 14 if any package could not be taken away.
    pub(crate) fn kernel_prerm(&mut self, target: &Target) -> Result<(), Died> {
        self.leave_kernel(target, Leaving::All, "kernel_prerm")?;
        self.tidy_cache();
        Ok(())
    }

    /// Bounds the cache: kernels come and go, and nobody else looks after it.
    fn tidy_cache(&mut self) {
        if let Some(site) = self.site() {
            // A cache that cannot be tidied now is tidied with the next kernel.
            let _ = site.store.gc(&GcOptions {
                max_size: Some(self.settings.cache.max_size.unwrap_or(CACHE_SIZE)),
                older_than: Some(CACHE_AGE),
            });
        }
    }

    fn leave_kernel(
        &mut self,
        target: &Target,
        leaving: Leaving,
        action: &str,
    ) -> Result<(), Died> {
        self.recover(target)?;
        let usual = self.depmod;
        let packages: Vec<_> = self
            .tree
            .packages(&Selection::default())
            .into_iter()
            .filter(|package| self.tree.is_built(package, target))
            .collect();
        for package in &packages {
            self.lock_package(package)?;
        }
        self.depmod = When::Delayed;
        let mut failed = String::new();
        for package in packages {
            if leaving == Leaving::Autoinstalled {
                let conf = self.tree.source(&package).join("dkms.conf");
                let facts =
                    self.read_conf_or_die(&package, target, Some(&conf), Strictness::Lenient)?;
                if !facts.conf.autoinstall {
                    continue;
                }
            }
            self.console.note(format_args!(
                "dkms: removing module {package} for kernel {target}"
            ));
            if self.is_installed(&package, target) {
                self.begin(target)?;
            }
            let left = self.subshell(|session| {
                session.maybe_uninstall(&package, target)?;
                session.maybe_unbuild(&package, target);
                Ok(())
            });
            if let Err(Died(Status(status))) = left {
                failed.push_str(&format!(" {package}({status})"));
            }
            if leaving == Leaving::All {
                self.console.line("");
            }
        }
        self.depmod = usual;
        if self.transaction.is_some() {
            // dkms's own words lack the kernel here.
            self.run_depmod_called(target, "");
            self.finish(target)?;
            self.end_transaction();
        }
        remove_empty(&self.kernel_directory(target));
        if failed.is_empty() {
            return Ok(());
        }
        Err(self.console.die(
            14,
            &[&format!(
                "dkms {action} for kernel {target} failed for module(s){failed}."
            )],
        ))
    }
}

/// Removes empty directories, the given one too.
fn remove_empty(directory: &std::path::Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
