//! `dkms autoinstall`: builds and installs whatever a kernel lacks, side by side, and changes
//! the kernel's modules once for all of it.
//!
//! What is said is what dkms says, in its order: packages whose dependencies are installed,
//! then those that depended on these, and so on. Builds have all been started before. What is
//! said of installing waits until the changes are made and depmod has seen them.

use std::{collections::BTreeMap, path::Path};

use kiln_kernel::{package::PackageId, version::compare_padded};

use super::{
    Session,
    confs::{Known, Strictness},
    console::{Died, Status},
    install::Ending,
    target::Target,
    tree::Selection,
};

/// How many of the console's words [`Session::say_depmod`] takes.
const DEPMOD_WORDS: usize = 2;

/// What becomes of the packages of one kernel.
#[derive(Default)]
struct Round {
    waiting: Vec<PackageId>,
    depends: BTreeMap<PackageId, Vec<String>>,
    known: Vec<String>,
    installed: Vec<String>,
    skipped: Vec<String>,
    failed: Vec<String>,
}

/// A package whose installation waits for depmod.
struct Member {
    package: PackageId,
    facts: Known,
    /// Where the console's words about its installation begin, and where those after the
    /// commit go; what is said of depmod then ends them.
    begins: usize,
    after_commit: usize,
}

impl Member {
    /// Where the console's words about its installation end.
    fn ends(&self) -> usize {
        self.after_commit + DEPMOD_WORDS
    }
}

impl Session {
    /// `dkms autoinstall` for one kernel. Gives whether anything was installed.
    ///
    /// # Errors
    /// Ends with 8, 11 or 21.
    pub(crate) fn autoinstall(&mut self, target: &Target) -> Result<bool, Died> {
        if Path::new("/etc/dkms/no-autoinstall").is_file() {
            self.console
                .line("Automatic installation of modules has been disabled.");
            return Ok(false);
        }
        self.recover(target)?;
        let mut round = self.round(target)?;
        if round.waiting.is_empty() {
            return Ok(false);
        }
        for package in round.waiting.clone() {
            self.lock_package(&package)?;
        }
        // Whoever had the locks may have installed them.
        let (done, waiting): (Vec<_>, Vec<_>) = round
            .waiting
            .drain(..)
            .partition(|package| self.tree.is_active(package, target));
        round.waiting = waiting;
        round
            .installed
            .extend(done.iter().map(|package| package.name.to_string()));
        if round.waiting.is_empty() {
            return Ok(false);
        }
        let before = round.installed.len();
        self.prefetch_round(&round, target);
        let result = self.install_round(&mut round, target);
        self.end_transaction();
        self.console.release();
        result?;
        self.sum_up(&round, target)?;
        Ok(round.installed.len() > before)
    }

    /// Finds what is to be installed: the newest version of each module, unless it is there.
    fn round(&mut self, target: &Target) -> Result<Round, Died> {
        let latest = self.newest_packages(&Selection::default());
        let mut round = Round {
            known: latest
                .iter()
                .map(|package| package.name.to_string())
                .collect(),
            ..Round::default()
        };
        for package in latest {
            if self.tree.is_active(&package, target) {
                round.installed.push(package.name.to_string());
                continue;
            }
            let conf = self.tree.source(&package).join("dkms.conf");
            let facts =
                self.read_conf_or_die(&package, target, Some(&conf), Strictness::Lenient)?;
            if facts.conf.autoinstall {
                round
                    .depends
                    .insert(package.clone(), facts.conf.build_depends.clone());
                round.waiting.push(package);
            }
        }
        Ok(round)
    }

    /// The newest version of each module. Complains about those that are broken.
    pub(crate) fn newest_packages(&mut self, selection: &Selection<'_>) -> Vec<PackageId> {
        let mut newest: Vec<PackageId> = Vec::new();
        for package in self.tree.packages(selection) {
            if self.tree.is_broken(&package) {
                self.console.error(&[
                    &format!(
                        "{package} is broken! Missing the source directory or the symbolic link pointing to it."
                    ),
                    "Manual intervention is required!",
                ]);
                continue;
            }
            if !self.tree.is_added(&package) {
                continue;
            }
            match newest.iter_mut().find(|known| known.name == package.name) {
                None => newest.push(package),
                Some(known) => {
                    if compare_padded(package.version.as_str(), known.version.as_str()).is_gt() {
                        *known = package;
                    }
                }
            }
        }
        newest
    }

