//! `dkms preflight`, which dkms does not have: builds what autoinstall would build for a
//! kernel that is not booted, or not even installed, and reports. It installs nothing and
//! leaves the tree as it is; what was built is in the cache when its time comes.

use kiln_kernel::package::PackageId;

use super::{
    Session,
    builds::{BuildEnd, Work},
    confs::Strictness,
    console::{Died, Status},
    target::Target,
    tree::Selection,
};

impl Session {
    /// Builds for each kernel of the command, and says what would become of each package.
    ///
    /// # Errors
    /// Ends with 11 if anything would fail, and with 21 without headers.
    pub(crate) fn preflight(&mut self) -> Result<(), Died> {
        let mut failed = false;
        for target in self.targets.clone() {
            self.prepare_kernel(&target)?;
            failed |= self.preflight_kernel(&target)?;
        }
        if failed {
            return Err(Died(Status(11)));
        }
        Ok(())
    }

    fn preflight_kernel(&mut self, target: &Target) -> Result<bool, Died> {
        let packages = self.packages_to_check(target);
        let wanted: Vec<_> = packages
            .iter()
            .map(|package| (package.clone(), target.clone()))
            .collect();
        let requests = self.requests(&wanted).unwrap_or_default();
        let asked: Vec<PackageId> = requests
            .iter()
            .filter(|request| matches!(request.work, Work::Build(_)))
            .map(|request| request.package.clone())
            .collect();
        self.start_builds(requests, false);
        let mut failed = false;
        for package in packages {
            let words = if asked.contains(&package) {
                match self.builds.wait(&package, target, || ()) {
                    Some(BuildEnd::Success(_)) => "would install".to_owned(),
                    Some(BuildEnd::Failure(record)) => {
                        failed = true;
                        format!("would fail: {}", failure_words(&record))
                    }
                    Some(BuildEnd::Problem(words)) => {
                        failed = true;
                        format!("would fail: {words}")
                    }
                    Some(BuildEnd::Interrupted) => return Err(Died(Status(130))),
                    None => {
                        failed = true;
                        "would fail: nothing can be built here".to_owned()
                    }
                }
            } else {
                let facts = self.read_conf_or_die(&package, target, None, Strictness::Lenient)?;
                match &facts.conf.excluded {
                    Some(rule) => format!("would be skipped: {}={}", rule.directive, rule.value),
                    None => {
                        failed = true;
                        "would fail: its dkms.conf is wrong".to_owned()
                    }
                }
            };
            let (kernel, arch) = (&target.kernel, &target.arch);
            self.console
                .line(format_args!("{package}, {kernel}, {arch}: {words}"));
        }
        Ok(failed)
    }

    /// The packages that autoinstall would choose, be they installed or not, or the package of
    /// the command line.
    fn packages_to_check(&mut self, target: &Target) -> Vec<PackageId> {
        let module = self.arguments.module.clone();
        let version = self.arguments.module_version.clone();
        let mut packages = self.newest_packages(&Selection {
            module: &module,
            version: &version,
            ..Selection::default()
        });
        if module.is_empty() {
            packages.retain(|package| {
                self.silent_facts(package, target)
                    .is_none_or(|facts| facts.conf.autoinstall)
            });
        }
        packages
    }
}

fn failure_words(record: &kiln_cache::ActionRecord) -> String {
    match &record.status {
        kiln_cache::Status::Failure { cause, .. } => cause.clone(),
        kiln_cache::Status::Success => String::new(),
    }
}
