//! The `dkms` front end: dkms 3.4.3's command line, tree and messages on top of kiln's
//! plan, jobs and cache.
//!
//! [`Session`] is one run of a command; each file adds the part of it that its name says.
//! docs/dkms.md tells what is the same and what is better.

mod add;
mod arguments;
mod autoinstall;
mod build;
mod builds;
mod checks;
mod compression;
mod conf_bash;
mod conf_reader;
mod confs;
mod console;
mod contents;
mod dependencies;
mod depmod;
mod failure;
mod framework;
mod install;
mod kernel_hooks;
mod leftovers;
mod locks;
mod make_log;
mod matching;
mod mok;
mod preflight;
mod programs;
mod rebuild;
mod remove;
mod requests;
mod rpm;
mod sanity;
mod scripts;
mod session;
mod signing;
mod staging;
mod status;
mod steps;
mod suffix;
mod tarball;
mod target;
mod targets;
mod tree;
mod trust;
mod uninstall;
mod weak;

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::ExitCode,
};

use arguments::{Action, usage};
use console::{Died, Status};
use kiln_kernel::KernelRelease;
use session::Session;

/// Whether a program of this name is to be dkms.
pub fn is_called_as_dkms(program: &OsStr) -> bool {
    Path::new(program)
        .file_name()
        .is_some_and(|name| name == "dkms")
}