    fn prefetch_round(&mut self, round: &Round, target: &Target) {
        let wanted: Vec<(PackageId, Target)> = round
            .waiting
            .iter()
            .filter(|package| !self.tree.is_built(package, target))
            .filter(|package| !self.builds.knows(package, target))
            .map(|package| (package.clone(), target.clone()))
            .collect();
        if let Some(requests) = self.requests(&wanted) {
            // A kernel's hook need not wait again for what is known not to compile.
            self.start_builds(requests, false);
        }
    }

    /// Starts the builds for several kernels, so that they fill the processors together.
    ///
    /// # Errors
    /// Ends where a conf cannot be read.
    pub(crate) fn prefetch_kernels(&mut self, targets: &[Target]) -> Result<(), Died> {
        if Path::new("/etc/dkms/no-autoinstall").is_file() {
            return Ok(());
        }
        self.console.hold();
        let mut wanted = Vec::new();
        for target in targets {
            let round = self.round(target)?;
            for package in round.waiting {
                if !self.tree.is_built(&package, target) {
                    wanted.push((package, target.clone()));
                }
            }
        }
        // Each kernel's turn says it again.
        self.console.take_back(0);
        self.console.release();
        if let Some(requests) = self.requests(&wanted) {
            self.start_builds(requests, false);
        }
        Ok(())
    }

    fn install_round(&mut self, round: &mut Round, target: &Target) -> Result<(), Died> {
        // Who is rebuilt after whom shows only when each is installed by itself.
        let one_by_one = self.any_rebuilds(target);
        let mut members: Vec<Member> = Vec::new();
        loop {
            for depends in round.depends.values_mut() {
                depends.retain(|name| {
                    !round.installed.contains(name) && !round.skipped.contains(name)
                });
            }
            let (ready, waiting): (Vec<_>, Vec<_>) = round
                .waiting
                .drain(..)
                .partition(|package| round.depends[package].is_empty());
            round.waiting = waiting;
            let before = members.len();
            let mut progress = false;
            for package in ready {
                if !self.tree.is_built(&package, target) {
                    self.prepare_kernel_and_signing(target)?;
                }
                self.console.line(format_args!(
                    "Autoinstall of module {package} for kernel {target}"
                ));
                let installed = self.subshell(|session| {
                    if one_by_one {
                        let result = session.maybe_install(Some(&package), target, Ending::Now);
                        session.end_transaction();
                        result.map(|_| None)
                    } else {
                        session.join(&package, target).map(Some)
                    }
                });
                match installed {
                    Ok(member) => {
                        members.extend(member);
                        round.installed.push(package.name.to_string());
                        progress = true;
                    }
                    Err(Died(Status(0))) => progress = true,
                    Err(Died(Status::EXCLUDED)) => {
                        round.skipped.push(package.name.to_string());
                        progress = true;
                    }
                    Err(Died(Status(130))) => return Err(Died(Status(130))),
                    Err(Died(Status(status))) => {
                        round.failed.push(format!("{}({status})", package.name));
                    }
                }
                self.console.line("");
            }
            self.commit_members(&mut members, before, round, target)?;
            if !progress {
                break;
            }
        }
        self.end_round(members, round, target)
    }

    /// Plans the installation of one package in the transaction of all.
    fn join(&mut self, package: &PackageId, target: &Target) -> Result<Member, Died> {
        let package = if self.tree.is_built(package, target) {
            package.clone()
        } else {
            self.do_build(Some(package), target)?
        };
        self.console.hold();
        let begins = self.console.held();
        self.do_install(Some(&package), target, Ending::Later)?;
        let facts = self.read_conf_or_die(&package, target, None, Strictness::Lenient)?;
        let after_commit = self.console.held();
        self.say_depmod(target);
        Ok(Member {
            package,
            facts,
            begins,
            after_commit,
        })
    }

    /// Makes the changes of the members from `from` on, and runs what follows for each.
    fn commit_members(
        &mut self,
        members: &mut Vec<Member>,
        from: usize,
        round: &mut Round,
        target: &Target,
    ) -> Result<(), Died> {
        if members.len() == from {
            return Ok(());
        }
        let words = self.console.held();
        if self.commit().is_err() {
            // It is found out by whom, one by one, with the words that belong to it.
            self.console.take_back(words);
            return self.install_again(members, from, round, target);
        }
        for index in from..members.len() {
            let (package, facts) = (members[index].package.clone(), members[index].facts.clone());
            let end = self.console.held();
            self.after_commit(&package, target, &facts)?;
            let words = self.console.take_back(end);
            let count = words.len();
            self.console.insert(members[index].after_commit, words);
            for later in &mut members[index..] {
                if later.package != package {
                    later.begins += count;
                }
                later.after_commit += count;
            }
        }
        Ok(())
    }

