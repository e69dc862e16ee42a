//! `dkms uninstall` and `dkms unbuild`: takes a package's modules away from a kernel and puts
//! the kernel's own back.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_durable::regular;
use kiln_files::{Guard, Suspicion};
use kiln_kernel::{package::PackageId, sizes};

use super::{
    Session,
    confs::{Known, Strictness},
    console::Died,
    depmod::When,
    install::{Ending, within},
    sanity::{Relation, relation},
    target::Target,
};

impl Session {
    /// `dkms uninstall`, for each kernel of the command.
    ///
    /// # Errors
    /// Ends as the last one did.
    pub(crate) fn uninstall_all(&mut self, package: &PackageId) -> Result<(), Died> {
        self.lock_package(package)?;
        self.find_all_targets_again();
        for (index, target) in self.targets.clone().iter().enumerate() {
            if index > 0 {
                self.console.line("");
            }
            self.maybe_uninstall(package, target)?;
        }
        Ok(())
    }

    /// `dkms unbuild`, for each kernel of the command.
    ///
    /// # Errors
    /// Ends as the last one did.
    pub(crate) fn unbuild_all(&mut self, package: &PackageId) -> Result<(), Died> {
        self.lock_package(package)?;
        self.find_all_targets_again();
        for (index, target) in self.targets.clone().iter().enumerate() {
            if index > 0 {
                self.console.line("");
            }
            self.maybe_uninstall(package, target)?;
            self.maybe_unbuild(package, target);
        }
        Ok(())
    }

    /// Takes a package away from a kernel, if it is there.
    ///
    /// # Errors
    /// Ends as [`Session::do_uninstall`].
    pub(crate) fn maybe_uninstall(
        &mut self,
        package: &PackageId,
        target: &Target,
    ) -> Result<(), Died> {
        if self.is_installed(package, target) {
            let own = self.transaction.is_none();
            self.begin(target)?;
            let result = self.do_uninstall(package, target, Ending::Now);
            if own {
                self.end_transaction();
            }
            return result;
        }
        if !self.is_exclusive(package, target) {
            self.console.line(format_args!(
                "Module {package} is not installed for kernel {target}. Skipping..."
            ));
        }
        Ok(())
    }

    /// Whether the package says for which kernels it is: that it is not installed for one of
    /// them is then no news.
    fn is_exclusive(&mut self, package: &PackageId, target: &Target) -> bool {
        let conf = self.tree.source(package).join("dkms.conf");
        if !conf.is_file() {
            return false;
        }
        self.silent_facts_of(package, target, &conf)
            .is_some_and(|facts| facts.conf.states_exclusive)
    }

    /// Removes what was built for a kernel, if it is there.
    pub(crate) fn maybe_unbuild(&mut self, package: &PackageId, target: &Target) {
        if self.tree.is_built(package, target) {
            self.do_unbuild(package, target);
        } else {
            self.console.line(format_args!(
                "Module {package} is not built for kernel {target}. Skipping..."
            ));
        }
    }

    /// Removes what was built for a kernel.
    pub(crate) fn do_unbuild(&mut self, package: &PackageId, target: &Target) {
        self.remove_tree(&self.tree.base(package, target));
        let kernel = self.tree.version(package).join(target.kernel.as_str());
        if !has_directories(&kernel) {
            self.remove_tree(&kernel);
        }
    }

    /// Takes a package away from a kernel, in the open transaction.
    ///
    /// # Errors
    /// Ends with 4, 6 or 8.
    pub(crate) fn do_uninstall(
        &mut self,
        package: &PackageId,
        target: &Target,
        ending: Ending,
    ) -> Result<(), Died> {
        self.console
            .line(format_args!("Module {package} for kernel {target}:"));
        let facts = self.read_conf_or_die(package, target, None, Strictness::Lenient)?;
        self.judge_change(package, target, &facts, &["POST_REMOVE"])?;
        let originals = self.tree.originals(package, target);
        let link = self.tree.active(package, target);
        let base = self.tree.base(package, target);
        let active =
            self.changes().read_link(&link).is_some() && self.changes().resolve(&link) == base;
        if active {
            self.console
                .line("Before uninstall, this module version was ACTIVE on this kernel.");
            self.remove_weak_modules(package, target, &facts);
            for index in 0..facts.conf.modules.len() {
                self.uninstall_module(package, target, &facts, index)?;
            }
            let unlinked = self.changes().remove(&link);
            self.recorded(unlinked)?;
        } else {
            self.console
                .line("This module version was INACTIVE for this kernel.");
        }
        let removed_originals = active
            && self.changes().is_directory(&originals)
            && self.link_on_the_way(&originals).is_none()
            && !self.has_foreign_original(&originals);
        if removed_originals {
            let removed = self.changes().remove_tree(&originals);
            self.recorded(removed)?;
        }
        let module = self.tree.module(package);
        for parent in [
            originals.parent(),
            Some(module.join("original_module").as_path()),
        ]
        .into_iter()
        .flatten()
        {
            let pruned = self.changes().prune(parent, &module);
            self.recorded(pruned)?;
        }
        if ending == Ending::Now {
            self.commit()?;
        }
        self.run_script(
            package,
            Some(target),
            "post_remove",
            facts.hook("POST_REMOVE"),
        )?;
        match (ending, self.depmod) {
            (_, When::Delayed) => {}
            (Ending::Later, _) => self.say_depmod(target),
            (Ending::Now, _) => {
                // If it was killed, whoever changes this kernel next runs it.
                if self.run_depmod(target) <= 128 {
                    self.finish(target)?;
                }
            }
        }
        if removed_originals {
            self.console.line(format_args!(
                "Removing original module(s) from DKMS tree for kernel {target}"
            ));
        }
        Ok(())
    }

