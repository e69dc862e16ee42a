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
    Ok(collected)
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
