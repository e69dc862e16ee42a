//! What a transaction does first: dealing with what an earlier process left when it died.

use std::path::{Path, PathBuf};

use kiln_durable::{Disk, Failure};

use super::{
    error::{Meaning, TransactionError},
    journal::{Found, Journal, Stage},
    plan, view,
};

/// What an earlier process had left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing.
    Nothing,
    /// Preparations, which were taken back.
    RolledBack,
    /// Changes, which are complete now but for depmod.
    Finished,
    /// A journal that cannot be read. Each module is as it was or as it should have become.
    Damaged,
}

impl Recovered {
    /// Whether depmod is due.
    pub fn needs_depmod(self) -> bool {
        matches!(self, Self::Finished | Self::Damaged)
    }
}

/// Finishes or takes back what is in a kernel's journal. Its plan is about the kernel and a DKMS tree, both without links.
pub(super) fn recover(
    disk: &Disk,
    journal: &Journal,
    kernel: &Path,
    tree: &Path,
) -> Result<Recovered, TransactionError> {
    journal.must_be_own()?;
    let pending = journal.is_at(Stage::Depmod);
    let commit = journal.read(Stage::Commit)?;
    let prepare = journal.read(Stage::Prepare)?;
    for (stage, found) in [(Stage::Commit, &commit), (Stage::Prepare, &prepare)] {
        if let Found::Plan(plan) = found
            && let Some(stray) = plan.stray(&[kernel, tree]).cloned()
        {
            let path: PathBuf = journal.path(stage);
            return Err(TransactionError::Stray { path, stray });
        }
    }
    let recovered = match (commit, prepare) {
        (Found::Plan(plan), _) => plan.apply(disk).map(|()| Recovered::Finished),
        // It was whole when it got its name, so a disk has failed.
        (Found::Damaged, _) => remove_prepared(disk, kernel).map(|()| Recovered::Damaged),
        (Found::Nothing, Found::Plan(plan)) => plan.take_back(disk).map(|()| Recovered::RolledBack),
        // Its writing was interrupted, so nothing was prepared.
        (Found::Nothing, Found::Damaged) => Ok(Recovered::RolledBack),
        (Found::Nothing, Found::Nothing) if pending => return Ok(Recovered::Finished),
        (Found::Nothing, Found::Nothing) => {
            // Its making or removal may have been interrupted.
            if journal.exists() {
                let _ = journal.remove(disk, Stage::Prepare);
            }
            return Ok(Recovered::Nothing);
        }
    };
    recovered
        .and_then(|recovered| {
            if recovered.needs_depmod() {
                journal.advance(disk, Stage::Commit, Stage::Depmod)?;
                journal.sync(disk)?;
                return Ok(recovered);
            }
            journal.remove(disk, Stage::Prepare)?;
            Ok(if pending {
                Recovered::Finished
            } else {
                recovered
            })
        })
        .map_err(Failure::while_recovering)
}

/// Removes what was prepared in a kernel's directory, by its names.
fn remove_prepared(disk: &Disk, kernel: &Path) -> Result<(), Failure> {
    let mut files = Vec::new();
    let _ = view::real_files_below(kernel, &mut files);
    let is_prepared = |path: &&std::path::PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(plan::PREPARED))
    };
    files
        .iter()
        .filter(is_prepared)
        .try_for_each(|path| disk.remove(path))
}