    /// Records one module's way out of the kernel's directory, and the original's way back.
    fn uninstall_module(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        index: usize,
    ) -> Result<(), Died> {
        let name = facts.conf.modules[index].dest_name.as_str();
        let directory = self.kernel_directory(target);
        let suffix = self.suffix(target);
        match self.actual_destination(package, target, facts, index) {
            Some((place, installed)) => {
                self.console.line(format_args!(
                    "Deleting {}{place}/{name}{suffix}",
                    directory.display()
                ));
                let parent = within(&directory, &place);
                for path in self.files_of_module(&parent, name) {
                    if path != installed && !self.is_own(package, target, name, &path) {
                        self.console.line(format_args!(
                            "Keeping {}, which dkms has not installed",
                            path.display()
                        ));
                        continue;
                    }
                    let removed = self.changes().remove(&path);
                    self.recorded(removed)?;
                }
                if !self.distribution.asks_rpm() || !owned_by_rpm(&directory, &place) {
                    let pruned = self.changes().prune(&parent, &directory);
                    self.recorded(pruned)?;
                }
            }
            None => self.console.line(format_args!(
                "Module {name}{suffix} was not found within {}/",
                directory.display()
            )),
        }
        self.restore_originals(package, target, facts, index)
    }

    fn restore_originals(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        index: usize,
    ) -> Result<(), Died> {
        let module = &facts.conf.modules[index];
        let name = module.dest_name.as_str();
        let directory = self.kernel_directory(target);
        let suffix = self.suffix(target);
        let originals = self.tree.originals(package, target);
        if let Some(link) = self.link_on_the_way(&originals) {
            let link = link.display();
            self.console.warn(&[&format!(
                "No original module is restored: {link} is a link."
            )]);
            return Ok(());
        }
        if self.changes().is_directory(&originals) {
            let files = self.changes().files_below(&originals).unwrap_or_default();
            let start = format!("{name}.");
            for origin in files {
                let file = origin
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if !file.starts_with(&start) || !file.ends_with(".origin") {
                    continue;
                }
                let archived = origin.with_extension("");
                let changes = self.changes();
                if !changes.is_file(&archived) && changes.read_link(&archived).is_none() {
                    continue;
                }
                if !self.may_go_back(&archived) || !self.may_go_back(&origin) {
                    continue;
                }
                let opened = self.changes().open(&origin);
                let read = opened.and_then(|file| regular::read_opened(&file, sizes::NOTE));
                let text = match read {
                    Ok(text) => String::from_utf8_lossy(&text).into_owned(),
                    Err(error) => {
                        let said = format!("cannot read {}: {error}.", origin.display());
                        self.console.warn(&[&said]);
                        continue;
                    }
                };
                let said = text.lines().next().unwrap_or_default();
                if !self.is_place_in(&directory, Path::new(said)) {
                    self.console.warn(&[&format!(
                        "Bad original location '{said}' in {}",
                        origin.display()
                    )]);
                    continue;
                }
                let said = Path::new(said);
                if self.is_taken(said) {
                    self.keep_both(package, target, &archived, said)?;
                } else {
                    self.console.line(format_args!(
                        "Restoring archived original module {}",
                        said.display()
                    ));
                    let restored = self.changes().rename(&archived, said);
                    self.recorded(restored)?;
                }
                let removed = self.changes().remove(&origin);
                self.recorded(removed)?;
            }
            if let Some(kernel) = originals.parent() {
                let pruned = self.changes().prune_tree(kernel);
                self.recorded(pruned)?;
            }
        }
        // Older versions of dkms did not write down where an original had been.
        if let Some(archived) = suffix.find(&originals, name, |path| self.is_there(path)) {
            let to = within(&directory, &module.dest_location)
                .join(archived.file_name().unwrap_or_default());
            let noted = PathBuf::from(format!("{}.origin", archived.display()));
            let is_foreign = foreign(&archived).is_some() || foreign(&noted).is_some();
            if is_foreign {
                // Where there is a note it has been said.
                if !self.is_there(&noted) {
                    self.may_go_back(&archived);
                }
                return Ok(());
            }
            if self.is_taken(&to) || !self.is_place_in(&directory, &to) {
                return self.keep_both(package, target, &archived, &to);
            }
            self.console.line("Restoring archived original module");
            let restored = self.changes().rename(&archived, &to);
            self.recorded(restored)?;
        }
        Ok(())
    }

