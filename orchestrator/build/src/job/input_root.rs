//! The root of an action's inputs: all that a job may see, at the paths of a sandbox.
//!
//! What belongs to the machine that a job runs on, its programs and libraries, is the worker's; with a
//! toolchain root it is the root's, and sent. What a sandbox covers of a system (`bubblewrap.rs`) is left out
//! here. Trees that many jobs see are hashed once a run.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use kiln_kernel::toolbox::SystemRoot;
use kiln_remote::{Blob, Mode, RemoteError, Tree, TreeBuilder};
use kiln_sandbox::{ETC_DIRECTORIES, ETC_FILES, Layout, SYSTEM_DIRECTORIES, covers, unames};

use super::{execute::LaidOut, wire_tree::wire_tree};
use crate::plan::{BuildSite, JobSpec};

/// What a job leaves for kiln, relative to the root of the action.
pub(super) const OUT: &str = "run/kiln/out";

/// The directories that are links into `/usr` on a worker.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Makes the input roots of a run.
#[derive(Default)]
pub(super) struct InputRoots {
    /// Trees that many actions have in them, by where they are here.
    trees: Mutex<HashMap<PathBuf, Arc<Tree>>>,
}

impl InputRoots {
    /// All that a job may see.
    pub(super) fn of(
        &self,
        spec: &JobSpec,
        laid: &LaidOut,
        site: &BuildSite,
    ) -> Result<Arc<Tree>, RemoteError> {
        let scratch = &laid.scratch;
        let system = &laid.view.system;
        let mut tree = Tree::builder();
        if system.is_host() {
            for name in MERGED {
                tree.symlink(name, &format!("usr/{name}"))?;
            }
        } else {
            let programs = self.shared(system.directory(), || system_tree(&spec.layout, system))?;
            tree.tree("", &programs)?;
            for uname in unames(system) {
                let shim = scratch.run().join("bin/uname");
                add_file(&mut tree, &inner_path(system, uname), &shim)?;
            }
        }
        tree.directory("tmp")?;
        tree.directory("var/tmp")?;
        tree.directory(OUT)?;
        for (host, inside) in [
            (scratch.dkms_tree(), "/var/lib/dkms"),
            (scratch.run(), "/run/kiln"),
        ] {
            let path = inner_path(system, Path::new(inside));
            tree.tree(&path, &Tree::of_directory(&host)?)?;
        }
        for (host, inside) in &laid.view.read_only {
            let path = inner_path(system, inside);
            if host.is_dir() {
                let root = spec.kernel.roots.iter().find(|root| root.host == *host);
                let made = self.shared(host, || match root.and_then(|root| root.scan.as_ref()) {
                    Some(scan) => wire_tree(host, scan, site),
                    None => Tree::of_directory(host),
                });
                tree.tree(&path, &made?)?;
            } else {
                add_file(&mut tree, &path, host)?;
            }
        }
        for (inside, target) in &laid.view.links {
            let path = inner_path(system, inside);
            tree.symlink(&path, &relative(&path, &inner_path(system, target), target))?;
        }
        Ok(tree.finish())
    }

    /// A tree that does not change during a run, made once.
    fn shared(
        &self,
        host: &Path,
        make: impl FnOnce() -> Result<Arc<Tree>, RemoteError>,
    ) -> Result<Arc<Tree>, RemoteError> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = trees.get(host) {
            return Ok(Arc::clone(tree));
        }
        let tree = make()?;
        trees.insert(host.to_owned(), Arc::clone(&tree));
        Ok(tree)
    }
}

/// The programs and libraries of a toolchain root, but for what a sandbox covers, and what it shows of /etc.
fn system_tree(layout: &Layout, system: &SystemRoot) -> Result<Arc<Tree>, RemoteError> {
    let covers = covers(layout, system);
    let unames = unames(system);
    let mut tree = Tree::builder();
    let mut open: Vec<PathBuf> = SYSTEM_DIRECTORIES.map(PathBuf::from).into();
    while let Some(inside) = open.pop() {
        let host = system.host_path(&inside);
        let path = text(inside.strip_prefix("/").unwrap_or(&inside));
        let has_special = covers.iter().any(|cover| cover.starts_with(&inside))
            || unames.iter().any(|uname| uname.starts_with(&inside));
        if let Ok(target) = fs::read_link(&host) {
            tree.symlink(&path, &text(&target))?;
        } else if covers.contains(&inside) {
            tree.directory(&path)?;
        } else if host.is_dir() && !has_special {
            tree.tree(&path, &Tree::of_directory(&host)?)?;
        } else if host.is_dir() {
            let entries = fs::read_dir(&host).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let entries = entries.map_err(|source| RemoteError::file(&host, source))?;
            open.extend(entries.iter().map(|entry| inside.join(entry.file_name())));
        } else if host.is_file() && !has_special {
            add_file(&mut tree, &path, &host)?;
        }
    }
    for path in ETC_FILES {
        if let Some(place) = system.files().resolve(Path::new(path)) {
            add_file(&mut tree, path.trim_start_matches('/'), &place.host)?;
        }
    }
    for directory in ETC_DIRECTORIES {
        let host = system.host_path(Path::new(directory));
        if host.is_dir() {
            let path = directory.trim_start_matches('/');
            tree.tree(path, &Tree::of_directory(&host)?)?;
        }
    }
    Ok(tree.finish())
}

