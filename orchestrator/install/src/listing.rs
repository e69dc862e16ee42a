//! The regular files of a kernel's directory, read once: thousands of files, looked up for every module.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{error::TransactionError, overlay::Overlay, view};

/// The files, in the order in which find(1) comes upon them.
pub(super) struct Listing {
    files: Vec<PathBuf>,
    by_name: HashMap<OsString, Vec<usize>>,
}

impl Listing {
    /// Reads a directory, which is given by its key.
    pub(super) fn read(kernel: &Path) -> Result<Self, TransactionError> {
        let mut files = Vec::new();
        view::real_files_below(kernel, &mut files)?;
        let mut by_name: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, path) in files.iter().enumerate() {
            let name = path.file_name().unwrap_or_default();
            by_name.entry(name.to_os_string()).or_default().push(at);
        }
        Ok(Self { files, by_name })
    }

    /// The keys of the files with one of some names, with an overlay's changes.
    pub(super) fn find(&self, kernel: &Path, names: &[&OsStr], overlay: &Overlay) -> Vec<PathBuf> {
        let mut at: Vec<usize> = names
            .iter()
            .filter_map(|name| self.by_name.get(*name))
            .flatten()
            .copied()
            .collect();
        at.sort_unstable();
        at.dedup();
        let mut found: Vec<PathBuf> = at.into_iter().map(|at| self.files[at].clone()).collect();
        let added = overlay.added_below(kernel, |path| {
            path.file_name().is_some_and(|name| names.contains(&name)) && !found.contains(path)
        });
        found.retain(|path| overlay.is_still_file(path));
        found.extend(added);
        found
    }
}