    /// Whether an archived original, or the note of where it was, is still what was put there; says why not. It stays in
    /// the DKMS tree then: whoever could have changed it would have root install a module of theirs.
    fn may_go_back(&mut self, path: &Path) -> bool {
        let Some(suspicion) = foreign(path) else {
            return true;
        };
        self.console.warn(&[
            &format!("An archived original module is not restored, for others could have changed it: {suspicion}."),
            &format!("It stays in {}.", path.parent().unwrap_or(path).display()),
        ]);
        false
    }

    /// Whether others could have changed one of the archived originals, or a note of where one was.
    fn has_foreign_original(&mut self, originals: &Path) -> bool {
        let files = self.changes().files_below(originals).unwrap_or_default();
        files.iter().any(|path| foreign(path).is_some())
    }

    /// Whether a place is below a kernel's directory, with no way out of it.
    fn is_place_in(&mut self, kernel: &Path, place: &Path) -> bool {
        let Ok(below) = place.strip_prefix(kernel) else {
            return false;
        };
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        below.file_name().is_some()
            && below.components().all(is_plain)
            && self.stays_within(kernel, place.parent().unwrap_or(place))
    }

    /// Leaves a module where it came after another from the same place was archived, such as that of a newer build of
    /// the kernel; the archived one stays in the DKMS tree.
    fn keep_both(
        &mut self,
        package: &PackageId,
        target: &Target,
        archived: &Path,
        newer: &Path,
    ) -> Result<(), Died> {
        let superseded = self.tree.superseded(package, target);
        let place = self.free_name(&superseded, archived);
        self.console.warn(&[
            &format!(
                "{} has come since its original was archived, and stays.",
                newer.display()
            ),
            &format!("The archived original is {} now.", place.display()),
        ]);
        let kept = self.changes().rename(archived, &place);
        self.recorded(kept)
    }

    /// Where a module of the package is installed: the place whose module has its version, and that module's file.
    pub(crate) fn actual_destination(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        index: usize,
    ) -> Option<(String, PathBuf)> {
        let name = facts.conf.modules[index].dest_name.as_str();
        let suffix = self.suffix(target);
        let directory = self.kernel_directory(target);
        for place in facts.possible_destinations(index) {
            let parent = within(&directory, place);
            let Some(installed) = suffix.find(&parent, name, |path| self.is_there(path)) else {
                continue;
            };
            if self.is_own(package, target, name, &installed) {
                return Some((place.to_owned(), installed));
            }
        }
        None
    }

    /// Whether an installed module is the package's: it has the content or version of what was built.
    pub(crate) fn is_own(
        &mut self,
        package: &PackageId,
        target: &Target,
        name: &str,
        installed: &Path,
    ) -> bool {
        let built = self.tree.active(package, target).join("module");
        let suffix = self.suffix(target);
        match suffix.find(&built, name, |path| self.is_there(path)) {
            None => self.version_info(installed).version.is_empty(),
            Some(built) => {
                self.same_content(&built, installed)
                    || matches!(
                        relation(&self.version_info(&built), &self.version_info(installed)),
                        Relation::Same | Relation::SameVersion
                    )
            }
        }
    }

    /// A module's files in a directory, compressed and not, as they will be.
    pub(crate) fn files_of_module(&self, directory: &Path, name: &str) -> Vec<PathBuf> {
        ["", ".gz", ".xz", ".zst"]
            .iter()
            .map(|ending| directory.join(format!("{name}.ko{ending}")))
            .filter(|path| self.is_there(path) || path.is_symlink())
            .collect()
    }
}

/// What shows that an archived file is not the user's alone, if it is there yet.
fn foreign(path: &Path) -> Option<Suspicion> {
    let found = path.symlink_metadata().ok()?;
    Guard::of_process().inspect_own(path, &found).err()
}

/// Whether a directory has directories in it.
fn has_directories(path: &Path) -> bool {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Whether a package of rpm's brought a directory, which then stays.
fn owned_by_rpm(directory: &Path, place: &str) -> bool {
    Command::new("rpm")
        .args(["-qf", place.trim_start_matches('/')])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
