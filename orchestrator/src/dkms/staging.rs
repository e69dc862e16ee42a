//! What a build leaves in the DKMS tree: signed and compressed modules, and logs.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_build::job::{built_path, open_log};
use kiln_cache::{ActionRecord, FileMode, Output};
use kiln_durable::regular;
use kiln_files::{NewFile, put_directory};
use kiln_kernel::{package::PackageId, sizes};

use super::{
    Session, compression::compress, confs::Known, console::Died, leftovers::LEFTOVER, make_log,
    steps::Step, target::Target,
};

/// Why a module is missing that a record has.
const GONE: &str = "it is gone from the cache; run again";

impl Session {
    /// The log of a record, to be read piece by piece; empty where it cannot be had.
    pub(crate) fn log_of(&mut self, record: &ActionRecord) -> Box<dyn Read> {
        if let (Some(log), Some(site)) = (&record.log, self.site())
            && let Ok(Some(file)) = site.store.open_object(log)
            && let Ok(reader) = open_log(file)
        {
            return Box::new(reader);
        }
        Box::new(io::empty())
    }

    /// Puts the results of a build into the tree: all of them, or nothing.
    ///
    /// # Errors
    /// Ends with 7 where that cannot be done.
    pub(crate) fn store_build(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        steps: &[Step],
        record: &ActionRecord,
    ) -> Result<(), Died> {
        let announced = self.patches_are_there(package, facts);
        let after = steps
            .iter()
            .position(|step| step.title == "Running the post_build script")
            .unwrap_or(steps.len());
        self.say_steps(&steps[..after], announced);
        let base = self.tree.base(package, target);
        let kernel = self.tree.version(package).join(target.kernel.as_str());
        let prefix = format!("{LEFTOVER}{}_", target.arch);
        let made = fs::create_dir_all(&kernel)
            .and_then(|()| tempfile::Builder::new().prefix(&prefix).tempdir_in(&kernel));
        let stage = match made {
            Ok(stage) => stage,
            Err(error) => return Err(self.cannot_write(&kernel, &error)),
        };
        self.fill(package, target, facts, record, stage.path())?;
        let stage = stage.keep();
        let placed = fs::set_permissions(&stage, fs::Permissions::from_mode(0o755))
            .and_then(|()| put_directory(&stage, &base));
        // What was there before, or what could not be put there.
        self.remove_tree(&stage);
        if let Err(error) = placed {
            return Err(self
                .console
                .die(7, &[&format!("do_build: final mv failed ({error})")]));
        }
        self.say_steps(&steps[after..], false);
        self.drop_failed_log(package, target);
        Ok(())
    }

    /// Lays out `module/` and `log/`.
    fn fill(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        record: &ActionRecord,
        stage: &Path,
    ) -> Result<(), Died> {
        let modules = stage.join("module");
        if let Err(error) =
            fs::create_dir(stage.join("log")).and_then(|()| fs::create_dir(&modules))
        {
            return Err(self.cannot_write(stage, &error));
        }
        let log = self.log_of(record);
        let place = stage.join("log/make.log");
        let written = File::create_new(&place).and_then(|file| {
            let mut file = BufWriter::new(file);
            self.write_log(package, target, log, &mut file)?;
            file.flush()
        });
        if let Err(error) = written {
            return Err(self.cannot_write(&place, &error));
        }
        let restore = |session: &mut Self, output: &Output| -> io::Result<bool> {
            let site = session.site().ok_or(io::ErrorKind::NotFound)?;
            let to = stage.join(built_path(&output.path));
            fs::create_dir_all(to.parent().unwrap_or(stage))?;
            let restored = site
                .store
                .restore(&output.object, &to, FileMode::of(false))
                .map_err(io::Error::other)?;
            Ok(restored.is_some())
        };
        for output in &record.outputs {
            if output.path == "Module.symvers" || output.path.starts_with("beside/") {
                let _ = restore(self, output);
            }
        }
        let signing = self.signing();
        let suffix = self.suffix(target);
        let build = self.tree.build(package);
        for index in facts.buildable() {
            let module = &facts.conf.modules[index];
            let name = format!("{}.ko", module.dest_name);
            let path = modules.join(&name);
            let missing = |session: &mut Self, reason: String| {
                let missing = format!(
                    "Missing module '{}' in {}",
                    module.dest_name,
                    modules.display()
                );
                session.console.die(7, &[&missing, &reason])
            };
            let put = |session: &mut Self, output| match restore(session, output) {
                Ok(true) => Ok(()),
                Ok(false) => Err(missing(session, GONE.to_owned())),
                Err(error) => Err(missing(session, error.to_string())),
            };
            let Some(output) = record.outputs.iter().find(|output| output.path == name) else {
                return Err(missing(self, GONE.to_owned()));
            };
            put(self, output)?;
            let shown = build.join(format!("{}{}.ko", module.built_location, module.built_name));
            if !self.sign(&signing, &path, output, &shown)? {
                // It may have left anything there.
                let _ = fs::remove_file(&path);
                put(self, output)?;
                self.must_not_be_enforced(target)?;
            }
            let (path, status) = compress(&path, suffix, &self.variables);
            if let Some(status) = status {
                self.must_have_ended("the compressor", status)?;
            }
            let synced = fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
                .and_then(|()| fs::File::open(&path))
                .and_then(|file| file.sync_all());
            if let Err(error) = synced {
                return Err(self.cannot_write(&path, &error));
            }
        }
        Ok(())
    }

