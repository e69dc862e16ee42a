//! `dkms install`: puts a package's modules where a kernel finds them, all at once.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_durable::regular;
use kiln_install::TransactionError;
use kiln_kernel::{module::ModuleInfo, package::PackageId, sizes};

use super::{
    Session,
    compression::info_of,
    confs::{Known, Strictness},
    console::{Died, Status},
    target::Target,
};

/// Packages and versions that are always installed, whatever the kernel has.
pub(crate) const FORCED: &str = "/usr/share/dkms/modules_to_force_install";

/// When recorded changes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Now, and depmod is run.
    Now,
    /// By the caller, with other changes; it is said as if it were done.
    Later,
}

impl Session {
    /// `dkms install`, for each kernel of the command; the last one's status counts.
    ///
    /// # Errors
    /// Ends as the last installation did.
    pub(crate) fn install_all(&mut self) -> Result<(), Died> {
        let targets = self.targets.clone();
        self.lock_said_package()?;
        self.prefetch_command(&targets);
        let mut last = Ok(());
        for target in targets {
            last = self.subshell(|session| {
                let result = session.maybe_install(None, &target, Ending::Now);
                session.end_transaction();
                result.map(drop)
            });
        }
        last
    }

    /// Installs a package for a kernel, the command's own if none is given, unless it is
    /// installed already. Gives the package.
    ///
    /// # Errors
    /// Ends as [`Session::do_install`].
    pub(crate) fn maybe_install(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        ending: Ending,
    ) -> Result<Option<PackageId>, Died> {
        let said = package.cloned().or_else(|| self.said_package().ok());
        if let Some(package) = &said
            && self.tree.is_installed(package, target)
        {
            if !self.force {
                self.console.line(format_args!(
                    "Module {package} already installed on kernel {target}, skip. You may override by specifying --force."
                ));
                return Ok(None);
            }
            self.begin(target)?;
            self.do_uninstall(package, target, Ending::Later)?;
            self.console.line("");
        }
        self.do_install(said.as_ref(), target, ending).map(Some)
    }

    /// Installs a package for a kernel; builds it first if it must.
    ///
    /// # Errors
    /// Ends with 5, 6, 8 or 101, or as the build did. The kernel's modules are then as they
    /// were, and what was recorded before is all that is.
    pub(crate) fn do_install(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        ending: Ending,
    ) -> Result<PackageId, Died> {
        let before = self.transaction.as_ref().map(|(_, t)| t.checkpoint());
        let installed = self.build_and_install(package, target, ending);
        if installed.is_err()
            && let Some((_, transaction)) = &mut self.transaction
        {
            match before {
                Some(before) => transaction.back_to(before),
                None => transaction.forget(),
            }
        }
        installed
    }

