//! `dkms preflight`, which dkms does not have: builds what autoinstall would build for a
//! kernel that is not booted, or not even installed, and reports. It installs nothing and
//! leaves the tree as it is; what was built is in the cache when its time comes.

use super::{
    Session,
    builds::{BuildEnd, Work},
    confs::Strictness,
    console::{Died, Status},
    target::Target,
    tree::{Selection, State},
};
use crate::{package::PackageId, version};

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
        let packages = self.newest_packages();
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

    /// The newest version of each module that wants to be installed by itself, or the package
    /// of the command line.
    fn newest_packages(&mut self) -> Vec<PackageId> {
        let module = self.arguments.module.clone();
        let version = self.arguments.module_version.clone();
        let selection = Selection {
            module: &module,
            version: &version,
            ..Selection::default()
        };
        let mut newest: Vec<PackageId> = Vec::new();
        for row in self.tree.rows(&selection) {
            if row.state == State::Broken {
                self.say_broken(&row.package);
                continue;
            }
            match newest
                .iter_mut()
                .find(|known| known.name == row.package.name)
            {
                None => newest.push(row.package),
                Some(known) => {
                    let order =
                        version::compare(known.version.as_str(), row.package.version.as_str());
                    if order.is_lt() {
                        *known = row.package;
                    }
                }
            }
        }
        if module.is_empty() {
            let target = self.first_target();
            newest.retain(|package| {
                self.silent_facts(package, &target)
                    .is_none_or(|facts| facts.conf.autoinstall)
            });
        }
        newest
    }
}

fn failure_words(record: &kiln_cache::ActionRecord) -> String {
    match &record.status {
        kiln_cache::Status::Failure { cause, .. } => cause.clone(),
        kiln_cache::Status::Success => String::new(),
    }
}
