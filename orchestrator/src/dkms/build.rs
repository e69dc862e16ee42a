//! `dkms build`: one package for one kernel, from the cache or by a job, into the DKMS tree.

use std::fs;

use kiln_build::conf::ConfProblem;
use kiln_kernel::package::PackageId;

use super::{
    Session,
    builds::BuildEnd,
    confs::{Known, Strictness},
    console::{Console, Died, Status},
    steps::{Step, steps},
    target::Target,
};

impl Session {
    /// `dkms build`, for each kernel of the command; the last one's status counts.
    ///
    /// # Errors
    /// Ends as the last build did.
    pub(crate) fn build_all(&mut self) -> Result<(), Died> {
        let targets = self.targets.clone();
        self.lock_said_package()?;
        self.prefetch_command(&targets);
        let mut last = Ok(());
        for target in targets {
            last = self.subshell(|session| session.maybe_build(None, &target));
        }
        last
    }

    /// Builds a package for a kernel, the command's own if none is given, unless it is built.
    ///
    /// # Errors
    /// Ends as [`Session::do_build`].
    pub(crate) fn maybe_build(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
    ) -> Result<(), Died> {
        let said = package.cloned().or_else(|| self.said_package().ok());
        if let Some(package) = &said
            && self.tree.is_built(package, target)
        {
            if self.force {
                return self.build_anew(&package.clone(), target);
            }
            self.console.line(format_args!(
                "Module {package} already built for kernel {target}, skip. You may override by specifying --force."
            ));
            return Ok(());
        }
        self.do_build(said.as_ref(), target).map(drop)
    }

    /// Builds what is built already. What there was stays until the new build takes its place.
    ///
    /// # Errors
    /// Ends as [`Session::do_build`].
    pub(crate) fn build_anew(&mut self, package: &PackageId, target: &Target) -> Result<(), Died> {
        self.make_build(Some(package), target, Before::Replaced)
            .map(drop)
    }

    /// Locks the package of the command line, if it names one.
    ///
    /// # Errors
    /// Ends with 1 if the tree cannot be locked.
    pub(crate) fn lock_said_package(&mut self) -> Result<(), Died> {
        match self.said_package() {
            Ok(package) => self.lock_package(&package),
            Err(()) => Ok(()),
        }
    }

    /// The package of the command line, if it names one.
    pub(crate) fn said_package(&self) -> Result<PackageId, ()> {
        PackageId::new(&self.arguments.module, &self.arguments.module_version).map_err(drop)
    }

    /// Builds a package for a kernel into the tree; registers the command's own first if it
    /// must. `package` is none for the command's.
    ///
    /// # Errors
    /// Ends with 3, 5, 6, 7, 8, 10, 13, 21 or 77, or with the status of a build script.
    pub(crate) fn do_build(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
    ) -> Result<PackageId, Died> {
        self.make_build(package, target, Before::Refused)
    }

    fn make_build(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        before: Before,
    ) -> Result<PackageId, Died> {
        let said = package.cloned().or_else(|| self.said_package().ok());
        let package = match said {
            Some(package) if self.tree.is_added(&package) => package,
            _ => {
                let (package, _) = self.add()?;
                self.console.line("");
                package
            }
        };
        let base = self.tree.base(&package, target);
        if base.is_dir() && before == Before::Refused {
            return Err(self.console.die(
                3,
                &[
                    &format!("This module/version has already been built on: {}", target.kernel),
                    &format!(
                        "Directory {} already exists. Use the dkms remove function before trying to build again.",
                        base.display()
                    ),
                ],
            ));
        }
        let facts = self.read_conf_or_die(&package, target, None, Strictness::Strict)?;
        if facts.conf.excluded.is_some() {
            return Err(self.console.die_warning(
                Status::EXCLUDED.0,
                &[
                    &format!("The {}/dkms.conf", base.display()),
                    &format!("for module {package} includes BUILD_EXCLUSIVE directives"),
                    "which do not match this kernel/arch/config for any modules.",
                    "This indicates that it should not be built.",
                ],
            ));
        }
        let source = self.tree.source(&package);
        if fs::read_dir(&source).is_ok_and(|entries| visible(entries) < 2) {
            return Err(self.console.die(
                8,
                &[
                    &format!(
                        "The directory {} does not appear to have module source located within it.",
                        source.display()
                    ),
                    "Build halted.",
                ],
            ));
        }
        self.must_have_environment()?;
        self.prepare_kernel_and_signing(target)?;
        self.check_dependencies(&package, target, &facts)?;
        let steps = steps(self, &package, target, &facts);
        let end = self.outcome(&package, target, &facts, &steps)?;
        let record = match end {
            BuildEnd::Success(record) => record,
            BuildEnd::Failure(record) => {
                return Err(self.build_failed(&package, target, &facts, &steps, &record));
            }
            BuildEnd::Problem(words) => {
                return Err(self.build_impossible(&package, target, &steps, &words));
            }
            BuildEnd::Interrupted => return Err(Died(Status(130))),
        };
        self.store_build(&package, target, &facts, &steps, &record)?;
        if facts.conf.build_depends_rebuild && !self.force {
            self.note_dependencies(&package, target, &facts);
        }
        Ok(package)
    }

    /// Waits for the build, with the first step announced meanwhile.
    fn outcome(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        steps: &[Step],
    ) -> Result<BuildEnd, Died> {
        if let Some(patch) = facts
            .conf
            .patches
            .iter()
            .find(|patch| format!("patches/{}", patch.path).contains("/../"))
        {
            self.report_problem(package, target);
            return Err(self.console.die(
                5,
                &[&format!(
                    "Patch {} as specified in dkms.conf contains '..' path component.",
                    patch.path
                )],
            ));
        }
        if let Some(problem) = facts
            .conf
            .problems
            .iter()
            .find(|problem| matches!(problem, ConfProblem::Escapes { .. }))
        {
            return Err(self.console.die(8, &[&format!("dkms.conf: {problem}.")]));
        }
        if !self.builds.knows(package, target)
            && let Some(requests) = self.requests(&[(package.clone(), target.clone())])
        {
            self.start_builds(requests, true);
        }
        let first = steps
            .first()
            .filter(|_| self.patches_are_there(package, facts));
        if let Some(step) = first {
            self.announce(&step.command, &step.title);
        }
        // dkms's own tests compare every byte, and dkms knows them by their names.
        let name = package.name.as_str();
        let compared = name.starts_with("dkms") && name.ends_with("_test");
        let quiet = self.is_verbose() || self.console.is_quiet() || self.console.is_holding();
        let dots = first.is_some() && !quiet && !compared;
        let end = self.builds.wait(package, target, || {
            if dots {
                Console::dot();
            }
        });
        self.builds.forget(package, target);
        Ok(end.unwrap_or_else(|| BuildEnd::Problem(self.why_not_built())))
    }
}

/// What becomes of an earlier build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// There must be none.
    Refused,
    /// It stays until the new one is there.
    Replaced,
}

/// How many entries of a directory `ls` shows.
fn visible(entries: fs::ReadDir) -> usize {
    entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .count()
}
