//! The places that dkms works in, covered by directories of the bench. Needs a mount
//! namespace of the bench's own, which [`enter`] gives it.

use std::{
    env, fs,
    os::unix::{
        fs::{MetadataExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Result,
    measure::{Measured, checked, measure},
    site::{Site, label},
};

/// The distribution's dkms.
pub(crate) const THEIRS: &str = "/usr/sbin/dkms";

/// Set in the environment of a bench that has a namespace of its own.
const INSIDE: &str = "KILN_BENCH_INSIDE";

/// Neither signs: no file that can be run stands for "there is nothing to sign with".
const FRAMEWORK: &str = "try_sign_modules=\"false\"\nsign_file=\"/etc/dkms/framework.conf\"\n";

/// Starts the bench again, in a mount namespace of its own; where that is not possible, or
/// has happened, goes on.
pub(crate) fn enter() -> Result<()> {
    if env::var_os(INSIDE).is_some() || !is_root() {
        return Ok(());
    }
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!("unshare: {error}").into())
}

/// Whether there is what it takes.
pub(crate) fn is_possible() -> bool {
    env::var_os(INSIDE).is_some() && Path::new(THEIRS).exists()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// What a kernel consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Headers only: depmod has nothing to do.
    Headers,
    /// All its modules too.
    Image,
    /// The same, with modules compressed by xz as Debian 13, Fedora and others have them: depmod
    /// takes seconds.
    CompressedImage,
}

impl Kernel {
    /// For the report.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Headers => "headers only",
            Self::Image => "kernel with its image",
            Self::CompressedImage => "kernel with its image in .ko.xz",
        }
    }
}

/// Which dkms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    Theirs,
}

/// The covered places.
pub(crate) struct Machine {
    root: PathBuf,
    corpus: PathBuf,
    kernels: Vec<String>,
}

impl Machine {
    /// Covers them.
    pub(crate) fn new(site: &Site) -> Result<Self> {
        let root = site.work("machine");
        for directory in ["usr/src", "var/lib/dkms", "etc/dkms", "bin", "modules"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::write(root.join("etc/dkms/framework.conf"), FRAMEWORK)?;
        symlink(&site.kiln, root.join("bin/dkms"))?;
        for entry in fs::read_dir("/usr/src")? {
            let path = entry?.path();
            let to = root
                .join("usr/src")
                .join(path.file_name().unwrap_or_default());
            if path.is_symlink() {
                symlink(fs::read_link(&path)?, to)?;
            } else if path.join("Makefile").exists() {
                fs::create_dir(&to)?;
                bind(&path, &to)?;
            }
        }
        // The headers' links are read before their place is covered.
        let links: Vec<(String, String, PathBuf)> = site
            .kernels
            .iter()
            .flat_map(|kernel| ["build", "source"].map(|link| (kernel, link)))
            .filter_map(|(kernel, link)| {
                let target = fs::canonicalize(format!("/lib/modules/{kernel}/{link}")).ok()?;
                Some((kernel.clone(), link.to_owned(), target))
            })
            .collect();
        for (kernel, link, target) in links {
            let directory = root.join("headers").join(&kernel);
            fs::create_dir_all(&directory)?;
            symlink(target, directory.join(link))?;
        }
        let sources = root.join("usr/src");
        checked(
            Command::new("mount")
                .arg("--rbind")
                .args([&sources, Path::new("/usr/src")]),
        )?;
        for tree in ["var/lib/dkms", "etc/dkms"] {
            bind(&root.join(tree), &Path::new("/").join(tree))?;
        }
        let machine = Self {
            corpus: site.root.join("corpus"),
            kernels: site.kernels.clone(),
            root,
        };
        bind(&machine.root.join("modules"), Path::new("/lib/modules"))?;
        Ok(machine)
    }

    /// Whether there is such a kernel.
    pub(crate) fn has(&self, kernel: Kernel) -> bool {
        self.image(kernel)
            .is_none_or(|image| image.join("modules.dep").exists())
    }

    /// Where a kernel's own modules are.
    fn image(&self, kernel: Kernel) -> Option<PathBuf> {
        let directory = match kernel {
            Kernel::Headers => return None,
            Kernel::Image => "image",
            Kernel::CompressedImage => "image-xz",
        };
        let modules = self.corpus.join(directory).join("lib/modules");
        Some(modules.join(&self.kernels[0]))
    }

    /// Has empty trees, and for the newest kernel what is asked for.
    pub(crate) fn reset(&self, kernel: Kernel) -> Result<()> {
        let newest = Path::new("/lib/modules").join(&self.kernels[0]);
        unmount(&newest);
        for directory in ["/var/lib/dkms", "/lib/modules"] {
            for entry in fs::read_dir(directory)? {
                fs::remove_dir_all(entry?.path())?;
            }
        }
        for entry in fs::read_dir("/usr/src")? {
            let path = entry?.path();
            if path.join("dkms.conf").exists() {
                fs::remove_dir_all(path)?;
            }
        }
        checked(
            Command::new("sh")
                .args(["-c", "cp -rP \"$1\"/. /lib/modules/", "sh"])
                .arg(self.root.join("headers")),
        )?;
        if let Some(image) = self.image(kernel) {
            let layers = self.root.join("layers");
            let _ = fs::remove_dir_all(&layers);
            let [upper, work] = ["upper", "work"].map(|name| layers.join(name));
            fs::create_dir_all(&work)?;
            // By its own name: a rename does not cross mounts.
            fs::rename(self.root.join("modules").join(&self.kernels[0]), &upper)?;
            fs::create_dir(&newest)?;
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                image.display(),
                upper.display(),
                work.display()
            );
            checked(
                Command::new("mount")
                    .args(["-t", "overlay", "overlay", "-o", &options])
                    .arg(&newest),
            )?;
        }
        Ok(())
    }

