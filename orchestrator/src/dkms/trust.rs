//! Whether others could have changed what a command is about to use: settings, trees, sources, scripts, tools.
//!
//! dkms does not ask. Here each place where that is so is a warning, once a run; with `dkms.strict` in kiln's
//! settings it is the end of the action.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use kiln_build::conf::Framework;
use kiln_config::Strict;
use kiln_files::{Guard, Secrecy, Suspicion};
use kiln_kernel::package::PackageId;

use super::{
    Session,
    conf_reader::Facts,
    console::{Console, Died},
    install::within,
    scripts::Script,
    target::Target,
};

/// What a distribution says of packages and of where modules go.
const DISTRIBUTIONS: [&str; 2] = [super::install::FORCED, super::session::ADDON_SETTINGS];

/// Where the machine's owner keeps settings, and scripts and patches in place of packages' own.
const OWNERS: &str = "/etc/dkms";

/// What has been judged in a run, and what has been said of it.
pub(crate) struct Trust {
    guard: Guard,
    strict: Strict,
    /// What nobody else could have changed.
    right: HashSet<PathBuf>,
    told: HashSet<PathBuf>,
}

impl Trust {
    /// Nothing has been judged yet.
    pub(crate) fn new(strict: Strict) -> Self {
        Self {
            guard: Guard::of_process(),
            strict,
            right: HashSet::new(),
            told: HashSet::new(),
        }
    }

    /// Judges a file or directory, which messages call `what`, and the way to it; where there is nothing, the last
    /// directory on the way.
    ///
    /// # Errors
    /// Ends with 1, if that is wanted.
    pub(crate) fn judge(
        &mut self,
        console: &mut Console,
        what: &str,
        path: &Path,
    ) -> Result<(), Died> {
        self.judge_by(console, what, path, |guard, path| {
            guard.inspect(path, Secrecy::Public)
        })
    }

    /// Judges a directory with all that is in it.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_all_of(
        &mut self,
        console: &mut Console,
        what: &str,
        directory: &Path,
    ) -> Result<(), Died> {
        self.judge_by(console, what, directory, Guard::inspect_tree)
    }

    /// Judges what the machine's owner has in /etc/dkms.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_settings(&mut self, console: &mut Console) -> Result<(), Died> {
        self.judge_all_of(console, OWNERS, Path::new(OWNERS))?;
        for file in Framework::files() {
            self.judge(console, "framework.conf", &file)?;
        }
        for place in DISTRIBUTIONS {
            self.judge_all_of(console, place, Path::new(place))?;
        }
        // A link of the owner's is right there, and perhaps not what it leads to.
        for link in links_below(Path::new(OWNERS)) {
            self.judge_all_of(console, OWNERS, &link)?;
        }
        Ok(())
    }

    /// Judges the last directory that is there on the way to what is not.
    fn inspect_nearest(&self, path: &Path) -> Result<(), Suspicion> {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut above = whole.ancestors();
        let there = above.find(|path| path.symlink_metadata().is_ok());
        self.guard
            .inspect(there.unwrap_or(Path::new("/")), Secrecy::Public)
    }

    fn judge_by(
        &mut self,
        console: &mut Console,
        what: &str,
        path: &Path,
        inspect: fn(&Guard, &Path) -> Result<(), Suspicion>,
    ) -> Result<(), Died> {
        if self.right.contains(path) {
            return Ok(());
        }
        let is_root = rustix::process::geteuid().is_root();
        let inspected = inspect(&self.guard, path).or_else(|suspicion| {
            if suspicion.is_missing() {
                // Whoever can make it decides what is used. That it is not there is said by who needs it.
                return self.inspect_nearest(suspicion.path());
            }
            // What cannot be read is not used. To root nothing is closed but what only pretends to be.
            match suspicion.is_closed() && !is_root {
                true => Ok(()),
                false => Err(suspicion),
            }
        });
        let Err(suspicion) = inspected else {
            self.right.insert(path.to_owned());
            return Ok(());
        };
        let said = format!("Others could have changed {what}: {suspicion}");
        let mut lines = vec![said.as_str()];
        let remedy = suspicion.remedy().map(|remedy| format!("Run: {remedy}"));
        lines.extend(remedy.as_deref());
        let refusal = match &self.strict {
            Strict::No => None,
            Strict::Yes => Some("It is not used, for dkms.strict is set.".to_owned()),
            Strict::Perhaps(reason) => Some(format!(
                "It is not used, for dkms.strict may be set, which cannot be told: {reason}."
            )),
        };
        if let Some(refusal) = &refusal {
            lines.push(refusal);
            return Err(console.die(1, &lines));
        }
        if self.told.insert(suspicion.path().to_owned()) {
            console.warn_at_once(&lines);
        }
        Ok(())
    }
}

