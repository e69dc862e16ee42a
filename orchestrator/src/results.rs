//! Puts results where `-o` asks for them:
//! `DIR/<kernel>/<arch>/<package>/<version>/{<module>.ko,Module.symvers,make.log}`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use kiln_cache::{ActionRecord, FileMode, Store};
use kiln_files::{NewFile, is_same};

use crate::{
    error::CommandError,
    job::open_log,
    plan::{CellId, Plan, SourceLocation},
};

/// The name of a cell's log.
const LOG: &str = "make.log";

/// The directory of a cell's results below `root`.
pub(crate) fn directory(root: &Path, plan: &Plan, cell: CellId) -> PathBuf {
    let cell = &plan.cells[cell.index()];
    let kernel = &plan.kernels[cell.kernel].tree;
    root.join(kernel.release.as_str())
        .join(kernel.arch.as_str())
        .join(&plan.packages[cell.package].label)
}

/// Copies a cell's results below `root`, verified; files that are right already stay.
pub(crate) fn deliver(
    store: &Store,
    root: &Path,
    plan: &Plan,
    cell: CellId,
    record: &ActionRecord,
) -> Result<(), CommandError> {
    let directory = directory(root, plan, cell);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::Output { path, source }
    };
    fs::create_dir_all(&directory).map_err(failed(&directory))?;
    refuse_source(plan, cell, &directory)?;
    for output in &record.outputs {
        let to = directory.join(&output.path);
        let parent = to.parent().unwrap_or(&directory);
        fs::create_dir_all(parent).map_err(failed(parent))?;
        let mode = FileMode::of(output.executable);
        if store.restore(&output.object, &to, mode)?.is_none() {
            return Err(gone(&to));
        }
    }
    deliver_log(store, &directory, record)
}

/// Fails if a cell's folder is the source that it was built from: what that has by the names of
/// results is the user's.
pub(crate) fn refuse_source(
    plan: &Plan,
    cell: CellId,
    directory: &Path,
) -> Result<(), CommandError> {
    let package = &plan.packages[plan.cells[cell.index()].package];
    let source = package.input.as_ref().ok().map(|input| &input.location);
    match source {
        Some(SourceLocation::Directory(source)) if is_same(source, directory) => {
            Err(CommandError::Output {
                path: directory.to_owned(),
                source: io::Error::other(
                    "it is the source of the package; put results into another folder",
                ),
            })
        }
        _ => Ok(()),
    }
}

/// The files of a cell's results in its directory.
pub(crate) fn files(directory: &Path, record: &ActionRecord) -> Vec<PathBuf> {
    let outputs = record.outputs.iter().map(|output| output.path.as_str());
    let log = record.log.iter().map(|_| LOG);
    outputs
        .chain(log)
        .map(|path| directory.join(path))
        .collect()
}

/// Writes a cell's log into a directory, unless the one there is of this very record.
pub(crate) fn deliver_log(
    store: &Store,
    directory: &Path,
    record: &ActionRecord,
) -> Result<(), CommandError> {
    let path = directory.join(LOG);
    write_log(store, record, &path).map_err(|source| CommandError::Output { path, source })
}

/// That a result cannot be written, because the cache has it no more.
pub(crate) fn gone(to: &Path) -> CommandError {
    CommandError::Output {
        path: to.to_owned(),
        source: io::Error::new(
            io::ErrorKind::NotFound,
            "it is gone from the cache; run again",
        ),
    }
}

/// Writes the log out, unless the file there is the one of this very record.
fn write_log(store: &Store, record: &ActionRecord, to: &Path) -> io::Result<()> {
    let Some(log) = &record.log else {
        return Ok(());
    };
    if modified(to) == Some(record.created_at()) {
        return Ok(());
    }
    let Some(file) = store.open_object(log).map_err(io::Error::other)? else {
        return Ok(());
    };
    let mut target = NewFile::beside(to, 0o644)?;
    io::copy(&mut open_log(file)?, target.file())?;
    target.file().set_modified(record.created_at())?;
    Ok(target.place()?)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
