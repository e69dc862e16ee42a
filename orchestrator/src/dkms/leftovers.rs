//! Directories of the tree that go at once, and what commands leave that are killed meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kiln_files::{Directory, FilesError};

use super::{Session, add::reason_of, tree::Tree};

/// How what is being removed starts, and what is being made.
pub(crate) const LEFTOVER: &str = ".tmp_";

/// The name under which a directory is removed.
fn leftover(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{LEFTOVER}{name}"))
}

/// Opens a directory of the tree; none if there is none, or if a link is on the way from the tree's root.
fn open(tree: &Tree, path: &Path) -> Option<Directory> {
    let inner = path.strip_prefix(&tree.root).ok()?;
    Directory::open(&tree.root).ok()?.directory(inner).ok()
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
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        let Some(parent) = open(&self.tree, parent) else {
            return;
        };
        let there = parent.by_number().join(name);
        let aside = leftover(&there);
        let _ = kiln_files::remove_tree(&aside);
        let moved = fs::rename(&there, &aside).is_ok();
        let removed = kiln_files::remove_tree(if moved { &aside } else { &there });
        if let Err(error) = removed {
            if moved && matches!(error, FilesError::MountPoint { .. }) {
                let _ = fs::rename(&aside, &there);
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
pub(crate) fn remove_leftovers(tree: &Tree, version: &Path) {
    if let Some(module) = version.parent() {
        remove_leftovers_in(tree, module);
    }
    let Some(directory) = remove_leftovers_in(tree, version) else {
        return;
    };
    for entry in directory.entries().into_iter().flatten().flatten() {
        let (name, _) = entry;
        if remove_leftovers_in(tree, &version.join(&name)).is_some() {
            // Only goes if nothing is in it.
            let _ = fs::remove_dir(directory.by_number().join(&name));
        }
    }
}

/// Removes what commands that were killed have left in a directory; gives that, if there is one. They leave nothing behind
/// a link.
pub(crate) fn remove_leftovers_in(tree: &Tree, directory: &Path) -> Option<Directory> {
    let directory = open(tree, directory)?;
    for entry in directory.entries().into_iter().flatten().flatten() {
        let (name, _) = entry;
        if name.to_string_lossy().starts_with(LEFTOVER) {
            // Whatever is mounted there stays.
            let _ = kiln_files::remove_tree(&directory.by_number().join(name));
        }
    }
    Some(directory)
}
