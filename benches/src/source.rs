//! Sources that no cache knows: what a job costs is measured on them, for `--no-cache` also reads every file of the
//! kernel again and asks the compiler anew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::{Result, measure::checked, site::file_name};

/// A file that no package includes.
const FILE: &str = "kiln-bench-fresh.h";

/// Copies packages into a directory.
pub(crate) fn copies(packages: &[PathBuf], into: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(into)?;
    packages
        .iter()
        .map(|package| {
            let copy = into.join(file_name(package));
            checked(Command::new("cp").arg("-a").arg(package).arg(&copy))?;
            Ok(copy)
        })
        .collect()
}

/// Makes packages ones that were never built, though the same comes out of them.
pub(crate) fn renew(packages: &[PathBuf]) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let text = format!("/* {} */\n", now.as_nanos());
    for package in packages {
        fs::write(package.join(FILE), &text)?;
    }
    Ok(())
}