    /// Writes a make.log as dkms does: its own first lines, and what the build's log has.
    fn write_log(
        &self,
        package: &PackageId,
        target: &Target,
        log: impl Read,
        to: &mut impl Write,
    ) -> io::Result<()> {
        to.write_all(make_log::headline(package, target).as_bytes())?;
        to.write_all(date().as_bytes())?;
        make_log::copy(log, target, &self.jobs, to)
    }

    /// Keeps the log of a failed build where dkms keeps it, below those of other kernels.
    pub(crate) fn keep_failed_log(
        &mut self,
        package: &PackageId,
        target: &Target,
        text: impl Read,
    ) -> PathBuf {
        let log = self.tree.build(package).join("make.log");
        let kept = || -> io::Result<()> {
            fs::create_dir_all(self.tree.build(package))?;
            let mut file = NewFile::beside(&log, 0o644)?;
            let mut to = BufWriter::new(file.file());
            self.write_other_failures(package, target, &mut to)?;
            self.write_log(package, target, text, &mut to)?;
            to.flush()?;
            drop(to);
            Ok(file.place()?)
        };
        if let Err(error) = kept() {
            self.console
                .warn(&[&format!("cannot write {}: {error}", log.display())]);
        }
        log
    }

    /// Removes the build directory, as dkms does after a success, but for the logs of kernels
    /// that the package still fails for.
    fn drop_failed_log(&mut self, package: &PackageId, target: &Target) {
        let build = self.tree.build(package);
        let kept = || -> io::Result<Option<tempfile::NamedTempFile>> {
            let mut file = tempfile::Builder::new()
                .prefix(LEFTOVER)
                .permissions(fs::Permissions::from_mode(0o644))
                .tempfile_in(self.tree.version(package))?;
            let mut to = BufWriter::new(file.as_file_mut());
            self.write_other_failures(package, target, &mut to)?;
            to.flush()?;
            drop(to);
            let is_empty = file.as_file().metadata()?.len() == 0;
            Ok((!is_empty).then_some(file))
        };
        let kept = kept();
        self.remove_tree(&build);
        if let Ok(Some(kept)) = kept
            && fs::create_dir(&build).is_ok()
        {
            let _ = kept.persist(build.join("make.log"));
        }
    }

    /// Writes what make.log says of kernels other than `target`, as far as kiln wrote it. It may be anybody's by now.
    fn write_other_failures(
        &self,
        package: &PackageId,
        target: &Target,
        to: &mut impl Write,
    ) -> io::Result<()> {
        let log = self.tree.build(package).join("make.log");
        match regular::open(&log, sizes::LOG) {
            Ok((file, _)) => make_log::copy_others(file, package, target, to),
            Err(_) => Ok(()),
        }
    }
}

/// The date, as date(1) writes it.
fn date() -> String {
    let output = Command::new("date").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => "\n".to_owned(),
    }
}
