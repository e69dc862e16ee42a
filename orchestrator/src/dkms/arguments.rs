//! The command line of dkms, read as dkms reads it: from left to right, the same options
//! with the same two ways of giving a value, no bundling, prefixes of long options included.
//!
//! Only what is said is kept here, and where that takes the place of what is usual; what it
//! means for the machine is [`super::Session`]'s.

use std::path::{Path, PathBuf};

use kiln_kernel::{KernelConfig, KernelRelease};

use super::console::{Console, Died, Status};

/// What `dkms --version` says; programs parse it.
pub(crate) const RELEASE: &str = "dkms-3.4.3";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Add,
    Remove,
    Build,
    Unbuild,
    Install,
    Uninstall,
    Match,
    Autoinstall,
    Mktarball,
    Ldtarball,
    Status,
    GenerateMok,
    KernelPreinst,
    KernelPostinst,
    KernelPrerm,
    /// kiln's own: build for kernels and report, install nothing.
    Preflight,
}

const ACTIONS: [(&str, Action); 16] = [
    ("add", Action::Add),
    ("remove", Action::Remove),
    ("build", Action::Build),
    ("unbuild", Action::Unbuild),
    ("install", Action::Install),
    ("uninstall", Action::Uninstall),
    ("match", Action::Match),
    ("autoinstall", Action::Autoinstall),
    ("mktarball", Action::Mktarball),
    ("ldtarball", Action::Ldtarball),
    ("status", Action::Status),
    ("generate_mok", Action::GenerateMok),
    ("kernel_preinst", Action::KernelPreinst),
    ("kernel_postinst", Action::KernelPostinst),
    ("kernel_prerm", Action::KernelPrerm),
    ("preflight", Action::Preflight),
];

impl Action {
    /// Its name on the command line and in messages.
    pub(crate) fn name(self) -> &'static str {
        ACTIONS
            .iter()
            .find(|(_, action)| *action == self)
            .map_or("", |(name, _)| name)
    }

    fn of_name(name: &str) -> Option<Self> {
        ACTIONS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, action)| *action)
    }
}

/// A command line.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) action: Option<Action>,
    pub(crate) module: String,
    pub(crate) module_version: String,
    pub(crate) kernels: Vec<String>,
    pub(crate) arches: Vec<String>,
    pub(crate) template_kernel: String,
    /// `-c`: another dkms.conf.
    pub(crate) conf: Option<PathBuf>,
    pub(crate) archive: Option<PathBuf>,
    /// A source tree given by its directory or its dkms.conf.
    pub(crate) source: Option<PathBuf>,
    /// `--config`: the kernel's configuration.
    pub(crate) kernel_config: Option<PathBuf>,
    pub(crate) kernel_source_dir: Option<PathBuf>,
    pub(crate) dkms_tree: Option<PathBuf>,
    pub(crate) source_tree: Option<PathBuf>,
    pub(crate) install_tree: Option<PathBuf>,
    pub(crate) directives: Vec<String>,
    /// `-j`: as given; dkms hands it to make as it is.
    pub(crate) jobs: Option<String>,
    pub(crate) all: bool,
    pub(crate) all_kernels: bool,
    pub(crate) binaries_only: bool,
    pub(crate) source_only: bool,
    pub(crate) force: bool,
    pub(crate) force_version_override: bool,
    pub(crate) json: bool,
    pub(crate) modprobe_on_install: bool,
    pub(crate) no_depmod: bool,
    /// kiln's own: no script of a package is run on the machine itself.
    pub(crate) no_scripts: bool,
    pub(crate) rpm_safe_upgrade: bool,
    pub(crate) symlink_modules: bool,
    pub(crate) verbose: bool,
}