    fn build_and_install(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        ending: Ending,
    ) -> Result<PackageId, Died> {
        let package = match package {
            Some(package) if self.tree.is_built(package, target) => package.clone(),
            _ => self.do_build(package, target)?,
        };
        let forced = (self.force, self.version_override);
        match forced_installation(&package) {
            Some(Forced::Install) => {
                self.force = true;
                self.console
                    .line(format_args!("Forcing installation of {}", package.name));
            }
            Some(Forced::VersionOverride) => {
                self.version_override = true;
                self.console
                    .line(format_args!("Forcing version override of {}", package.name));
            }
            None => {}
        }
        let directory = self.kernel_directory(target);
        if !directory.exists() {
            return Err(self.console.die(
                6,
                &[
                    &format!("The directory {} doesn't exist.", directory.display()),
                    "You cannot install a module onto a non-existent kernel.",
                ],
            ));
        }
        let facts = self.read_conf_or_die(&package, target, None, Strictness::Strict)?;
        let built = self.tree.base(&package, target).join("module");
        self.trust
            .judge_all_of(&mut self.console, "what was built", &built)?;
        self.judge_change(&package, target, &facts, &["PRE_INSTALL", "POST_INSTALL"])?;
        let suffix = self.suffix(target);
        for index in facts.buildable() {
            let name = &facts.conf.modules[index].dest_name;
            let Some(module) = suffix.find(&built, name, is_own_file) else {
                return Err(self.missing_module(name, &built));
            };
            self.must_be_for(target, &module)?;
        }
        self.begin(target)?;
        if self.is_installed(&package, target) {
            return Err(self.console.die(
                5,
                &[&format!(
                    "This module/version combo is already installed for kernel {target}."
                )],
            ));
        }
        for index in facts.buildable() {
            let destination = within(&directory, &facts.destinations[index]);
            if !self.stays_within(&directory, &destination) {
                let said = format!(
                    "{} leads out of {}.",
                    destination.display(),
                    directory.display()
                );
                return Err(self
                    .console
                    .die(6, &[&said, "No module is installed through such a link."]));
            }
        }
        if self.arguments.rpm_safe_upgrade {
            self.force = true;
        }
        let status = self.run_script(
            &package,
            Some(target),
            "pre_install",
            facts.hook("PRE_INSTALL"),
        )?;
        if status != 0 && !self.force {
            return Err(self.console.die(
                101,
                &[
                    "pre_install failed, aborting install.",
                    "You may override by specifying --force.",
                ],
            ));
        }
        let mut installed = 0;
        for index in facts.buildable().collect::<Vec<_>>() {
            if self.may_install(&package, target, &facts, index) {
                self.install_module(&package, target, &facts, index)?;
                installed += 1;
            }
        }
        if !facts.conf.modules.is_empty() && installed == 0 {
            return Err(self.console.die(6, &["Installation aborted."]));
        }
        let link = self.tree.active(&package, target);
        let points_at = format!("{}/{}/{}", package.version, target.kernel, target.arch);
        let linked = self.changes().put_link(Path::new(&points_at), &link);
        self.recorded(linked)?;
        match ending {
            Ending::Later => {}
            Ending::Now => {
                self.commit_installation(&package, target, &facts)?;
                self.after_commit(&package, target, &facts)?;
                self.console_depmod_or_roll_back(&package, target)?;
            }
        }
        (self.force, self.version_override) = forced;
        if ending == Ending::Now {
            self.modprobe(target);
            self.rebuild_dependents(target)?;
        }
        Ok(package)
    }

    /// Makes the recorded changes; dkms's words for a failure are those of its first copy.
    fn commit_installation(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
    ) -> Result<(), Died> {
        if self.cancel.is_cancelled() {
            self.changes().forget();
            return Err(Died(Status(130)));
        }
        let Err(error) = self.changes().commit() else {
            return Ok(());
        };
        self.changes().forget();
        self.console.note(crate::report::chain(&error));
        let built = self.tree.base(package, target).join("module");
        let suffix = self.suffix(target);
        let first = facts.buildable().next().and_then(|index| {
            let name = &facts.conf.modules[index].dest_name;
            suffix.find(&built, name, Path::exists)
        });
        let first = first.unwrap_or(built);
        Err(self
            .console
            .die(6, &[&format!("Copying '{}' failed", first.display())]))
    }

    /// What comes between the files and depmod: weak modules and POST_INSTALL.
    pub(crate) fn after_commit(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
    ) -> Result<(), Died> {
        self.add_weak_modules(package, target, facts);
        self.run_script(
            package,
            Some(target),
            "post_install",
            facts.hook("POST_INSTALL"),
        )?;
        Ok(())
    }

    fn console_depmod_or_roll_back(
        &mut self,
        package: &PackageId,
        target: &Target,
    ) -> Result<(), Died> {
        if self.run_depmod(target) == 0 {
            return self.finish(target);
        }
        Err(self.roll_back(package, target))
    }

    /// Takes a package out again because depmod could not do with it.
    pub(crate) fn roll_back(&mut self, package: &PackageId, target: &Target) -> Died {
        if let Err(died) = self.do_uninstall(package, target, Ending::Now) {
            return died;
        }
        self.console.die(
            6,
            &[
                "Problems with depmod detected. Automatically uninstalling this module.",
                "Install Failed (depmod problems). Module rolled back to built state.",
            ],
        )
    }

