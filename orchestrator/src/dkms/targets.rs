//! The kernels and architectures that a command is about.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use kiln_durable::regular;
use kiln_kernel::{Arch, KernelRelease, package::PackageId, version};

use super::{Session, console::Died, programs::program, target::Target, tree::Selection};

impl Session {
    /// Finds what the command line means: what it says, else the running kernel and its
    /// architecture, and with `--all` what the package is built for.
    ///
    /// # Errors
    /// Ends with 16 for names that cannot be.
    pub(crate) fn find_targets(&mut self) -> Result<Vec<Target>, Died> {
        let said = &self.arguments;
        if said.all {
            return Ok(self.targets_of_tree());
        }
        let mut kernels = said.kernels.clone();
        let mut arches = said.arches.clone();
        if kernels.is_empty() {
            kernels.push(uname("-r"));
        }
        if arches.is_empty() {
            arches.push(self.default_arch(&kernels[0]));
        }
        if arches.len() == 1 {
            arches.resize(kernels.len(), arches[0].clone());
        }
        for (name, values) in [("kernelver", &kernels), ("arch", &arches)] {
            if let Some(empty) = values.iter().position(String::is_empty) {
                return Err(self.console.die(16, &[&format!("Empty {name}[{empty}]")]));
            }
        }
        let mut targets = Vec::new();
        for (kernel, arch) in kernels.iter().zip(&arches) {
            match Target::new(kernel, arch) {
                Ok(target) => targets.push(target),
                Err(error) => return Err(self.console.die(16, &[&format!("{error}.")])),
            }
        }
        Ok(targets)
    }

    /// Looks again which kernels `--all` means: whoever had the package's lock may have changed that.
    pub(crate) fn find_all_targets_again(&mut self) {
        if self.arguments.all {
            self.targets = self.targets_of_tree();
        }
    }

    /// `--all`: every kernel that the package is built for.
    fn targets_of_tree(&self) -> Vec<Target> {
        let (module, version) = (&self.arguments.module, &self.arguments.module_version);
        let Ok(package) = PackageId::new(module, version) else {
            return Vec::new();
        };
        let mut rows: Vec<(String, Target)> = self
            .tree
            .built(&package, &Selection::default())
            .into_iter()
            .filter_map(|row| {
                let target = row.target?;
                let line = format!(
                    "{} {package}/{}/{}",
                    row.state.name(),
                    target.kernel,
                    target.arch
                );
                Some((line, target))
            })
            .collect();
        rows.sort_by(|a, b| version::compare(&a.0, &b.0));
        rows.into_iter().map(|(_, target)| target).collect()
    }

    /// The architecture where none is said: rpm's word for the kernel's package, or uname's.
    fn default_arch(&self, kernel: &str) -> String {
        if self.distribution.asks_rpm()
            && let Some(arch) = self.arch_of_rpm(kernel)
        {
            return arch;
        }
        let machine = uname("-m");
        let configs = self.install_tree.join(kernel).join("build/configs");
        let ia32e = || {
            fs::read_dir(&configs)
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().contains("ia32e"))
                && regular::text_of_system("/proc/cpuinfo").is_ok_and(|text| text.contains("Intel"))
        };
        if self.distribution.asks_rpm() && machine == "x86_64" && ia32e() {
            return "ia32e".to_owned();
        }
        machine
    }

    fn arch_of_rpm(&self, kernel: &str) -> Option<String> {
        let output = |arguments: &[&str]| {
            Command::new("rpm")
                .args(arguments)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()
                .ok()
        };
        let directory = self.install_tree.join(kernel).display().to_string();
        let owner = String::from_utf8_lossy(&output(&["-qf", &directory])?.stdout)
            .lines()
            .filter(|line| !line.contains("not owned by any package"))
            .find(|line| line.contains("kernel"))
            .unwrap_or_default()
            .to_owned();
        let arch = output(&["-q", "--queryformat", "%{ARCH}", &owner])?;
        arch.status
            .success()
            .then(|| String::from_utf8_lossy(&arch.stdout).into_owned())
    }
}

/// What `uname` says, which need not be the system's own: chroots of builders bring theirs.
pub(crate) fn uname(option: &str) -> String {
    let found = program("uname");
    let own = found
        .is_some_and(|path| path == Path::new("/usr/bin/uname") || path == Path::new("/bin/uname"));
    if !own
        && let Ok(output) = Command::new("uname").arg(option).output()
        && output.status.success()
    {
        return String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    match option {
        "-r" => KernelRelease::running()
            .map(|r| r.to_string())
            .unwrap_or_default(),
        _ => Arch::host().to_string(),
    }
}
