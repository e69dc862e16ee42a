//! What a build leaves in the DKMS tree: signed and compressed modules, and logs.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_cache::{ActionRecord, FileMode};
use kiln_durable::regular;
use kiln_files::{NewFile, put_directory};

use super::{
    Session, arguments::RELEASE, compression::compress, confs::Known, console::Died,
    leftovers::LEFTOVER, steps::Step, target::Target,
};
use crate::{
    job::{built_path, open_log},
    package::PackageId,
    sizes,
};

impl Session {
    /// The log of a record, as text.
    pub(crate) fn log_text(&mut self, record: &ActionRecord) -> String {
        let mut text = Vec::new();
        if let (Some(log), Some(site)) = (&record.log, self.site())
            && let Ok(Some(file)) = site.store.open_object(log)
            && let Ok(mut reader) = open_log(file)
        {
            let _ = reader.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
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
        let text = self.log_text(record);
        let log = self.log_of(package, target, &text);
        if let Err(error) = fs::write(base.join("log/make.log"), log) {
            return Err(self.cannot_write(&base.join("log/make.log"), &error));
        }
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
        let restore = |session: &mut Self, name: &str| -> io::Result<bool> {
            let Some(output) = record.outputs.iter().find(|output| output.path == name) else {
                return Ok(false);
            };
            let site = session.site().ok_or(io::ErrorKind::NotFound)?;
            let to = stage.join(built_path(name));
            fs::create_dir_all(to.parent().unwrap_or(stage))?;
            let restored = site
                .store
                .restore(&output.object, &to, FileMode::of(false))
                .map_err(io::Error::other)?;
            Ok(restored.is_some())
        };
        for output in &record.outputs {
            if output.path == "Module.symvers" || output.path.starts_with("beside/") {
                let _ = restore(self, &output.path);
            }
        }
        let signing = self.signing();
        let suffix = self.suffix(target);
        let build = self.tree.build(package);
        for index in facts.buildable() {
            let module = &facts.conf.modules[index];
            let name = format!("{}.ko", module.dest_name);
            let path = modules.join(&name);
            match restore(self, &name) {
                Ok(true) => {}
                other => {
                    let missing = format!(
                        "Missing module '{}' in {}",
                        module.dest_name,
                        modules.display()
                    );
                    let reason = match other {
                        Err(error) => error.to_string(),
                        Ok(_) => "it is gone from the cache; run again".to_owned(),
                    };
                    return Err(self.console.die(7, &[&missing, &reason]));
                }
            }
            let shown = build.join(format!("{}{}.ko", module.built_location, module.built_name));
            if !self.sign(&signing, &path, &shown)? {
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

    /// make.log as dkms writes it: its own first lines, and the command with its `-j`.
    fn log_of(&self, package: &PackageId, target: &Target, text: &str) -> String {
        let body = match text.split_once('\n') {
            Some((first, rest)) if first.starts_with("kiln ") => rest,
            _ => text,
        };
        let shared = format!("# command: make -j KERNELRELEASE={}", target.kernel);
        let told = format!(
            "# command: make -j{} KERNELRELEASE={}",
            self.jobs, target.kernel
        );
        format!(
            "{}{}{}",
            headline(package, target),
            date(),
            body.replacen(&shared, &told, 1)
        )
    }

    /// Keeps the log of a failed build where dkms keeps it, below those of other kernels.
    pub(crate) fn keep_failed_log(
        &mut self,
        package: &PackageId,
        target: &Target,
        text: &str,
    ) -> PathBuf {
        let log = self.tree.build(package).join("make.log");
        let mut kept = self.other_failures(package, target);
        kept.push_str(&self.log_of(package, target, text));
        let written = fs::create_dir_all(self.tree.build(package)).and_then(|()| put(&log, &kept));
        if let Err(error) = written {
            self.console
                .warn(&[&format!("cannot write {}: {error}", log.display())]);
        }
        log
    }

    /// Removes the build directory, as dkms does after a success, but for the logs of kernels
    /// that the package still fails for.
    fn drop_failed_log(&mut self, package: &PackageId, target: &Target) {
        let build = self.tree.build(package);
        let kept = self.other_failures(package, target);
        self.remove_tree(&build);
        if !kept.is_empty() && fs::create_dir(&build).is_ok() {
            let _ = fs::write(build.join("make.log"), kept);
        }
    }

    /// What make.log says of kernels other than `target`, as far as kiln wrote it.
    fn other_failures(&self, package: &PackageId, target: &Target) -> String {
        let log = self.tree.build(package).join("make.log");
        let text = regular::read_at_once(&log, sizes::LISTING).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let own = headline(package, target);
        let start = format!("DKMS ({RELEASE}) make.log for {package} for kernel ");
        let mut kept = String::new();
        let mut keeping = false;
        for line in text.split_inclusive('\n') {
            if line.starts_with(&start) {
                keeping = line != own;
            }
            if keeping {
                kept.push_str(line);
            }
        }
        kept
    }
}

/// Writes a file anew; one that was there is whole until then.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file = NewFile::beside(path, 0o644)?;
    file.file().write_all(text.as_bytes())?;
    Ok(file.place()?)
}

/// The first line of a make.log.
fn headline(package: &PackageId, target: &Target) -> String {
    format!("DKMS ({RELEASE}) make.log for {package} for kernel {target}\n")
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