fn add_file(tree: &mut TreeBuilder, path: &str, host: &Path) -> Result<(), RemoteError> {
    let unreadable = |source| RemoteError::file(host, source);
    let mode = fs::metadata(host).map_err(unreadable)?.permissions().mode();
    let blob = Blob::file(host).map_err(unreadable)?;
    tree.file(path, blob, Mode::of_bits(mode))?;
    Ok(())
}

/// An absolute path as one within the root of the inputs, where `/lib` and its like may be links.
fn inner_path(system: &SystemRoot, path: &Path) -> String {
    let path = path.strip_prefix("/").unwrap_or(path);
    let Some(Component::Normal(top)) = path.components().next() else {
        return text(path);
    };
    let led = if !system.is_host() {
        fs::read_link(system.host_path(Path::new(top))).ok()
    } else if MERGED.iter().any(|name| top == *name) {
        Some(Path::new("usr").join(top))
    } else {
        None
    };
    match (led, path.strip_prefix(top)) {
        (Some(led), Ok(rest)) => text(&led.strip_prefix("/").unwrap_or(&led).join(rest)),
        _ => text(path),
    }
}

/// What a link at `path` says so that it leads to `inner` without a leading slash.
fn relative(path: &str, inner: &str, target: &Path) -> String {
    if !target.is_absolute() {
        return text(target);
    }
    let up = path.split('/').count().saturating_sub(1);
    format!("{}{inner}", "../".repeat(up))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_same_place_from_within() {
        let host = SystemRoot::host();
        let inner = |path: &str| inner_path(&host, Path::new(path));
        assert_eq!(inner("/lib/modules/6.1/build"), "usr/lib/modules/6.1/build");
        assert_eq!(inner("/library/x"), "library/x");
        let led = |path: &str, target: &str| relative(path, &inner(target), Path::new(target));
        assert_eq!(
            led("usr/lib/modules/6.1/build", "/usr/src/linux"),
            "../../../../usr/src/linux"
        );
        assert_eq!(led("a", "b/c"), "b/c");
    }

    #[test]
    fn a_root_is_sent_without_what_a_sandbox_covers() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for directory in [
            "usr/bin",
            "usr/src/linux",
            "usr/local/bin",
            "etc",
            "lib/modules/6.1",
        ] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for file in ["bash", "make", "uname"] {
            fs::write(at("usr/bin").join(file), file).unwrap();
        }
        fs::write(at("usr/src/linux/Makefile"), "").unwrap();
        std::os::unix::fs::symlink("usr/bin", at("bin")).unwrap();
        let system = SystemRoot::at(folder.path()).unwrap();
        let layout = Layout {
            dkms_tree: "/var/lib/dkms".into(),
            source_tree: "/usr/src".into(),
            install_tree: "/lib/modules".into(),
            run: "/run/kiln".into(),
            out: "/run/kiln/out".into(),
        };
        let tree = system_tree(&layout, &system).unwrap();
        let mut expected = Tree::builder();
        expected.symlink("bin", "usr/bin").unwrap();
        for directory in ["usr/src", "usr/local", "lib/modules"] {
            expected.directory(directory).unwrap();
        }
        for file in ["bash", "make"] {
            let path = format!("usr/bin/{file}");
            expected
                .file(&path, Blob::bytes(file), Mode::Plain)
                .unwrap();
        }
        assert_eq!(tree.digest(), expected.finish().digest());
        assert_eq!(inner_path(&system, Path::new("/bin/x")), "usr/bin/x");
        assert_eq!(inner_path(&system, Path::new("/lib/x")), "lib/x");
    }
}
