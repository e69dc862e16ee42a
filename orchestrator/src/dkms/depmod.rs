//! Running depmod, once for all that was changed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Session, target::Target};

/// When depmod is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// After each change.
    Now,
    /// Never (`--no-depmod`).
    Never,
    /// By the caller, when all is done; nothing is said about it meanwhile.
    Delayed,
}

/// Files that depmod leaves behind (depmod(8)).
const PRODUCTS: [&str; 6] = ["alias", "dep", "devname", "softdep", "symbols", "weakdep"];

impl Session {
    /// Says that depmod runs, runs it, and says how it ended. Gives its exit status.
    pub(crate) fn run_depmod(&mut self, target: &Target) -> i32 {
        self.run_depmod_called(target, target.kernel.as_str())
    }

    /// The same, where dkms's own words name the kernel as `name`.
    pub(crate) fn run_depmod_called(&mut self, target: &Target, name: &str) -> i32 {
        let command = format!("do_depmod {name}");
        self.announce(&command, "Running depmod");
        let status = self.depmod(target);
        self.say_end(&command, status);
        status
    }

    /// Says that depmod has run where it runs later, for all at once.
    pub(crate) fn say_depmod(&mut self, target: &Target) {
        let command = format!("do_depmod {}", target.kernel);
        self.announce(&command, "Running depmod");
        self.say_end(&command, 0);
    }

    /// Runs depmod without a word of its own.
    pub(crate) fn depmod(&mut self, target: &Target) -> i32 {
        if self.depmod == When::Never {
            return 0;
        }
        let directory = self.kernel_directory(target);
        let list = directory.join("modules.dep");
        if !list.is_file() {
            if self.is_verbose() {
                self.console.line(format_args!(
                    "Skipping depmod because '{}' is missing.",
                    list.display()
                ));
            }
            return 0;
        }
        let map = format!("/boot/System.map-{}", target.kernel);
        let mut command = Command::new("depmod");
        command.args(["-a", target.kernel.as_str()]);
        if Path::new(&map).is_file() {
            command.args(["-F", &map]);
        }
        command.stdin(Stdio::null());
        if !self.is_verbose() || self.console.is_quiet() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let status = match command.status() {
            Ok(status) => super::scripts::exit_status(status),
            Err(_) => 127,
        };
        if fs::metadata(&list).is_ok_and(|metadata| metadata.len() == 0) {
            self.remove_last_traces(&directory);
        }
        status
    }

    /// The last module of a kernel that is no longer installed is gone: so go depmod's files.
    fn remove_last_traces(&mut self, directory: &Path) {
        // The directory itself goes when the transaction has left it.
        self.kernel_is_bare = true;
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(kind) = name.strip_prefix("modules.") else {
                continue;
            };
            if (PRODUCTS.contains(&kind) || name.ends_with(".bin"))
                && fs::remove_file(entry.path()).is_ok()
                && self.is_verbose()
            {
                self.console
                    .line(format_args!("removed '{}'", entry.path().display()));
            }
        }
    }

    /// Removes the directory of a kernel of which nothing is left.
    pub(crate) fn remove_bare_kernel(&mut self, target: &Target) {
        if !std::mem::take(&mut self.kernel_is_bare) {
            return;
        }
        let directory = self.kernel_directory(target);
        // Only goes if it is empty.
        if fs::remove_dir(&directory).is_ok() && self.is_verbose() {
            self.console
                .line(format_args!("removed directory {}", directory.display()));
        }
    }
}
