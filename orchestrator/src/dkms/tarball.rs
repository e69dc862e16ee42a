//! `dkms mktarball` and `dkms ldtarball`: packages with what was built for them, in one file.

use std::{
    error::Error,
    fs,
    io::{self, Seek},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_archive::{ArchiveError, Below, Limits, unpack_into, unpack_tarball};
use kiln_durable::regular;
use kiln_files::{FilesError, NewFile, SourceTree, TemporaryDirectory, copy_file, replace_tree};
use kiln_kernel::package::PackageId;
use kiln_publish::{BuildFiles, DkmsTarball, KernelBuild, PublishError, TarballContent, Times};

use super::{Session, confs::Strictness, console::Died, remove::is_own_name, target::Target};
use crate::report::chain;

impl Session {
    /// Makes a tarball of the package for the kernels of the command.
    ///
    /// # Errors
    /// Ends with 6, 8 or 9.
    pub(crate) fn make_tarball(&mut self, package: &PackageId) -> Result<(), Died> {
        let first = self.first_target();
        self.read_conf_or_die(package, &first, None, Strictness::Lenient)?;
        let builds = if self.arguments.source_only {
            Vec::new()
        } else {
            self.builds_to_archive(package)?
        };
        let source = self.tree.source(package);
        self.console.line("");
        let content = if self.arguments.binaries_only {
            self.console
                .line("Creating tarball structure to specifically accommodate binaries.");
            let conf = self.arguments.conf.clone();
            TarballContent::Binaries {
                conf: conf.unwrap_or_else(|| source.join("dkms.conf")),
            }
        } else {
            self.console.line(format_args!(
                "Marking {} for archiving...",
                source.display()
            ));
            TarballContent::Source(source)
        };
        let tarball = DkmsTarball {
            name: package.name.as_str().to_owned(),
            version: package.version.as_str().to_owned(),
            content,
            builds,
            times: Times::Kept,
        };
        let mut name = tarball.file_name();
        let mut directory = format!("{}/tarball/", self.tree.version(package).display());
        if let Some(said) = &self.arguments.archive {
            let said = said.display().to_string();
            match said.rsplit_once('/') {
                Some((parent, last)) => {
                    name = last.to_owned();
                    directory = parent.to_owned();
                }
                None => name = said,
            }
        }
        self.pack(&tarball, &directory, &name)
    }

    /// What was built for the kernels of the command.
    fn builds_to_archive(&mut self, package: &PackageId) -> Result<Vec<KernelBuild>, Died> {
        let mut builds = Vec::new();
        for target in self.targets.clone() {
            let built = self.tree.base(package, &target);
            if !built.is_dir() {
                return Err(self.console.die(
                    6,
                    &[
                        &format!("No modules built for {target}."),
                        "Modules must already be in the built state before using mktarball.",
                    ],
                ));
            }
            self.trust
                .judge_all_of(&mut self.console, "what was built", &built)?;
            self.console.line(format_args!(
                "Marking modules for {target} for archiving..."
            ));
            builds.push(KernelBuild {
                kernel: target.kernel.as_str().to_owned(),
                machine: target.arch.as_str().to_owned(),
                files: BuildFiles::Tree(built),
            });
        }
        Ok(builds)
    }

    fn pack(&mut self, tarball: &DkmsTarball, directory: &str, name: &str) -> Result<(), Died> {
        let path = format!("{directory}/{name}");
        self.console.line("");
        self.console.line(format_args!("Tarball location: {path}"));
        let writable = fs::create_dir_all(directory).is_ok()
            && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok();
        if !writable {
            return Err(self
                .console
                .die(9, &[&format!("Missing write permissions for {directory}.")]));
        }
        let path = Path::new(&path);
        let packed = match compressor(path) {
            Some(program) => compress(tarball, path, program),
            None => tarball.write_to(path),
        };
        packed.map_err(|error| {
            let reason = error.source().map(|source| format!(": {source}"));
            let reason = format!("{error}{}", reason.unwrap_or_default());
            self.console.die(6, &["Failed to make tarball.", &reason])
        })
    }

    /// Takes in an archive: one of mktarball's, or any that has a package's source in it. The
    /// package is then the command's. Gives whether it is still to be registered.
    ///
    /// # Errors
    /// Ends with 2, 3, 7, 8, 9 or 10.
    pub(crate) fn load_tarball(&mut self, archive: &Path) -> Result<bool, Died> {
        if !archive.exists() {
            let archive = archive.display();
            return Err(self
                .console
                .die(2, &[&format!("{archive} does not exist.")]));
        }
        self.trust
            .judge(&mut self.console, "the archive", archive)?;
        if archive.extension().is_some_and(|ending| ending == "rpm") {
            return self.load_rpm(archive);
        }
        let stage = self.temporary_directory()?;
        if let Err(error) = unpack_whole(archive, stage.path()) {
            let said = format!(
                "{} cannot be unpacked whole: {}. Nothing of it is loaded.",
                archive.display(),
                chain(&error)
            );
            return Err(self.console.die(7, &[&said]));
        }
        if let Some(link) = way_out(stage.path()) {
            let said = format!("{} of the tarball leads out of it.", link.display());
            return Err(self.console.die(7, &[&said]));
        }
        if !stage.path().join(BUILDS).is_dir() {
            let Some(conf) = find_conf(stage.path()) else {
                return Err(self.console.die(
                    3,
                    &["Tarball does not appear to be a correctly formed DKMS archive. No dkms.conf found within it."],
                ));
            };
            let directory = conf.parent().unwrap_or(stage.path()).to_owned();
            self.add_source_tree(&directory)?;
            return Ok(true);
        }
        let builds = self.builds_of_tarball(&stage.path().join(BUILDS))?;
        let kind = self.kind_of_tarball(archive, stage.path())?;
        let package = self.package("ldtarball")?;
        self.console.line("");
        self.console
            .line(format_args!("Loading tarball for {package}"));
        let sources = self.tree.source_directory(&package);
        if kind == SOURCE {
            self.add_source_tree(&stage.path().join(SOURCE))?;
        } else if !sources.is_dir() {
            let source = self.tree.source(&package);
            self.console
                .line(format_args!("Creating {}", source.display()));
            let made = fs::create_dir_all(&source);
            self.console.line(format_args!(
                "Copying dkms.conf to {} ...",
                source.display()
            ));
            let conf = stage.path().join(BINARIES).join("dkms.conf");
            if let Err(error) =
                made.and_then(|()| copy_file(&conf, &source.join("dkms.conf")).map_err(Into::into))
            {
                return Err(self.cannot_write(&source, &error));
            }
        }
        self.load_modules(&package, &builds)?;
        Ok(kind == SOURCE || sources.is_dir())
    }

    fn load_rpm(&mut self, archive: &Path) -> Result<bool, Died> {
        let mut rpm = Command::new("rpm");
        rpm.arg("-Uvh");
        if let Some(reason) = self.refusal_of_scripts() {
            rpm.args(["--noscripts", "--notriggers"]);
            self.console.line(format_args!(
                "Not running the scripts of {} ({reason}): what it brings is to be added by 'dkms add'.",
                archive.display()
            ));
        }
        rpm.arg(archive);
        if super::scripts::run(&mut self.console, rpm) == 0 {
            let target = self.first_target();
            self.autoinstall(&target)?;
            return Err(Died(super::console::Status::SUCCESS));
        }
        Err(self.console.die(
            9,
            &[
                &format!("Unable to install {} using rpm.", archive.display()),
                "Check to ensure that your system can install .rpm files.",
            ],
        ))
    }

    /// Which of the two kinds a tarball is; its package becomes the command's.
    fn kind_of_tarball(&mut self, archive: &Path, stage: &Path) -> Result<&'static str, Died> {
        for kind in [SOURCE, BINARIES] {
            let conf = stage.join(kind).join("dkms.conf");
            if !conf.is_file() {
                continue;
            }
            let Some((name, version)) = self.package_of_conf(&conf)? else {
                self.console.note("");
                self.console.note("Malformed dkms.conf, refusing to load.");
                continue;
            };
            self.arguments.module.clone_from(&name);
            self.arguments.module_version.clone_from(&version);
            let package = self.package("ldtarball")?;
            if self.tree.is_added(&package) && !self.force {
                return Err(self
                    .console
                    .die(8, &[&format!("{package} is already added!"), "Aborting."]));
            }
            return Ok(kind);
        }
        Err(self.console.die(
            7,
            &[
                "No valid dkms.conf in dkms_source_tree or dkms_binaries_only.",
                &format!("{} is not a valid DKMS tarball.", archive.display()),
            ],
        ))
    }

    /// What a tarball has for kernels, each in a directory of its own.
    ///
    /// # Errors
    /// Ends with 7 if something in it is no such directory, or a link.
    fn builds_of_tarball(&mut self, main: &Path) -> Result<Vec<(PathBuf, Target)>, Died> {
        let mut builds = Vec::new();
        let inner = |kernel: &PathBuf| match kernel.is_dir() && !kernel.is_symlink() {
            true => sorted(kernel),
            false => vec![kernel.clone()],
        };
        for directory in sorted(main).iter().flat_map(inner) {
            if let Some(link) = link_in(&directory) {
                let link = link.strip_prefix(main).unwrap_or(&link).display();
                let said = format!("{link} of the tarball is a link, where files are to be.");
                return Err(self.console.die(7, &[&said]));
            }
            let below = directory.strip_prefix(main).unwrap_or(&directory);
            let mut names = below.iter().map(|name| name.to_str().unwrap_or_default());
            let (kernel, arch) = (names.next(), names.next());
            let target = Target::new(kernel.unwrap_or_default(), arch.unwrap_or_default()).ok();
            let target = target.filter(|target| !is_own_name(target.kernel.as_str()));
            let Some(target) = target.filter(|_| directory.is_dir()) else {
                let said = format!("{} of the tarball is of no kernel.", below.display());
                return Err(self.console.die(7, &[&said]));
            };
            builds.push((directory, target));
        }
        Ok(builds)
    }

    /// Puts modules that were built elsewhere into the tree.
    fn load_modules(
        &mut self,
        package: &PackageId,
        builds: &[(PathBuf, Target)],
    ) -> Result<(), Died> {
        for (from, target) in builds {
            let to = self.tree.base(package, target);
            if to.is_dir() && !self.force {
                self.console
                    .warn(&[&format!("{} already exists. Skipping...", to.display())]);
                continue;
            }
            self.console
                .line(format_args!("Loading {}...", to.display()));
            let loaded = SourceTree::open(from).and_then(|from| replace_tree(&from, &to));
            if let Err(error) = loaded {
                return Err(self.cannot_copy(from, &to, &error));
            }
        }
        Ok(())
    }

    /// A directory to unpack into. Not named as dkms names its own: those have no lock, and would be taken for left behind.
    fn temporary_directory(&mut self) -> Result<TemporaryDirectory, Died> {
        let location = self.variables.value("tmp_location").to_owned();
        let made = TemporaryDirectory::new_in(Path::new(&location), "kiln-dkms-");
        let Ok(made) = made else {
            return Err(self
                .console
                .die(1, &["Unable to make temporary directory."]));
        };
        self.trust
            .judge(&mut self.console, "tmp_location", made.path())?;
        Ok(made)
    }
}

