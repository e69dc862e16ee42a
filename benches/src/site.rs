//! What is measured, on what, and where: the binary, the packages, the kernels, a directory.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
};

use tempfile::TempDir;

use crate::{Result, options::Options};

/// Packages of one file or a few, for `--quick`.
const QUICK: [&str; 3] = ["acpi-call", "v4l2loopback", "rapiddisk"];

/// The surroundings of all comparisons.
pub(crate) struct Site {
    /// The binary.
    pub(crate) kiln: PathBuf,
    /// The root of the repository.
    pub(crate) root: PathBuf,
    /// The source directories of the corpus, by name.
    pub(crate) packages: Vec<PathBuf>,
    /// Releases, the newest first.
    pub(crate) kernels: Vec<String>,
    /// Cores of the machine.
    pub(crate) cores: usize,
    /// How often to repeat what is cheap.
    pub(crate) repeats: usize,
    /// Where the figures are written.
    pub(crate) output: PathBuf,
    /// The command that was given.
    pub(crate) command: String,
    /// Scratch space on the disk that caches are on, too; others may pass through.
    work: TempDir,
}

impl Site {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or("the repository has no root")?
            .to_owned();
        let mut packages: Vec<PathBuf> = fs::read_dir(root.join("corpus/src"))
            .map_err(|_| "corpus/src is missing: `make bench` provides it")?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join("dkms.conf").exists())
            .collect();
        packages.sort();
        let mut kernels: Vec<String> = fs::read_to_string(root.join("corpus/kernels"))?
            .lines()
            .map(str::to_owned)
            .collect();
        if options.quick {
            packages.retain(|path| QUICK.iter().any(|name| file_name(path).starts_with(name)));
            kernels.truncate(2);
        }
        if packages.is_empty() || kernels.is_empty() {
            return Err("the corpus is empty: `make bench` provides it".into());
        }
        let partial = options.quick || !options.only.is_empty();
        let default = if partial {
            env::temp_dir().join("kiln-benchmarks.md")
        } else {
            root.join("docs/benchmarks.md")
        };
        Ok(Self {
            kiln: fs::canonicalize(&options.kiln)?,
            root,
            packages,
            kernels,
            cores: thread::available_parallelism()?.get(),
            repeats: if options.quick { 3 } else { 7 },
            output: options.output.clone().unwrap_or(default),
            command: options.command(),
            work: tempfile::Builder::new()
                .prefix("kiln-bench-")
                .permissions(fs::Permissions::from_mode(0o755))
                .tempdir_in("/var/tmp")?,
        })
    }

    /// A path below the scratch space.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// The package whose directory name starts so.
    pub(crate) fn package(&self, prefix: &str) -> Option<PathBuf> {
        let mut packages = self.packages.iter();
        packages
            .find(|path| file_name(path).starts_with(prefix))
            .cloned()
    }
}

/// Whether the bench runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// The last part of a path.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// NAME/VERSION, as the package's own conf says. The corpus has plain assignments only.
pub(crate) fn label(source: &Path) -> Result<String> {
    let conf = fs::read_to_string(source.join("dkms.conf"))?;
    let field = |name: &str| {
        let line = conf
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default()
            .trim_matches(|c: char| c == '"' || c == '\'' || c.is_whitespace())
            .to_owned()
    };
    Ok(format!(
        "{}/{}",
        field("PACKAGE_NAME"),
        field("PACKAGE_VERSION")
    ))
}
