//! An action's own DKMS tree, and where others of this machine may appear in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// How deep in a DKMS tree is what belongs together: below a module and its version.
const UNIT_DEPTH: usize = 3;

/// Whether others of this machine may appear in what an action has at a place of its own tree, `laid`: in the tree
/// itself, and in directories of modules and of their versions.
pub(super) fn is_merged(laid: &Path, place: &Path) -> bool {
    let depth = place.strip_prefix(laid).map(|below| below.iter().count());
    depth.is_ok_and(|depth| depth < UNIT_DEPTH)
        && fs::symlink_metadata(place).is_ok_and(|there| there.is_dir())
}

/// What an action has in its own tree, as it sees it.
#[derive(Debug, Default)]
pub struct OwnTree {
    /// Directories in which others of this machine may appear, without the tree itself.
    pub merged: Vec<PathBuf>,
    /// All else, directories as a whole.
    pub own: Vec<PathBuf>,
}

impl OwnTree {
    /// The tree that is laid out at `laid`, and that the action sees at `inside`.
    pub fn new(laid: &Path, inside: &Path) -> Self {
        let mut tree = Self::default();
        let mut open = vec![laid.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let place = entry.path();
                let path = inside.join(place.strip_prefix(laid).unwrap_or(&place));
                if is_merged(laid, &place) {
                    tree.merged.push(path);
                    open.push(place);
                } else {
                    tree.own.push(path);
                }
            }
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_versions_are_merged_and_what_is_in_them_is_not() {
        let laid = tempfile::tempdir().unwrap();
        let laid = laid.path();
        for directory in ["one/1.0/build/src", "two/2.0/k/x86_64/module"] {
            fs::create_dir_all(laid.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink("/usr/src/one-1.0", laid.join("one/1.0/source")).unwrap();
        let OwnTree {
            mut merged,
            mut own,
        } = OwnTree::new(laid, Path::new("/d"));
        merged.sort();
        own.sort();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            merged,
            paths(&["/d/one", "/d/one/1.0", "/d/two", "/d/two/2.0"])
        );
        assert_eq!(
            own,
            paths(&["/d/one/1.0/build", "/d/one/1.0/source", "/d/two/2.0/k"])
        );
    }
}