impl Arguments {
    /// Reads a command line, without the program's own name, which messages call `program`.
    ///
    /// # Errors
    /// Ends for an option that dkms does not know, and for those that only print.
    pub(crate) fn parse(
        program: &str,
        words: Vec<String>,
        console: &mut Console,
    ) -> Result<Self, Died> {
        let mut arguments = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || match word.split_once('=') {
                Some((_, value)) => trimmed(value),
                None => trimmed(&words.next().unwrap_or_default()),
            };
            match word.as_str() {
                w if w.starts_with("--module") || w == "-m" => {
                    let value = value();
                    arguments.module_and_version(&value);
                }
                "-v" => arguments.module_version = value(),
                w if w.starts_with("--kernelver") || w == "-k" => {
                    let value = value();
                    arguments.kernel_and_arch(&value);
                }
                w if w.starts_with("--templatekernel") => arguments.template_kernel = value(),
                "-c" => arguments.conf = Some(value().into()),
                "--quiet" | "-q" => console.silence(),
                "--version" | "-V" => {
                    console.line(RELEASE);
                    return Err(Died(Status::SUCCESS));
                }
                "--no-initrd" | "--no-clean-kernel" | "--no-prepare-kernel" => {
                    console.deprecated(&word);
                }
                "--binaries-only" => arguments.binaries_only = true,
                "--source-only" => arguments.source_only = true,
                "--force" => arguments.force = true,
                "--force-version-override" => arguments.force_version_override = true,
                "--all" => arguments.all = true,
                "--all-kernels" => arguments.all_kernels = true,
                "--json" => arguments.json = true,
                "--verbose" => arguments.verbose = true,
                "--rpm_safe_upgrade" => arguments.rpm_safe_upgrade = true,
                w if w.starts_with("--dkmstree") => arguments.dkms_tree = Some(value().into()),
                w if w.starts_with("--sourcetree") => arguments.source_tree = Some(value().into()),
                w if w.starts_with("--installtree") => {
                    arguments.install_tree = Some(value().into());
                }
                "--symlink-modules" => arguments.symlink_modules = true,
                w if w.starts_with("--config") => arguments.kernel_config = Some(value().into()),
                w if w.starts_with("--archive") => arguments.archive = Some(value().into()),
                w if w.starts_with("--arch") || w == "-a" => arguments.arches.push(value()),
                w if w.starts_with("--kernelsourcedir") => {
                    let said = PathBuf::from(value());
                    // Builds see a tree where it is, and not each link that leads to it.
                    let tree = std::fs::canonicalize(&said).unwrap_or(said);
                    arguments.kernel_source_dir = Some(tree);
                }
                w if w.starts_with("--directive") => arguments.directives.push(value()),
                "--no-depmod" => arguments.no_depmod = true,
                "--no-scripts" => arguments.no_scripts = true,
                "--modprobe-on-install" => arguments.modprobe_on_install = true,
                // dkms turns on bash's tracing; there is no bash to trace.
                "--debug" => {}
                "-j" => arguments.jobs = Some(value()),
                "--help" | "-h" => {
                    usage(program, console);
                    return Err(Died(Status::SUCCESS));
                }
                w if w.starts_with('-') => {
                    console.error(&[&format!("Unknown option: {w}")]);
                    usage(program, console);
                    return Err(Died(Status(2)));
                }
                w => arguments.word(w, console)?,
            }
        }
        arguments.check(console)?;
        Ok(arguments)
    }

    /// The build tree of a kernel, which is usually where kernels are installed.
    pub(crate) fn build_tree(&self, install_tree: &Path, kernel: &KernelRelease) -> PathBuf {
        match &self.kernel_source_dir {
            Some(directory) => directory.clone(),
            None => install_tree.join(kernel.as_str()).join("build"),
        }
    }

    /// The file with a kernel's configuration, which is usually in its build tree.
    pub(crate) fn config_file(&self, install_tree: &Path, kernel: &KernelRelease) -> PathBuf {
        match &self.kernel_config {
            Some(file) => file.clone(),
            None => KernelConfig::path(&self.build_tree(install_tree, kernel)),
        }
    }

    /// A word that is no option: an action, a source tree, an archive or a package.
    fn word(&mut self, word: &str, console: &mut Console) -> Result<(), Died> {
        let path = Path::new(word);
        if let Some(action) = Action::of_name(word) {
            if self.action.is_some() {
                return Err(console.die(4, &["Cannot specify more than one action."]));
            }
            self.action = Some(action);
        } else if path.is_file() && word.ends_with("dkms.conf") {
            let directory = word.strip_suffix("dkms.conf").unwrap_or_default();
            self.source = Some(format!("{directory}./").into());
        } else if path.is_dir() && path.join("dkms.conf").symlink_metadata().is_ok() {
            self.source = Some(path.to_owned());
        } else if path.exists() && !path.is_dir() {
            self.archive = Some(path.to_owned());
        } else if self.module.is_empty() {
            self.module_and_version(word);
        } else {
            console.warn(&[&format!("I do not know how to handle {word}.")]);
        }
        Ok(())
    }

    /// `module` or `module/version`.
    fn module_and_version(&mut self, text: &str) {
        match text.split_once('/') {
            Some((module, version)) => {
                self.module = module.to_owned();
                self.module_version = version.to_owned();
            }
            None => self.module = text.to_owned(),
        }
    }

    /// `kernel` or `kernel/arch`.
    fn kernel_and_arch(&mut self, text: &str) {
        match text.split_once('/') {
            Some((kernel, arch)) => {
                self.kernels.push(kernel.to_owned());
                self.arches.push(arch.to_owned());
            }
            None => self.kernels.push(text.to_owned()),
        }
    }

    /// What cannot be said together.
    fn check(&self, console: &mut Console) -> Result<(), Died> {
        if self.binaries_only && self.source_only {
            return Err(console.die(
                8,
                &[
                    "You have specified both --binaries-only and --source-only.",
                    "You cannot do this.",
                ],
            ));
        }
        if self.kernels.len() != self.arches.len() && self.arches.len() > 1 {
            return Err(console.die(
                1,
                &[
                    "If more than one arch is specified on the command line, then there",
                    "must be an equal number of kernel versions also specified (1:1 relationship).",
                ],
            ));
        }
        if !self.kernels.is_empty() && self.all {
            return Err(console.die(
                2,
                &[
                    "You cannot specify a kernel version and also specify",
                    "--all on the command line.",
                ],
            ));
        }
        if !self.arches.is_empty() && self.all {
            return Err(console.die(
                3,
                &[
                    "You cannot specify an arch and also specify",
                    "--all on the command line.",
                ],
            ));
        }
        Ok(())
    }
}

