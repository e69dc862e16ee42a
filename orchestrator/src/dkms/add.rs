//! `dkms add`: registers a package, whose source may come along as a directory or an archive.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use kiln_files::{FilesError, SourceTree, copy_tree, replace_tree};
use kiln_kernel::package::PackageId;

use super::{
    Session,
    confs::{NoFacts, Strictness},
    console::{Died, Status},
    leftovers::remove_leftovers_in,
    scripts::Script,
    target::Target,
};

impl Session {
    /// Registers the package that the command names or brings; gives it, and the exit status
    /// of its POST_ADD script.
    ///
    /// # Errors
    /// Ends with 1, 2, 3, 8, 9 or 10, as dkms.
    pub(crate) fn add(&mut self) -> Result<(PackageId, Status), Died> {
        if self.arguments.module.is_empty() && self.arguments.module_version.is_empty() {
            if let Some(archive) = self.arguments.archive.clone() {
                self.load_tarball(&archive)?;
            } else if let Some(source) = self.arguments.source.clone() {
                self.add_source_tree(&source)?;
            }
        }
        let package = self.package("add")?;
        self.lock_package(&package)?;
        remove_leftovers_in(&self.tree, &self.tree.module(&package));
        if self.arguments.rpm_safe_upgrade {
            self.note_rpm_upgrade(&package);
        }
        if self.tree.is_added(&package) {
            return Err(self.already_added(&package));
        }
        let source = self.tree.source_directory(&package);
        if !source.is_dir() {
            return Err(self.console.die(
                2,
                &[
                    "Could not find module source directory.",
                    &format!("Directory: {} does not exist.", source.display()),
                ],
            ));
        }
        let target = self.first_target();
        let conf = self
            .arguments
            .conf
            .clone()
            .unwrap_or_else(|| source.join("dkms.conf"));
        let facts = self.read_conf_or_die(&package, &target, Some(&conf), Strictness::Strict)?;
        if let Some(said) = facts.hook("POST_ADD") {
            // Its source is not linked yet.
            let script = Script::find(&package, source.clone(), said);
            self.judge_script(&package, "POST_ADD", &script)?;
        }
        let link = self.tree.source(&package);
        self.console.line(format_args!(
            "Creating symlink {} -> {}",
            link.display(),
            source.display()
        ));
        if let Err(error) = self.register(&package, &source) {
            return Err(self.cannot_write(&link, &error));
        }
        self.narrow_lock(&package);
        self.forget_confs();
        let status = self.run_script(&package, None, "post_add", facts.hook("POST_ADD"))?;
        Ok((package, Status(status)))
    }

    /// The first kernel of the command; `--all` may leave none.
    pub(crate) fn first_target(&self) -> Target {
        self.targets.first().cloned().unwrap_or_else(|| {
            Target::new(&super::targets::uname("-r"), &super::targets::uname("-m"))
                .expect("the running kernel has a name")
        })
    }

    /// Copies a source tree to where sources are, and takes its package for the command's.
    ///
    /// # Errors
    /// Ends with 1, 9 or 10.
    pub(crate) fn add_source_tree(&mut self, said: &Path) -> Result<(), Died> {
        let canonical = fs::canonicalize(said)
            .ok()
            .filter(|from| from.join("dkms.conf").is_file());
        let Some(from) = canonical else {
            return Err(self.no_conf_in(said));
        };
        self.must_be_root()?;
        let what = "the source that is added";
        self.trust.judge_all_of(&mut self.console, what, said)?;
        // What it is from here on, whatever its path leads to.
        let has_conf = |source: &SourceTree| {
            let found = source.directory().metadata(Path::new("dkms.conf"));
            found.is_ok_and(|found| found.is_file() || found.is_symlink())
        };
        let Some(source) = SourceTree::open(&from).ok().filter(has_conf) else {
            return Err(self.no_conf_in(said));
        };
        let Some((name, version)) = self.package_of_conf(&from.join("dkms.conf"))? else {
            return Err(self
                .console
                .die(10, &["Malformed dkms.conf file. Cannot load source tree."]));
        };
        self.arguments.module = name;
        self.arguments.module_version = version;
        let package = self.package("add")?;
        let to = self.tree.source_directory(&package);
        let replaces = self.force && to.is_dir();
        if replaces {
            self.console.note("");
            self.console
                .line(format_args!("Forcing install of {package}"));
        }
        let known = [
            to.clone(),
            self.tree.source(&package),
            self.tree.build(&package),
        ];
        if known
            .iter()
            .any(|known| source.is_at(known).unwrap_or(false))
        {
            return Ok(());
        }
        self.must_be_place_of(&package, &to)?;
        let copied = match replaces || !to.exists() {
            true => replace_tree(&source, &to),
            false => copy_tree(&source, &to),
        };
        if let Err(error) = copied {
            return Err(self.cannot_copy(&from, &to, &error));
        }
        self.forget_confs();
        Ok(())
    }