/// Runs a dkms command: the program's name as it was called, and its arguments.
pub fn run(program: &OsStr, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let program = called(program);
    let words = arguments
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let Status(status) = match Session::start(&program, words) {
        Err(Died(status)) => status,
        Ok(mut session) => {
            let result = session.run(&program);
            session.end_transaction();
            session.console.release();
            match result {
                // What was done is done, whatever could be said of it; status has nothing else to give.
                Ok(()) if crate::report::has_lost_output() => match session.arguments.action {
                    Some(Action::Status) => Status(1),
                    _ => Status::SUCCESS,
                },
                Ok(()) => Status::SUCCESS,
                Err(Died(status)) => status,
            }
        }
    };
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

/// The path of the program, which a shell script finds in `$0`.
fn called(program: &OsStr) -> String {
    let said = Path::new(program);
    let path = if program.as_bytes().contains(&b'/') {
        said.to_owned()
    } else {
        programs::program(&said.to_string_lossy()).unwrap_or_else(|| said.to_owned())
    };
    path.display().to_string()
}

impl Session {
    fn run(&mut self, program: &str) -> Result<(), Died> {
        let Some(action) = self.arguments.action else {
            self.console.error(&["Unknown action specified: \"\""]);
            usage(program, &mut self.console);
            return Ok(());
        };
        let name = action.name();
        match action {
            Action::Remove | Action::Unbuild | Action::Uninstall => {
                let package = self.package(name)?;
                self.not_broken()?;
                self.must_be_added(&package)?;
                self.judge_package(&package)?;
                if action == Action::Uninstall {
                    self.must_be_root()?;
                } else {
                    self.tree_must_be_writable()?;
                }
                self.recover_all()?;
                match action {
                    Action::Remove => self.remove(&package)?,
                    Action::Unbuild => self.unbuild_all(&package)?,
                    _ => self.uninstall_all(&package)?,
                }
                self.run_post_transaction()
            }
            Action::Add | Action::Build | Action::Install => {
                self.no_all(name)?;
                if action != Action::Add {
                    self.not_broken()?;
                }
                if action == Action::Install {
                    self.must_be_root()?;
                } else {
                    self.tree_must_be_writable()?;
                }
                match action {
                    Action::Add => {
                        let (_, status) = self.add()?;
                        if status == Status::SUCCESS {
                            return Ok(());
                        }
                        Err(Died(status))
                    }
                    Action::Build => self.build_all(),
                    _ => {
                        self.recover_all()?;
                        self.install_all()?;
                        self.run_post_transaction()
                    }
                }
            }
            Action::Autoinstall if self.arguments.all_kernels => self.autoinstall_all_kernels(),
            Action::Autoinstall => {
                let target = self.one_target(name)?;
                self.must_be_root()?;
                if self.autoinstall(&target)? {
                    self.run_post_transaction()?;
                }
                Ok(())
            }
            Action::Match => {
                self.must_be_root()?;
                let target = self.one_target(name)?;
                self.recover_all()?;
                self.match_kernels(&target)
            }
            Action::Mktarball => {
                let package = self.package(name)?;
                self.not_broken()?;
                self.must_be_added(&package)?;
                self.make_tarball(&package)
            }
            Action::Status => {
                self.status();
                Ok(())
            }
            Action::Ldtarball => self.load_and_add(),
            Action::GenerateMok => {
                let target = self.first_target();
                let scope = [
                    ("kernelver", target.kernel.as_str()),
                    ("arch", target.arch.as_str()),
                ];
                self.variables
                    .read(framework::SIGNING, &scope)
                    .map_err(|error| self.console.die(1, &[&framework::unread(&error)]))?;
                match self.prepare_mok(&target)? {
                    Some(_) => Ok(()),
                    None => Err(Died(Status(1))),
                }
            }
            Action::KernelPreinst | Action::KernelPostinst | Action::KernelPrerm => {
                self.must_be_root()?;
                let target = self.one_target(name)?;
                match action {
                    Action::KernelPreinst => self.kernel_preinst(&target),
                    Action::KernelPrerm => self.kernel_prerm(&target),
                    _ => self.autoinstall(&target).map(drop),
                }
            }
            Action::Preflight => self.preflight(),
        }
    }

    /// Finishes what was interrupted for any kernel of the command.
    fn recover_all(&mut self) -> Result<(), Died> {
        for target in self.targets.clone() {
            self.recover(&target)?;
        }
        Ok(())
    }

    fn load_and_add(&mut self) -> Result<(), Died> {
        if !rustix::process::geteuid().is_root() && self.force {
            return Err(self.console.die(
                1,
                &["You must be root to use this command with the --force option."],
            ));
        }
        let archive = self.arguments.archive.clone().unwrap_or_default();
        if !self.load_tarball(&archive)? {
            return Err(Died(Status(1)));
        }
        // The package is the command's now; the archive is not to be loaded again.
        match self.add()? {
            (_, Status::SUCCESS) => Ok(()),
            (_, status) => Err(Died(status)),
        }
    }

    /// `dkms autoinstall --all-kernels`: every kernel that has headers, the oldest first.
    fn autoinstall_all_kernels(&mut self) -> Result<(), Died> {
        self.no_all("autoinstall")?;
        self.must_be_root()?;
        let arch = self.first_target().arch;
        let mut kernels: Vec<KernelRelease> = fs::read_dir(&self.install_tree)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| KernelRelease::new(entry.file_name().into_string().ok()?).ok())
            .filter(|kernel| {
                self.install_tree
                    .join(kernel.as_str())
                    .join("build/include")
                    .exists()
            })
            .collect();
        kernels.sort_by(|a, b| kiln_kernel::version::compare(a.as_str(), b.as_str()));
        let targets: Vec<target::Target> = kernels
            .into_iter()
            .map(|kernel| target::Target {
                kernel,
                arch: arch.clone(),
            })
            .collect();
        for target in &targets {
            self.judge_kernel(target)?;
        }
        self.prefetch_kernels(&targets)?;
        let mut worst = Ok(());
        let mut any = false;
        for target in targets {
            self.targets = vec![target.clone()];
            match self.subshell(|session| session.autoinstall(&target)) {
                Ok(installed) => any |= installed,
                Err(died) => worst = Err(died),
            }
        }
        if any && worst.is_ok() {
            worst = self.run_post_transaction();
        }
        worst
    }
}
