//! Takes a job's results out of its sandbox, checks them, and names what is wrong.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use super::check::{CheckFailure, check_module};
use crate::{
    conf::Conf,
    kernel::{KernelRelease, SymbolCrcs},
};

/// One collected file: name and host path.
pub(super) type Collected = Vec<(String, PathBuf)>;

/// Moves the expected results from `out`, where untrusted code put them, into `safe`,
/// where it cannot reach them, reading regular files only.
///
/// # Errors
/// Fails if a module is missing, or not a regular file.
pub(super) fn collect(conf: &Conf, out: &Path, safe: &Path) -> io::Result<Collected> {
    std::fs::create_dir_all(safe)?;
    let mut collected = Vec::new();
    let built = conf.modules.iter().filter(|m| m.excluded.is_none());
    for module in built {
        let name = format!("{}.ko", module.dest_name);
        let path = safe.join(&name);
        take(&out.join(&name), &path)?;
        collected.push((name, path));
    }
    let symvers = "Module.symvers".to_owned();
    if out.join(&symvers).symlink_metadata().is_ok() {
        let path = safe.join(&symvers);
        take(&out.join(&symvers), &path)?;
        collected.push((symvers, path));
    }
    take_beside(
        &out.join("beside"),
        Path::new("beside"),
        safe,
        &mut collected,
    )?;
    Ok(collected)
}

/// Takes the regular files below a directory; nothing else can be a result.
fn take_beside(
    directory: &Path,
    name: &Path,
    safe: &Path,
    collected: &mut Collected,
) -> io::Result<()> {
    if !directory.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return Ok(());
    }
    let mut entries: Vec<_> = std::fs::read_dir(directory)?.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = name.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            take_beside(&entry.path(), &name, safe, collected)?;
        } else if let (true, Some(text)) = (kind.is_file(), name.to_str()) {
            let path = safe.join(&name);
            std::fs::create_dir_all(path.parent().unwrap_or(safe))?;
            take(&entry.path(), &path)?;
            collected.push((text.to_owned(), path));
        }
    }
    Ok(())
}

/// The path below a package's built directory, `<kernel>/<arch>`, of a result: modules and
/// symbols are in `module/`, what POST_BUILD put beside them is where it put it.
pub(crate) fn built_path(output: &str) -> PathBuf {
    match output.strip_prefix("beside/") {
        Some(path) => path.into(),
        None => Path::new("module").join(output),
    }
}

fn take(from: &Path, to: &Path) -> io::Result<()> {
    let source = rustix::fs::open(
        from,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut source = std::fs::File::from(source);
    if !source.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is not a regular file", from.display()),
        ));
    }
    let mut target = std::fs::File::create(to)?;
    io::copy(&mut source, &mut target).map(drop)
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
    let own = match collected.iter().find(|(name, _)| name == "Module.symvers") {
        Some((_, path)) => {
            SymbolCrcs::parse(&String::from_utf8_lossy(&std::fs::read(path)?)).unwrap_or_default()
        }
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
        if let Err(failure) = check_module(module, &std::fs::read(path)?, release, &symbols) {
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}