/// A value as bash's `read` leaves it: without white space around it.
fn trimmed(value: &str) -> String {
    let line = value.split('\n').next().unwrap_or_default();
    line.trim_matches([' ', '\t']).to_owned()
}

/// How dkms is called.
pub(crate) fn usage(program: &str, console: &mut Console) {
    console.line(format_args!("Usage: {program} [action] [options]"));
    for line in [
        "  [action]  = { add | remove | build | unbuild | install | uninstall | match |",
        "               autoinstall | mktarball | ldtarball | status | generate_mok |",
        "               kernel_preinst | kernel_postinst | kernel_prerm }",
        "  [options] = [-m module] [-v module-version] [-k kernel-version] [-a arch]",
        "              [-c dkms.conf-location] [-q] [--force] [--force-version-override] [--all]",
        "              [--templatekernel=kernel] [--directive='cli-directive=cli-value']",
        "              [--config=kernel-include/config/auto.conf-location] [--archive=tarball-location]",
        "              [--kernelsourcedir=source-location] [--rpm_safe_upgrade]",
        "              [--dkmstree path] [--sourcetree path] [--installtree path]",
        "              [--binaries-only] [--source-only] [--verbose]",
        "              [--no-depmod] [--no-scripts] [--modprobe-on-install] [-j number]",
        "              [--version] [--help]",
    ] {
        console.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        let words = line.split_whitespace().map(str::to_owned).collect();
        Arguments::parse("dkms", words, &mut Console::new()).unwrap()
    }

    #[test]
    fn values_follow_an_equals_sign_or_a_space() {
        for line in [
            "build -m a/1 -k 6.1/x86_64",
            "build a/1 --kernelver=6.1/x86_64",
            "build --module=a/1 --kernelver 6.1 --arch=x86_64",
            "-m a -v 1 build -k 6.1 -a x86_64",
        ] {
            let arguments = parse(line);
            assert_eq!(arguments.action, Some(Action::Build), "{line}");
            assert_eq!(arguments.module, "a", "{line}");
            assert_eq!(arguments.module_version, "1", "{line}");
            assert_eq!(arguments.kernels, ["6.1"], "{line}");
            assert_eq!(arguments.arches, ["x86_64"], "{line}");
        }
    }

    #[test]
    fn archive_is_not_taken_for_an_architecture() {
        let arguments = parse("ldtarball --archive=/x.tar.gz");
        assert_eq!(arguments.archive, Some(PathBuf::from("/x.tar.gz")));
        assert!(arguments.arches.is_empty());
    }

    #[test]
    fn contradictions_end_with_their_own_status() {
        for (line, status) in [
            ("add --bogus", 2),
            ("add build", 4),
            ("mktarball --binaries-only --source-only", 8),
            ("build -k 1 -a x -a y", 1),
            ("remove --all -k 1", 2),
            ("remove --all -a x", 3),
        ] {
            let words = line.split_whitespace().map(str::to_owned).collect();
            let mut console = Console::new();
            console.silence();
            let died = Arguments::parse("dkms", words, &mut console).unwrap_err();
            assert_eq!(died, Died(Status(status)), "{line}");
        }
    }
}