/// The program that tar runs for an ending, where nothing here does its work.
fn compressor(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "Z" | "taZ" => Some("compress"),
        "bz2" | "tz2" | "tbz2" | "tbz" => Some("bzip2"),
        "lz" => Some("lzip"),
        "lzma" | "tlz" => Some("lzma"),
        "lzo" => Some("lzop"),
        _ => None,
    }
}

/// Writes a tarball by way of a program that compresses.
fn compress(tarball: &DkmsTarball, path: &Path, program: &str) -> Result<(), PublishError> {
    let failed = |source| PublishError::Write {
        path: path.to_owned(),
        source,
    };
    let cannot_run = |source| PublishError::Program {
        program: program.into(),
        source,
    };
    // Before there is a file where it goes, which may be in what is archived.
    let mut plain = tempfile::tempfile().map_err(failed)?;
    let mode = tarball.write_plain(&mut plain, path)?;
    plain.rewind().map_err(failed)?;
    let mut to = NewFile::beside(path, mode).map_err(|error| match error {
        FilesError::InTheWay { path } => PublishError::NotAFile { path },
        other => failed(other.into()),
    })?;
    let status = Command::new(program)
        .arg("-c")
        .stdin(plain)
        .stdout(to.file().try_clone().map_err(failed)?)
        .stderr(Stdio::null())
        .status()
        .map_err(cannot_run)?;
    if !status.success() {
        return Err(cannot_run(io::Error::other(status.to_string())));
    }
    to.file().sync_all().map_err(failed)?;
    to.place().map_err(|error| failed(error.into()))
}