/// The links in a directory and those below it.
fn links_below(directory: &Path) -> Vec<PathBuf> {
    let mut links = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => links.push(entry.path()),
            Ok(kind) if kind.is_dir() => links.extend(links_below(&entry.path())),
            _ => {}
        }
    }
    links
}

impl Session {
    /// Judges the trees that the command works on.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_trees(&mut self) -> Result<(), Died> {
        let environment = PathBuf::from(self.variables.value("build_environment"));
        let mut places = vec![
            ("the DKMS tree", self.tree.root.clone()),
            ("the source tree", self.tree.sources.clone()),
            ("the install tree", self.install_tree.clone()),
        ];
        if environment.is_file() {
            places.push(("build_environment", environment));
        }
        let config = self.arguments.kernel_config.clone();
        places.extend(config.map(|config| ("the kernel's configuration", config)));
        for (what, path) in &places {
            self.trust.judge(&mut self.console, what, path)?;
        }
        let command = self.variables.value("post_transaction").to_owned();
        self.judge_command("post_transaction", &command)?;
        for target in self.targets.clone() {
            self.judge_kernel(&target)?;
        }
        Ok(())
    }

    /// Judges a kernel's directory of modules. The build tree is often in the home of who built the kernel: it is only looked
    /// at where nothing of that kind is wanted.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_kernel(&mut self, target: &Target) -> Result<(), Died> {
        let directory = self.kernel_directory(target);
        let what = "the install tree";
        self.trust.judge(&mut self.console, what, &directory)?;
        if self.trust.strict != Strict::No {
            let tree = self.kernel_source_dir(target);
            let what = "the kernel's build tree";
            self.trust.judge_all_of(&mut self.console, what, &tree)?;
        }
        Ok(())
    }

    /// Judges what a change of a kernel's modules starts from and goes to, and the scripts that belong to it, before
    /// anything is changed.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_change(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Facts,
        hooks: &[&str],
    ) -> Result<(), Died> {
        let originals = self.tree.originals(package, target);
        let what = "the DKMS tree";
        let active = self.tree.active(package, target);
        self.trust.judge(&mut self.console, what, &active)?;
        for path in [originals, self.tree.superseded(package, target)] {
            self.trust.judge_all_of(&mut self.console, what, &path)?;
        }
        let kernel = self.kernel_directory(target);
        let modules = 0..facts.conf.modules.len();
        for place in modules.flat_map(|index| facts.possible_destinations(index)) {
            let place = within(&kernel, place);
            self.trust
                .judge(&mut self.console, "the install tree", &place)?;
        }
        for hook in hooks {
            if let Some(said) = facts.hook(hook) {
                let script = Script::find(package, self.tree.source(package), said);
                self.judge_script(package, hook, &script)?;
            }
        }
        Ok(())
    }

    /// Judges the program that a shell's command line names by its path.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_command(&mut self, what: &str, command: &str) -> Result<(), Died> {
        let program = command.split_whitespace().next().unwrap_or_default();
        if !program.contains('/') {
            return Ok(());
        }
        self.trust
            .judge(&mut self.console, what, Path::new(program))
    }

    /// Judges a script of a package, if it is to be run.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_script(
        &mut self,
        package: &PackageId,
        hook: &str,
        script: &Script,
    ) -> Result<(), Died> {
        if self.refusal_of_scripts().is_some() {
            return Ok(());
        }
        let what = format!("the {hook} script of {package}");
        let program = Path::new(script.program());
        self.trust.judge(&mut self.console, &what, program)
    }

    /// Judges what the DKMS tree has of a package: its own directories, which all else of it is in.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_package(&mut self, package: &PackageId) -> Result<(), Died> {
        for path in [
            self.tree.module(package),
            self.tree.version(package),
            self.tree.build(package),
            self.tree.version(package).join("tarball"),
        ] {
            self.trust
                .judge(&mut self.console, "the DKMS tree", &path)?;
        }
        Ok(())
    }

    /// Judges the source of a package, and the file that is its conf.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_source(&mut self, package: &PackageId, conf: &Path) -> Result<(), Died> {
        self.judge_package(package)?;
        let what = format!("the source of {package}");
        let source = self.tree.source(package);
        let source = match source.is_dir() {
            true => source,
            false => self.tree.source_directory(package),
        };
        self.trust.judge_all_of(&mut self.console, &what, &source)?;
        self.trust.judge(&mut self.console, &what, conf)
    }
}
