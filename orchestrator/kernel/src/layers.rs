//! Directories of this machine that stand for another file system: each as if it were `/`,
//! those that come first hide the others.
//!
//! A kernel from header packages is such a stack of unpacked packages, and a toolchain root is
//! a stack of one. The links in them are absolute, or climb from one package into another, so
//! they mean nothing to this machine's file system: this file follows them by name, and never
//! looks outside the stack. What paths mean to kernels or programs is not known here.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// As many links as Linux follows in one path (path_resolution(7)).
const LINKS_LIMIT: usize = 40;

/// A stack of directories that make one file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layers {
    directories: Vec<PathBuf>,
}

/// Something in a stack, all links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is called in the file system that the stack makes.
    pub inside: PathBuf,
    /// Where it is on this machine.
    pub host: PathBuf,
}

impl Default for Layers {
    fn default() -> Self {
        Self::host()
    }
}

impl Layers {
    /// This machine's own file system.
    pub fn host() -> Self {
        Self::of([PathBuf::from("/")])
    }

    /// A stack of directories, given by absolute paths, the first on top.
    pub fn of(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            directories: directories.into_iter().collect(),
        }
    }

    /// The directories, the first on top.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Whether this is the machine's own file system.
    pub fn is_host(&self) -> bool {
        matches!(self.directories.as_slice(), [only] if only == Path::new("/"))
    }

    /// Follows every link in an absolute path; nothing if it leads nowhere.
    pub fn resolve(&self, path: &Path) -> Option<Place> {
        if self.is_host() {
            let real = fs::canonicalize(path).ok()?;
            return Some(Place {
                inside: real.clone(),
                host: real,
            });
        }
        self.resolve_by_name(path, &mut Vec::new())
    }

    /// The same by going through the path name by name: notes where the links are on this machine that it
    /// leads through.
    pub fn resolve_by_name(&self, path: &Path, followed: &mut Vec<PathBuf>) -> Option<Place> {
        let mut open: VecDeque<OsString> = VecDeque::new();
        push_front(&mut open, path);
        let mut inside = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = open.pop_front() {
            if name == ".." {
                inside.pop();
                continue;
            }
            let next = inside.join(&name);
            let host = self.places(&next).next()?;
            let Ok(target) = fs::read_link(&host) else {
                inside = next;
                continue;
            };
            followed.push(host);
            links += 1;
            if links > LINKS_LIMIT {
                return None;
            }
            if target.is_absolute() {
                inside = PathBuf::from("/");
            }
            push_front(&mut open, &target);
        }
        let host = self.places(&inside).next()?;
        Some(Place { inside, host })
    }

    /// Where a path is in each directory that has it, no link at its end followed.
    ///
    /// `path` must not go through links: it is one that [`Layers::resolve`] gave, or a child of it.
    pub fn places<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        let relative = path.strip_prefix("/").unwrap_or(path);
        self.directories
            .iter()
            .map(move |directory| directory.join(relative))
            .filter(|host| fs::symlink_metadata(host).is_ok())
    }

    /// Where a path is on this machine, links followed; where it would be, if it is not there.
    pub fn host_path(&self, path: &Path) -> PathBuf {
        if self.is_host() {
            return path.to_owned();
        }
        self.resolve(path).map_or_else(
            || {
                let relative = path.strip_prefix("/").unwrap_or(path);
                self.directories
                    .first()
                    .map_or_else(|| path.to_owned(), |top| top.join(relative))
            },
            |place| place.host,
        )
    }

    /// Whether a path leads to something, links followed.
    pub fn exists(&self, path: &Path) -> bool {
        if self.is_host() {
            return path.exists();
        }
        self.resolve(path).is_some()
    }
}

fn push_front(open: &mut VecDeque<OsString>, path: &Path) {
    let names: Vec<OsString> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect();
    for name in names.into_iter().rev() {
        open.push_front(name);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_by_name_and_never_leave_the_stack() {
        let temp = tempfile::tempdir().unwrap();
        let (one, two) = (temp.path().join("one"), temp.path().join("two"));
        fs::create_dir_all(one.join("usr/src/build")).unwrap();
        fs::create_dir_all(two.join("usr/lib/kbuild/scripts")).unwrap();
        fs::write(two.join("usr/lib/kbuild/scripts/x"), "").unwrap();
        symlink(
            "../../lib/kbuild/scripts",
            one.join("usr/src/build/scripts"),
        )
        .unwrap();
        symlink("/usr/src/build", one.join("absolute")).unwrap();
        symlink("../../../../../../etc", one.join("climbs")).unwrap();
        symlink("round", one.join("round")).unwrap();
        let layers = Layers::of([one, two.clone()]);
        let found = layers.resolve(Path::new("/absolute/scripts/x")).unwrap();
        assert_eq!(found.inside, Path::new("/usr/lib/kbuild/scripts/x"));
        assert_eq!(found.host, two.join("usr/lib/kbuild/scripts/x"));
        assert!(!layers.exists(Path::new("/climbs/passwd")));
        assert!(!layers.exists(Path::new("/round")));
        assert!(!layers.exists(Path::new("/etc")));
        let up = layers.resolve(Path::new("/absolute/../..")).unwrap();
        assert_eq!(up.inside, Path::new("/usr"));
    }

    #[test]
    fn the_host_is_the_host() {
        let layers = Layers::host();
        assert!(layers.is_host() && layers.exists(Path::new("/usr")));
        assert_eq!(
            layers.host_path(Path::new("/no/such")),
            Path::new("/no/such")
        );
    }
}