/// Unpacks an archive of anybody's into an empty directory.
fn unpack_whole(archive: &Path, into: &Path) -> Result<(), ArchiveError> {
    let Some(program) = compressor(archive) else {
        return unpack_into(archive, into);
    };
    let limits = Limits::default().within(into)?;
    let mut below = Below::new(into)?;
    let mut decompressing = Command::new(program)
        .arg("-dc")
        .stdin(regular::open_at_once(archive)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let unpacked = match decompressing.stdout.take() {
        Some(plain) => unpack_tarball(plain, &limits, &mut below),
        None => Err(ArchiveError::Unknown),
    };
    let status = decompressing.wait()?;
    unpacked?;
    match status.success() {
        true => Ok(()),
        false => Err(ArchiveError::Damaged("it cannot be decompressed")),
    }
}

/// Where a tarball has what was built.
const BUILDS: &str = "dkms_main_tree";
/// Where a tarball has the source.
const SOURCE: &str = "dkms_source_tree";
/// Where a tarball without the source has the conf.
const BINARIES: &str = "dkms_binaries_only";

/// A link that is, or is below, a path.
fn link_in(path: &Path) -> Option<PathBuf> {
    if path.is_symlink() {
        return Some(path.to_owned());
    }
    sorted(path).iter().find_map(|inner| link_in(inner))
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// What is read of an unpacked archive by its path and is not in it.
fn way_out(stage: &Path) -> Option<PathBuf> {
    let whole = fs::canonicalize(stage).ok()?;
    let named = [BUILDS, SOURCE, BINARIES].map(|name| stage.join(name));
    let confs = [SOURCE, BINARIES].map(|name| stage.join(name).join("dkms.conf"));
    named
        .into_iter()
        .chain(confs)
        .chain(find_conf(stage))
        .find(|path| fs::canonicalize(path).is_ok_and(|end| !end.starts_with(&whole)))
        .map(|path| path.strip_prefix(stage).unwrap_or(&path).to_owned())
}

/// The first dkms.conf below a directory.
fn find_conf(directory: &Path) -> Option<PathBuf> {
    let entries = sorted(directory);
    let own = directory.join("dkms.conf");
    if own.is_file() {
        return Some(own);
    }
    entries
        .into_iter()
        .filter(|path| path.is_dir() && !path.is_symlink())
        .find_map(|path| find_conf(&path))
}