    /// Empties kiln's cache.
    pub(crate) fn forget(&self) -> Result<()> {
        match fs::remove_dir_all(self.cache()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts a package's source where it belongs.
    pub(crate) fn source(&self, package: &Path) -> Result<()> {
        let to = format!("/usr/src/{}", label(package)?.replace('/', "-"));
        checked(Command::new("cp").arg("-a").arg(package).arg(to)).map(drop)
    }

    /// Runs a command of dkms.
    pub(crate) fn run(&self, program: Program, arguments: &[&str]) -> Result<Measured> {
        let path = match program {
            Program::Ours => self.root.join("bin/dkms"),
            Program::Theirs => PathBuf::from(THEIRS),
        };
        checked(
            Command::new(path)
                .args(arguments)
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .env("LC_ALL", "C")
                .env("KILN_CACHE", self.cache()),
        )
    }

    /// How long depmod takes for a kernel.
    pub(crate) fn depmod(&self, release: &str) -> Result<Duration> {
        Ok(measure(Command::new("depmod").args(["-a", release]))?.wall)
    }

    /// A directory for what trees are made of.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// The build tree of the newest kernel.
    pub(crate) fn headers(&self) -> PathBuf {
        let link = self
            .root
            .join("headers")
            .join(&self.kernels[0])
            .join("build");
        fs::read_link(&link).unwrap_or(link)
    }

    fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let newest = Path::new("/lib/modules").join(&self.kernels[0]);
        unmount(&newest);
        for place in ["/lib/modules", "/etc/dkms", "/var/lib/dkms", "/usr/src"] {
            unmount(Path::new(place));
        }
        let headers = self.root.join("usr/src");
        for entry in fs::read_dir(headers).into_iter().flatten().flatten() {
            unmount(&entry.path());
        }
    }
}

/// Uncovers a place with all below it, if it is covered.
fn unmount(place: &Path) {
    let mut command = Command::new("umount");
    command.args(["--recursive", "--lazy"]).arg(place);
    let _ = measure(&mut command);
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    checked(Command::new("mount").arg("--bind").args([from, to])).map(drop)
}