    /// Makes sure that a module is one, for this kernel: not each was built here.
    ///
    /// # Errors
    /// Ends with 6 unless forced.
    fn must_be_for(&mut self, target: &Target, module: &Path) -> Result<(), Died> {
        let wanted = target.kernel.as_str();
        let info = info_of(module);
        let problem = match info.as_ref().map(ModuleInfo::kernel_release) {
            Ok(Some(release)) if release == wanted || self.compiles(target, release) => {
                return Ok(());
            }
            Ok(Some(release)) => format!("was built for kernel {release}, not for {wanted}."),
            Ok(None) => "does not say for which kernel it was built.".to_owned(),
            Err(reason) => format!("is not a kernel module: {reason}."),
        };
        if self.force {
            return Ok(());
        }
        let said = format!("{} {problem}", module.display());
        Err(self
            .console
            .die(6, &[&said, "You may override by specifying --force."]))
    }

    /// Whether the headers that a kernel has make modules for a release, whatever the kernel is called.
    fn compiles(&self, target: &Target, release: &str) -> bool {
        let tree = self.kernel_tree(target);
        tree.is_some_and(|tree| tree.uts_release.as_str() == release)
    }

    fn missing_module(&mut self, name: &str, built: &Path) -> Died {
        let said = format!("Missing module {name} in {}", built.display());
        self.console.die(6, &[&said])
    }

    /// Records one module's way into the kernel's directory, and the old one's way out.
    fn install_module(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        index: usize,
    ) -> Result<(), Died> {
        let name = facts.conf.modules[index].dest_name.as_str();
        let directory = self.kernel_directory(target);
        let destination = within(&directory, &facts.destinations[index]);
        let suffix = self.suffix(target);
        let originals = self.tree.originals(package, target);
        let link = self.tree.active(package, target);
        let active = self.changes().read_link(&link).is_some();
        let stored = suffix.find(&originals, name, |path| self.is_there(path));
        if active && stored.is_some() {
            self.console
                .line("An original module was already stored during a previous install");
        }
        if !active {
            let mut candidates: Vec<PathBuf> = [
                directory.join("extra"),
                directory.join("updates"),
                destination.clone(),
            ]
            .iter()
            .filter_map(|place| suffix.find(place, name, |path| self.is_there(path)))
            .collect();
            candidates.extend(self.modules_named(target, name));
            if let Some(original) = candidates
                .into_iter()
                .find(|path| self.changes().is_file(path))
            {
                self.archive(&original, &originals)?;
            }
        }
        // What else is where the module goes would be overwritten, or taken away with it.
        for other in self.files_of_module(&destination, name) {
            let is_old = active && self.is_own(package, target, name, &other);
            if !is_old && self.is_file_or_link(&other) {
                self.archive(&other, &originals)?;
            }
        }
        let built = self.tree.base(package, target).join("module");
        // PRE_INSTALL may have taken it away.
        let Some(from) = suffix.find(&built, name, is_own_file) else {
            return Err(self.missing_module(name, &built));
        };
        let to = destination.join(from.file_name().unwrap_or_default());
        self.console.line(format_args!(
            "Installing {}{}/{}",
            directory.display(),
            facts.destinations[index],
            from.file_name().unwrap_or_default().to_string_lossy()
        ));
        let put = if self.variables.value("symlink_modules").is_empty() {
            self.changes().put(&from, &to)
        } else {
            self.changes().put_link(&from, &to)
        };
        put.map_err(|error| {
            let words = crate::report::chain(&error);
            self.console.die(
                6,
                &[&format!("Copying '{}' failed", from.display()), &words],
            )
        })
    }

    /// Whether a path is a file, or a link that leads to one or nowhere, as it will be.
    fn is_file_or_link(&mut self, path: &Path) -> bool {
        let changes = self.changes();
        changes.is_file(path) || changes.read_link(path).is_some() && !changes.exists(path)
    }

    /// Records that a kernel's own module is put aside until the package is uninstalled.
    fn archive(&mut self, original: &Path, originals: &Path) -> Result<(), Died> {
        self.console.line(format_args!(
            "Found pre-existing {}, archiving for uninstallation",
            original.display()
        ));
        let place = self.free_name(originals, original);
        let moved = self.changes().rename(original, &place);
        self.recorded(moved)?;
        let mut origin = place.into_os_string();
        origin.push(".origin");
        let origin = PathBuf::from(origin);
        let noted = self
            .changes()
            .put_bytes(format!("{}\n", original.display()), &origin);
        self.recorded(noted)
    }

