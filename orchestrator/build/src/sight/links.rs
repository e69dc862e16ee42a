//! Links in the trees that an action has of its own: a path through one is a path of the system.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use kiln_cache::{EntryKind, Manifest};

/// A link, as an action sees it.
#[derive(Debug, Clone)]
pub struct OwnLink {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Where it leads, as an absolute path by name.
    pub(crate) target: PathBuf,
}

/// The links of a tree that is shown at `place`.
pub fn own_links(manifest: &Manifest, place: &Path) -> Vec<OwnLink> {
    let entries = manifest.entries().iter();
    entries
        .filter_map(|entry| match &entry.kind {
            EntryKind::Symlink { target } => Some((&entry.path, target)),
            _ => None,
        })
        .map(|(path, target)| {
            let path = place.join(OsStr::from_bytes(path));
            let target = Path::new(OsStr::from_bytes(target));
            OwnLink {
                target: kiln_trace::by_name(path.parent().unwrap_or(place), target),
                path,
            }
        })
        .collect()
}

/// Where paths lead through links, link by link.
pub(super) fn followed(paths: &BTreeSet<PathBuf>, links: &[OwnLink]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> = paths.iter().cloned().collect();
    while let Some(path) = open.pop() {
        for link in links {
            if let Ok(below) = path.strip_prefix(&link.path) {
                let next = match below.as_os_str().is_empty() {
                    true => link.target.clone(),
                    false => link.target.join(below),
                };
                if found.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_links_and_paths_below_them_are_followed() {
        let link = |path: &str, target: &str| OwnLink {
            path: path.into(),
            target: target.into(),
        };
        let links = [
            link("/src/a", "/src/b"),
            link("/src/b", "/usr/share/x"),
            link("/src/loop", "/src/loop"),
            link("/src/unused", "/etc/y"),
        ];
        let paths = ["/src/a/z", "/src/loop", "/src/c"].map(PathBuf::from);
        let found = followed(&BTreeSet::from(paths), &links);
        let expected = ["/src/b/z", "/src/loop", "/usr/share/x/z"].map(PathBuf::from);
        assert_eq!(found, BTreeSet::from(expected));
    }
}
