//! Puts results where `-o` asks for them:
//! `DIR/<kernel>/<arch>/<package>/<version>/{<module>.ko,Module.symvers,make.log}`.

mod placing;

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use kiln_cache::{ActionRecord, FileMode, Store, StoreError, Syncing};
use kiln_durable::{Failure, regular};
use kiln_files::is_same;
use rayon::prelude::*;

pub use placing::Placing;

use crate::{
    job::open_log,
    plan::{CellId, Plan, SourceLocation},
};

/// Why results do not get where they were to go.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// They cannot be written.
    #[error("cannot write {path}")]
    Output {
        /// What cannot be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// They cannot be had from the cache.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failure> for DeliveryError {
    fn from(failure: Failure) -> Self {
        Self::Output {
            path: failure.path,
            source: failure.source,
        }
    }
}

/// The name of a cell's log.
pub const LOG: &str = "make.log";

/// The directory of a cell's results below `root`.
pub fn directory(root: &Path, plan: &Plan, cell: CellId) -> PathBuf {
    let cell = &plan.cells[cell.index()];
    let kernel = &plan.kernels[cell.kernel].tree;
    root.join(kernel.release.as_str())
        .join(kernel.arch.as_str())
        .join(&plan.packages[cell.package].label)
}

/// Copies a cell's results below `root`, verified; files that are right already stay.
pub fn deliver(
    store: &Store,
    root: &Path,
    plan: &Plan,
    cell: CellId,
    record: &ActionRecord,
    syncing: Syncing,
) -> Result<(), DeliveryError> {
    let directory = directory(root, plan, cell);
    if syncing == Syncing::First {
        store.disk().make_directories(root, 0o777)?;
    }
    make_path(store, &directory)?;
    refuse_source(plan, cell, &directory)?;
    deliver_into(store, &directory, record, syncing)
}

/// Copies the results of a record into a directory, verified; files that are right already stay.
pub fn deliver_into(
    store: &Store,
    directory: &Path,
    record: &ActionRecord,
    syncing: Syncing,
) -> Result<(), DeliveryError> {
    make_path(store, directory)?;
    // Side by side: syncing them one after the other takes as often as long.
    record.outputs.par_iter().try_for_each(|output| {
        let to = directory.join(&output.path);
        make_path(store, to.parent().unwrap_or(directory))?;
        let mode = FileMode::of(output.executable);
        let restored = store.restore_by(&output.object, &to, mode, syncing);
        match restored.map_err(|error| of_folder(error, directory))? {
            Some(_) => Ok(()),
            None => Err(gone(&to)),
        }
    })?;
    deliver_log(store, directory, record, syncing)
}

/// An error of the store's, as one of the folder that results go into if it is.
fn of_folder(error: StoreError, directory: &Path) -> DeliveryError {
    match error {
        StoreError::NoSpace { path } if path.starts_with(directory) => DeliveryError::Output {
            path,
            source: io::ErrorKind::StorageFull.into(),
        },
        StoreError::ReadOnly { path } if path.starts_with(directory) => DeliveryError::Output {
            path,
            source: io::ErrorKind::ReadOnlyFilesystem.into(),
        },
        StoreError::Io { path, source } if path.starts_with(directory) => {
            DeliveryError::Output { path, source }
        }
        other => other.into(),
    }
}

fn make_path(store: &Store, directory: &Path) -> Result<(), DeliveryError> {
    store
        .disk()
        .make_path(directory, 0o777)
        .map_err(DeliveryError::from)
}

/// Fails if a cell's folder is the source that it was built from: what that has by the names of
/// results is the user's.
pub fn refuse_source(plan: &Plan, cell: CellId, directory: &Path) -> Result<(), DeliveryError> {
    let package = &plan.packages[plan.cells[cell.index()].package];
    let source = package.input.as_ref().ok().map(|input| &input.location);
    match source {
        Some(SourceLocation::Directory(source)) if is_same(source, directory) => {
            Err(DeliveryError::Output {
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
pub fn files(directory: &Path, record: &ActionRecord) -> Vec<PathBuf> {
    let outputs = record.outputs.iter().map(|output| output.path.as_str());
    let log = record.log.iter().map(|_| LOG);
    outputs
        .chain(log)
        .map(|path| directory.join(path))
        .collect()
}

/// Writes a cell's log into a directory, unless the one there is of this very record.
pub fn deliver_log(
    store: &Store,
    directory: &Path,
    record: &ActionRecord,
    syncing: Syncing,
) -> Result<(), DeliveryError> {
    let path = directory.join(LOG);
    write_log(store, record, &path, syncing)
        .map_err(|source| DeliveryError::Output { path, source })
}

/// That a result cannot be written, because the cache has it no more.
pub fn gone(to: &Path) -> DeliveryError {
    DeliveryError::Output {
        path: to.to_owned(),
        source: io::Error::new(
            io::ErrorKind::NotFound,
            "it is gone from the cache; run again",
        ),
    }
}

/// Writes the log out, unless the file there is the one of this very record. Its time alone does
/// not say so: of what was not synced, it may be all that is left.
fn write_log(store: &Store, record: &ActionRecord, to: &Path, syncing: Syncing) -> io::Result<()> {
    let Some(log) = &record.log else {
        return Ok(());
    };
    let Some(file) = store.open_object(log).map_err(io::Error::other)? else {
        return Ok(());
    };
    let mut text = Vec::new();
    open_log(file)?.read_to_end(&mut text)?;
    let ended = record.created_at();
    if modified(to) == Some(ended)
        && regular::read(to, text.len() as u64).is_ok_and(|there| there == text)
    {
        return Ok(());
    }
    let placing = Placing {
        disk: store.disk(),
        mode: 0o644,
        time: Some(ended),
        syncing,
    };
    placing.place(to, |file| file.write_all(&text))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