    /// Where a file can go in a directory under its own name, or that with a number.
    pub(crate) fn free_name(&mut self, directory: &Path, file: &Path) -> PathBuf {
        let own = file.file_name().unwrap_or_default().to_string_lossy();
        let mut place = directory.join(&*own);
        let mut number = 1;
        while self.is_taken(&place) {
            number += 1;
            place = directory.join(format!("{own}.{number}"));
        }
        place
    }

    /// The kernel's modules of a name, as they will be.
    pub(crate) fn modules_named(&mut self, target: &Target, name: &str) -> Vec<PathBuf> {
        let names = self.suffix(target).names(name);
        match &self.transaction {
            Some((_, transaction)) => transaction.find(&names).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Whether a path leads to something, as it will be.
    pub(crate) fn is_there(&self, path: &Path) -> bool {
        match &self.transaction {
            Some((_, transaction)) => transaction.exists(path),
            None => path.exists(),
        }
    }

    /// Whether a path is anything's, be it a link that leads nowhere, as it will be.
    pub(crate) fn is_taken(&mut self, path: &Path) -> bool {
        self.is_there(path) || self.changes().read_link(path).is_some()
    }

    /// Whether a path below a kernel's directory leads there, as it will be: a link can lead to the kernel's headers,
    /// or to where whoever may write to a directory on the way likes.
    pub(crate) fn stays_within(&mut self, kernel: &Path, path: &Path) -> bool {
        let changes = self.changes();
        changes.resolve(path).starts_with(changes.resolve(kernel))
    }

    /// Whether a package is built and in use for a kernel, as it will be.
    pub(crate) fn is_installed(&self, package: &PackageId, target: &Target) -> bool {
        let Some((_, transaction)) = &self.transaction else {
            return self.tree.is_installed(package, target);
        };
        let link = self.tree.active(package, target);
        self.tree.is_built(package, target)
            && transaction.read_link(&link).is_some()
            && transaction.resolve(&link) == self.tree.base(package, target)
    }

    /// A recorded change, or the end that it means where it cannot be.
    pub(crate) fn recorded(&mut self, change: Result<(), TransactionError>) -> Result<(), Died> {
        change.map_err(|error| self.transaction_failed(6, &error))
    }

    /// Loads what the machine's devices ask for, if that is wanted and the kernel runs.
    pub(crate) fn modprobe(&mut self, target: &Target) {
        if self.variables.value("modprobe_on_install").is_empty()
            || target.kernel.as_str() != super::targets::uname("-r")
        {
            return;
        }
        let script = "find /sys/devices -name modalias -print0 | xargs -0 cat | sort -u | xargs modprobe -a -b -q";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        super::scripts::run(&mut self.console, command);
        if Path::new("/lib/systemd/system/systemd-modules-load.service").is_file() {
            let mut command = Command::new("systemctl");
            command.args(["restart", "systemd-modules-load.service"]);
            super::scripts::run(&mut self.console, command);
        }
    }
}

/// Whether a path is a file, and no link: whoever made a link may not be allowed to read what it leads to.
fn is_own_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|there| there.is_file())
}

/// A directory below another, where the second is told with a slash in front.
pub(crate) fn within(directory: &Path, below: &str) -> PathBuf {
    directory.join(below.trim_start_matches('/'))
}

/// How a package is forced on every kernel.
enum Forced {
    Install,
    VersionOverride,
}

fn forced_installation(package: &PackageId) -> Option<Forced> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FORCED)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let text: Vec<String> = files
        .iter()
        .filter_map(|path| regular::read_text_at_once(path, sizes::TEXT).ok())
        .collect();
    let name = package.name.as_str();
    text.iter()
        .flat_map(|text| text.split_whitespace())
        .find_map(|word| match word.strip_prefix(name)? {
            "" => Some(Forced::Install),
            "_version-override" => Some(Forced::VersionOverride),
            _ => None,
        })
}
