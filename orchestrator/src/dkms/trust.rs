//! Whether others could have changed what a command is about to use: settings, trees, sources, scripts, tools.
//!
//! dkms does not ask. Here each place where that is so is a warning, once a run; with `dkms.strict` in kiln's
//! settings it is the end of the action.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use kiln_files::{Guard, Secrecy, Suspicion};

use super::{
    Session,
    conf_reader::override_names,
    console::{Console, Died},
};
use crate::{conf::Framework, package::PackageId};

/// Where the machine's owner keeps settings, and scripts and patches in place of packages' own.
const OWNERS: &str = "/etc/dkms";

/// What has been judged in a run, and what has been said of it.
pub(crate) struct Trust {
    guard: Guard,
    is_strict: bool,
    /// What nobody else could have changed.
    right: HashSet<PathBuf>,
    told: HashSet<PathBuf>,
}

impl Trust {
    /// Nothing has been judged yet.
    pub(crate) fn new(is_strict: bool) -> Self {
        Self {
            guard: Guard::of_process(),
            is_strict,
            right: HashSet::new(),
            told: HashSet::new(),
        }
    }

    /// Judges a file or directory, which messages call `what`, and the way to it.
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
        // A link of the owner's is right there, and perhaps not what it leads to.
        for name in override_names() {
            self.judge(console, OWNERS, &Path::new(OWNERS).join(name))?;
        }
        Ok(())
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
        let suspicion = match inspect(&self.guard, path) {
            Ok(()) => {
                self.right.insert(path.to_owned());
                return Ok(());
            }
            // That something is not there, or cannot be read, is said by who needs it.
            Err(suspicion) if suspicion.is_missing() || suspicion.is_closed() => return Ok(()),
            Err(suspicion) => suspicion,
        };
        let said = format!("Others could have changed {what}: {suspicion}");
        let mut lines = vec![said.as_str()];
        let remedy = suspicion.remedy().map(|remedy| format!("Run: {remedy}"));
        lines.extend(remedy.as_deref());
        if self.is_strict {
            lines.push("It is not used, for dkms.strict is set.");
            return Err(console.die(1, &lines));
        }
        if self.told.insert(suspicion.path().to_owned()) {
            console.warn_at_once(&lines);
        }
        Ok(())
    }
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
        let kernels = self.targets.iter();
        places.extend(kernels.map(|target| ("the install tree", self.kernel_directory(target))));
        if environment.is_file() {
            places.push(("build_environment", environment));
        }
        for (what, path) in &places {
            self.trust.judge(&mut self.console, what, path)?;
        }
        Ok(())
    }

    /// Judges the source of a package, and the file that is its conf.
    ///
    /// # Errors
    /// As [`Trust::judge`].
    pub(crate) fn judge_source(&mut self, package: &PackageId, conf: &Path) -> Result<(), Died> {
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
