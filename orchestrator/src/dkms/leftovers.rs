//! Directories of the tree that go at once, and what commands leave that are killed meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kiln_files::FilesError;

use super::{Session, add::reason_of};

/// How what is being removed starts, and what is being made.
pub(crate) const LEFTOVER: &str = ".tmp_";

/// The name under which a directory is removed.
fn leftover(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{LEFTOVER}{name}"))
}

impl Session {
    /// Removes a directory of the tree; says so where that cannot be done. It goes at once: whoever is killed
    /// meanwhile leaves a hidden directory, and none that is half there.
    /// Nothing is removed through a link: what is behind it is not the tree's.
    pub(crate) fn remove_tree(&mut self, path: &Path) {
        if let Some(link) = self.link_on_the_way(path) {
            let (path, link) = (path.display(), link.display());
            self.console
                .warn(&[&format!("cannot remove {path}: {link} is a link")]);
            return;
        }
        let aside = leftover(path);
        let _ = kiln_files::remove_tree(&aside);
        let moved = fs::rename(path, &aside).is_ok();
        let removed = kiln_files::remove_tree(if moved { &aside } else { path });
        if let Err(error) = removed {
            if moved && matches!(error, FilesError::MountPoint { .. }) {
                let _ = fs::rename(&aside, path);
            }
            let said = format!("cannot remove {}: {}", path.display(), reason_of(&error));
            self.console.warn(&[&said]);
        }
    }

    /// The first link among the directories of the tree that a path in it goes through.
    pub(crate) fn link_on_the_way(&self, path: &Path) -> Option<PathBuf> {
        let above: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .take_while(|directory| {
                *directory != self.tree.root && path.starts_with(&self.tree.root)
            })
            .collect();
        let mut down = above.into_iter().rev();
        down.find(|directory| directory.is_symlink())
            .map(Path::to_owned)
    }
}

/// What commands that were killed have left of a version and of its module's other versions.
pub(crate) fn remove_leftovers(version: &Path) {
    if let Some(module) = version.parent() {
        if module.is_symlink() {
            return;
        }
        remove_leftovers_in(module);
    }
    if version.is_symlink() {
        return;
    }
    remove_leftovers_in(version);
    for entry in fs::read_dir(version).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() || !path.is_dir() {
            continue;
        }
        remove_leftovers_in(&path);
        // Only goes if nothing is in it.
        let _ = fs::remove_dir(&path);
    }
}

/// Removes what commands that were killed have left in a directory. They leave nothing behind a link.
pub(crate) fn remove_leftovers_in(directory: &Path) {
    if directory.is_symlink() {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(LEFTOVER) {
            // Whatever is mounted there stays.
            let _ = kiln_files::remove_tree(&entry.path());
        }
    }
}