    /// Installs members each by itself, after it turned out that not all can be.
    fn install_again(
        &mut self,
        members: &mut Vec<Member>,
        from: usize,
        round: &mut Round,
        target: &Target,
    ) -> Result<(), Died> {
        let again = members.split_off(from);
        let mut said = again.first().map_or(0, |first| first.begins);
        let mut words = self.console.take_back(said).into_iter();
        for member in again {
            // What stands between two installations is about others.
            for (stream, text) in words.by_ref().take(member.begins - said) {
                self.console.words(stream, text);
            }
            words
                .by_ref()
                .take(member.ends() - member.begins)
                .for_each(drop);
            said = member.ends();
            let package = &member.package;
            let result =
                self.subshell(|session| session.do_install(Some(package), target, Ending::Now));
            if let Err(Died(Status(status))) = result {
                let name = package.name.to_string();
                round.installed.retain(|installed| *installed != name);
                round.failed.push(format!("{name}({status})"));
            }
        }
        for (stream, text) in words {
            self.console.words(stream, text);
        }
        Ok(())
    }

    /// Runs depmod once for all, and says what waited for it.
    fn end_round(
        &mut self,
        members: Vec<Member>,
        round: &mut Round,
        target: &Target,
    ) -> Result<(), Died> {
        if members.is_empty() {
            self.console.release();
            return Ok(());
        }
        let status = self.depmod(target);
        if status == 0 {
            self.finish(target)?;
            self.console.release();
            self.modprobe(target);
            return Ok(());
        }
        // depmod fails for each of them, as it would have one by one.
        let mut words = self.console.take_back(0).into_iter();
        self.console.release();
        let mut said = 0;
        for member in members {
            for (stream, text) in words.by_ref().take(member.after_commit - said) {
                self.console.words(stream, text);
            }
            // What was to be said of depmod.
            words.by_ref().take(DEPMOD_WORDS).for_each(drop);
            said = member.ends();
            let command = format!("do_depmod {}", target.kernel);
            self.announce(&command, "Running depmod");
            self.say_end(&command, status);
            let Died(Status(status)) =
                self.subshell(|session| session.roll_back(&member.package, target));
            let name = member.package.name.to_string();
            round.installed.retain(|installed| *installed != name);
            round.failed.push(format!("{name}({status})"));
        }
        for (stream, text) in words {
            self.console.words(stream, text);
        }
        Ok(())
    }

    fn sum_up(&mut self, round: &Round, target: &Target) -> Result<(), Died> {
        let kernel = &target.kernel;
        for (did, names) in [
            ("succeeded", &round.installed),
            ("was skipped", &round.skipped),
            ("failed", &round.failed),
        ] {
            if !names.is_empty() {
                self.console.line(format_args!(
                    "Autoinstall on {kernel} {did} for module(s) {}.",
                    names.join(" ")
                ));
            }
        }
        let mut unresolved = false;
        let mut deferred = Vec::new();
        for package in &round.waiting {
            let (real, absent): (Vec<&String>, Vec<&String>) = round.depends[package]
                .iter()
                .partition(|name| round.known.contains(name));
            let list = |names: &[&String]| -> String {
                names.iter().map(|name| format!(" {name}")).collect()
            };
            if real.is_empty() {
                self.console.line(format_args!(
                    "{package} autoinstall deferred: BUILD_DEPENDS not registered with DKMS:{}.",
                    list(&absent)
                ));
                deferred.push(package.to_string());
            } else {
                self.console.line(format_args!(
                    "{package} autoinstall failed due to missing dependencies:{}.",
                    list(&real)
                ));
                unresolved = true;
            }
        }
        if !deferred.is_empty() {
            self.console.line(format_args!(
                "Autoinstall on {kernel} deferred module(s) {} due to BUILD_DEPENDS not yet registered with DKMS.",
                deferred.join(" ")
            ));
            self.console.line(
                "These may be provided externally or by a package not yet configured; autoinstall will retry on the next trigger.",
            );
        }
        if !round.failed.is_empty() || unresolved {
            return Err(self.console.die(
                11,
                &[
                    "One or more modules failed to install during autoinstall.",
                    "Refer to previous errors for more information.",
                ],
            ));
        }
        Ok(())
    }
}
