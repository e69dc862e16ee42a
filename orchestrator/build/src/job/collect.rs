//! Takes a job's results out of its sandbox, checks them, and names what is wrong.
//!
//! None of its processes is left by then. What they left are names of any kind: directories are entered by their
//! descriptors, nothing is followed, and no more is taken than the job may have.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use kiln_files::Directory;
use kiln_kernel::{KernelRelease, SymbolCrcs, sizes};
use rustix::fs::FileType;

use super::check::{CheckFailure, check_module};
use crate::conf::Conf;

/// One collected file: name and host path.
pub(super) type Collected = Vec<(String, PathBuf)>;

/// The result that says what the modules export.
const SYMVERS: &str = "Module.symvers";

/// More files than this are no results.
const MOST_FILES: usize = 10_000;

/// Nor are files in directories that are nested deeper.
const DEEPEST: usize = 64;

/// Why results are not taken.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is more than a job may leave.
    #[error("more results than limits.results allows ({} MiB in {MOST_FILES} files)", limit >> 20)]
    TooMuch {
        /// The limit in bytes.
        limit: u64,
    },
    /// It exports more than any package does.
    #[error("{SYMVERS} has more than {} bytes", sizes::SYMBOLS)]
    Symbols,
    /// One is missing, is no regular file, or cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Moves the expected results from `out`, where untrusted code put them, into `safe`,
/// where it cannot reach them, reading regular files only.
///
/// # Errors
/// Fails if a module is missing, or not a regular file, and if there is more than `limit` bytes.
pub(super) fn collect(
    conf: &Conf,
    out: &Path,
    safe: &Path,
    limit: u64,
) -> Result<Collected, CollectError> {
    std::fs::create_dir_all(safe)?;
    let out = Directory::open_itself(out)?;
    let mut collection = Collection {
        safe,
        limit,
        left: limit,
        collected: Vec::new(),
    };
    let built = conf.modules.iter().filter(|m| m.excluded.is_none());
    for module in built {
        let name = format!("{}.ko", module.dest_name);
        collection.take(&out, OsStr::new(&name), name.clone())?;
    }
    match collection.take(&out, OsStr::new(SYMVERS), SYMVERS.to_owned()) {
        Err(CollectError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        taken => taken?,
    }
    let beside = Path::new("beside");
    match out.metadata(beside) {
        Ok(found) if found.is_dir() => {
            collection.take_below(&out.directory(beside)?, beside, DEEPEST)?;
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(collection.collected)
}

/// What has been taken so far.
struct Collection<'c> {
    safe: &'c Path,
    limit: u64,
    /// How many bytes more may be taken.
    left: u64,
    collected: Collected,
}

impl Collection<'_> {
    /// Takes the regular files below a directory; nothing else can be a result.
    fn take_below(
        &mut self,
        directory: &Directory,
        path: &Path,
        depth: usize,
    ) -> Result<(), CollectError> {
        let too_much = CollectError::TooMuch { limit: self.limit };
        let mut entries = Vec::new();
        for entry in directory.entries()? {
            entries.push(entry?);
            if entries.len() > MOST_FILES {
                return Err(too_much);
            }
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, kind) in entries {
            let path = path.join(&name);
            match (kind, path.to_str()) {
                (FileType::Directory, _) if depth == 0 => return Err(too_much),
                (FileType::Directory, _) => {
                    let inner = directory.directory(Path::new(&name))?;
                    self.take_below(&inner, &path, depth - 1)?;
                }
                (FileType::RegularFile, Some(text)) => {
                    self.take(directory, &name, text.to_owned())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a file, which `result` is to be called.
    fn take(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        result: String,
    ) -> Result<(), CollectError> {
        let source = directory.file(Path::new(name))?;
        let found = source.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{result} is not a regular file"),
            )
            .into());
        }
        if result == SYMVERS && found.len() > sizes::SYMBOLS {
            return Err(CollectError::Symbols);
        }
        let too_much = CollectError::TooMuch { limit: self.limit };
        if found.len() > self.left || self.collected.len() == MOST_FILES {
            return Err(too_much);
        }
        let path = self.safe.join(&result);
        std::fs::create_dir_all(path.parent().unwrap_or(self.safe))?;
        let mut target = File::create(&path)?;
        // It may be said to be shorter than it is, as a file of a process's memory is.
        let taken = io::copy(&mut source.take(self.left + 1), &mut target)?;
        self.left = self.left.checked_sub(taken).ok_or(too_much)?;
        self.collected.push((result, path));
        Ok(())
    }
}

/// The path below a package's built directory, `<kernel>/<arch>`, of a result: modules and
/// symbols are in `module/`, what POST_BUILD put beside them is where it put it.
pub fn built_path(output: &str) -> PathBuf {
    match output.strip_prefix("beside/") {
        Some(path) => path.into(),
        None => Path::new("module").join(output),
    }
}

/// Checks every collected module.
///
/// # Errors
/// The outer error is an I/O error; the inner one says that a module is not right.
pub(super) fn check(
    collected: &Collected,
    release: &KernelRelease,
    kernel: &SymbolCrcs,
    dependencies: &[SymbolCrcs],
) -> io::Result<Result<(), CheckFailure>> {
    let own = match collected.iter().find(|(name, _)| name == SYMVERS) {
        Some((_, path)) => SymbolCrcs::of_open(&File::open(path)?)?,
        None => SymbolCrcs::default(),
    };
    let symbols: Vec<&SymbolCrcs> = [&own]
        .into_iter()
        .chain(dependencies)
        .chain([kernel])
        .collect();
    for (name, path) in collected {
        let Some(module) = name.strip_suffix(".ko") else {
            continue;
        };
        if let Err(failure) = check_module(module, File::open(path)?, release, &symbols) {
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}