    fn no_conf_in(&mut self, directory: &Path) -> Died {
        let said = format!("{} must contain a dkms.conf file!", directory.display());
        self.console.die(9, &[&said])
    }

    /// Makes sure that a directory of the source tree may become a package's: there is none, or it is that of this package,
    /// and the package is not in use unless that is meant. `foo-1.0/2` and `foo/1.0-2` have one place, and kernels'
    /// headers have theirs beside it.
    ///
    /// # Errors
    /// Ends with 3 or 1.
    fn must_be_place_of(&mut self, package: &PackageId, place: &Path) -> Result<(), Died> {
        if self.tree.is_added(package) && !self.force {
            return Err(self.already_added(package));
        }
        if place.symlink_metadata().is_err() {
            return Ok(());
        }
        let conf = place.join("dkms.conf");
        let own = match conf.is_file() {
            true => self.package_of_conf(&conf)?,
            false => None,
        };
        let is_own = own.is_some_and(|(name, version)| {
            name == package.name.as_str() && version == package.version.as_str()
        });
        if is_own {
            return Ok(());
        }
        let said = format!("{} is not the source of {package}.", place.display());
        Err(self
            .console
            .die(1, &[&said, "Remove it first, if nobody needs it."]))
    }

    fn already_added(&mut self, package: &PackageId) -> Died {
        let said = format!("DKMS tree already contains: {package}");
        let lines = [
            said.as_str(),
            "You cannot add the same module/version combo more than once.",
        ];
        self.console.die(3, &lines)
    }

    /// Makes a version's directory with its link, at once: a version without its source is broken.
    fn register(&self, package: &PackageId, source: &Path) -> std::io::Result<()> {
        let version = self.tree.version(package);
        let new = version.with_file_name(format!(".new_{}", package.version));
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(new.join("build"))?;
        symlink(source, new.join("source"))?;
        if fs::rename(&new, &version).is_ok() {
            return Ok(());
        }
        // Something is there already.
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(self.tree.build(package))?;
        symlink(source, self.tree.source(package))
    }

    /// PACKAGE_NAME and PACKAGE_VERSION of a dkms.conf, if it has both.
    ///
    /// # Errors
    /// Ends with 4 or 8.
    pub(crate) fn package_of_conf(
        &mut self,
        conf: &Path,
    ) -> Result<Option<(String, String)>, Died> {
        let target = self.first_target();
        let facts = match self.read_conf(None, &target, Some(conf), Strictness::Lenient) {
            Ok(facts) => facts,
            Err(NoFacts::Died(died)) => return Err(died),
            Err(NoFacts::Bad) => return Err(self.bad_conf(Some(conf))),
        };
        Ok((*facts).as_ref().ok().and_then(|facts| facts.name.clone()))
    }

    /// The end for a directory that cannot be copied; what was at its place is still there.
    pub(crate) fn cannot_copy(&mut self, from: &Path, to: &Path, error: &FilesError) -> Died {
        let reason = reason_of(error);
        let hint = match error {
            FilesError::Overlap { .. } => "Move one of them out of the other.",
            FilesError::InTheWay { .. } => "Remove it, or say --force to replace the directory.",
            FilesError::MountPoint { .. } => "Unmount it first.",
            FilesError::Special { .. } => "Remove it first.",
            FilesError::Io { .. } | FilesError::TooMuch { .. } => "",
        };
        let said = format!(
            "cannot copy {} to {}: {reason}",
            from.display(),
            to.display()
        );
        let lines = [said.as_str(), hint];
        let shown = if hint.is_empty() { 1 } else { 2 };
        self.console.die(1, &lines[..shown])
    }

    /// The end for a directory of the tree that cannot be changed.
    pub(crate) fn cannot_write(&mut self, path: &Path, error: &std::io::Error) -> Died {
        self.console
            .die(1, &[&format!("cannot write {}: {error}", path.display())])
    }

    /// Tells the `remove` that will follow, in one rpm transaction, to leave the package alone.
    fn note_rpm_upgrade(&mut self, package: &PackageId) {
        let Some((caller, started)) = super::rpm::caller_of_caller() else {
            return;
        };
        let prefix = format!("dkms_rpm_safe_upgrade_lock.{caller}.");
        let directory = PathBuf::from(self.variables.value("tmp_location"));
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .rand_bytes(6)
            .tempfile_in(directory);
        if let Ok(file) = file
            && fs::write(
                file.path(),
                format!("{}-{}\n{started}\n", package.name, package.version),
            )
            .is_ok()
        {
            let _ = file.keep();
        }
    }
}

/// What went wrong, in one line.
pub(crate) fn reason_of(error: &FilesError) -> String {
    match error {
        FilesError::Io { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}
