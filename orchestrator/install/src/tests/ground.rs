//! A kernel and a DKMS tree, and one set of changes that has every kind of change in it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use super::{super::Transaction, begin};

/// What is below a directory: `d`, `l` and a target, or `f`, mode and content, for each path.
pub(super) type Tree = BTreeMap<PathBuf, String>;

/// Modules that are installed both before and after the changes.
const STAYING: [&str; 5] = ["a.ko", "b.ko", "c.ko", "d.ko", "f.ko"];

/// The originals that must not get lost, and where each may be.
const ORIGINALS: [(&str, &str, &str); 3] = [
    (
        "b original",
        "K/kernel/b.ko",
        "dkms/b/original_module/K/x/b.ko",
    ),
    (
        "d original",
        "dkms/d/original_module/K/x/d.ko",
        "K/kernel/d.ko",
    ),
    (
        "f original",
        "K/updates/dkms/f.ko",
        "dkms/f/original_module/K/x/f.ko",
    ),
];

/// Where it all is; gone when dropped.
pub(super) struct Ground {
    root: tempfile::TempDir,
}

impl Ground {
    /// Nothing but a kernel's directory, where syncing costs nothing if there is such a place.
    pub(super) fn bare() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let root = tempfile::Builder::new()
            .prefix("kiln-ground-")
            .tempdir_in(place)
            .unwrap();
        fs::create_dir(root.path().join("K")).unwrap();
        Self { root }
    }

    /// The state before the changes.
    pub(super) fn new() -> Self {
        let ground = Self::bare();
        fill(ground.root());
        ground
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.path("K")
    }

    pub(super) fn path(&self, inner: &str) -> PathBuf {
        self.root().join(inner)
    }

    pub(super) fn write(&self, inner: &str, content: &str) -> PathBuf {
        write(self.root(), inner, content)
    }

    pub(super) fn tree(&self) -> Tree {
        tree(self.root())
    }

    /// Deals with what is left of an interrupted change, as the next call of dkms would.
    pub(super) fn recover(&self) -> crate::Recovered {
        let mut transaction = begin(&self.kernel());
        let recovered = transaction.recovered();
        transaction.finish().unwrap();
        recovered
    }
}

/// Makes the state before the changes.
pub(super) fn fill(root: &Path) {
    for (inner, content) in [
        ("K/modules.dep", "generated"),
        ("K/updates/dkms/a.ko", "a 1"),
        ("K/kernel/b.ko", "b original"),
        ("K/extra/c.ko", "c 1"),
        ("K/updates/dkms/d.ko", "d 1"),
        ("K/updates/e/e.ko", "e 1"),
        ("K/updates/dkms/f.ko", "f original"),
        ("dkms/a/2/a.ko", "a 2"),
        ("dkms/b/2/b.ko", "b 2"),
        ("dkms/c/2/c.ko", "c 2"),
        ("dkms/f/2/f.ko", "f 2"),
        ("dkms/d/original_module/K/x/d.ko", "d original"),
        ("dkms/d/original_module/K/x/d.ko.origin", "K/kernel/d.ko"),
    ] {
        write(root, inner, content);
    }
    symlink("1/K/x", root.join("dkms/a/kernel-K-x")).unwrap();
    symlink("1/K/x", root.join("dkms/d/kernel-K-x")).unwrap();
}

fn write(root: &Path, inner: &str, content: &str) -> PathBuf {
    let path = root.join(inner);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Records the changes: `a` gets another version, the original of `b` is archived and another takes its place, `c`
/// moves, `d` is uninstalled and its original put back, `e` is removed; the original of `f` is archived and another takes its very place.
pub(super) fn record(transaction: &mut Transaction, root: &Path) {
    let at = |inner: &str| root.join(inner);
    let link = Path::new("2/K/x");
    let mut all = || {
        transaction.put(&at("dkms/a/2/a.ko"), &at("K/updates/dkms/a.ko"))?;
        transaction.put_link(link, &at("dkms/a/kernel-K-x"))?;

        let archived = at("dkms/b/original_module/K/x/b.ko");
        transaction.rename(&at("K/kernel/b.ko"), &archived)?;
        transaction.put_bytes("K/kernel/b.ko", &archived.with_extension("ko.origin"))?;
        transaction.put(&at("dkms/b/2/b.ko"), &at("K/updates/dkms/b.ko"))?;
        transaction.put_link(link, &at("dkms/b/kernel-K-x"))?;

        transaction.put(&at("dkms/c/2/c.ko"), &at("K/updates/new/dkms/c.ko"))?;
        transaction.remove(&at("K/extra/c.ko"))?;
        transaction.prune(&at("K/extra"), &at("K"))?;

        transaction.remove(&at("K/updates/dkms/d.ko"))?;
        let archive = at("dkms/d/original_module");
        transaction.rename(&archive.join("K/x/d.ko"), &at("K/kernel/d.ko"))?;
        transaction.remove(&archive.join("K/x/d.ko.origin"))?;
        transaction.prune_tree(&archive)?;
        transaction.remove(&at("dkms/d/kernel-K-x"))?;

        transaction.remove_tree(&at("K/updates/e"))?;

        let module = at("K/updates/dkms/f.ko");
        transaction.rename(&module, &at("dkms/f/original_module/K/x/f.ko"))?;
        transaction.put(&at("dkms/f/2/f.ko"), &module)
    };
    all().unwrap();
}

/// The states before and after the changes.
pub(super) fn states() -> [Tree; 2] {
    let ground = Ground::new();
    let before = ground.tree();
    let mut transaction = begin(&ground.kernel());
    record(&mut transaction, ground.root());
    transaction.commit().unwrap();
    transaction.finish().unwrap();
    [before, ground.tree()]
}

/// Checks what holds at every moment, with what is prepared or journalled left out.
pub(super) fn check(found: &Tree, [before, after]: &[Tree; 2], when: &str) {
    let is_ours = |path: &Path| path.to_str().unwrap().contains(".kiln");
    for (path, content) in found.iter().filter(|(path, _)| !is_ours(path)) {
        let known = [before.get(path), after.get(path)];
        let is_new_directory = content == "d" && known == [None, None];
        assert!(
            known.contains(&Some(content)) || is_new_directory,
            "{when}: {path:?} has {content:?}"
        );
    }
    for (path, content) in before {
        if after.get(path) == Some(content) {
            assert_eq!(found.get(path), Some(content), "{when}: {path:?}");
        } else if after.contains_key(path) {
            assert!(found.contains_key(path), "{when}: {path:?} is absent");
        }
    }
    for name in STAYING {
        let is_one = |path: &PathBuf| path.starts_with("K") && path.ends_with(name);
        assert!(found.keys().any(is_one), "{when}: {name} is absent");
    }
    for (content, old, new) in ORIGINALS {
        let is_there = |path| {
            found
                .get(Path::new(path))
                .is_some_and(|f| f.ends_with(content))
        };
        assert!(is_there(old) || is_there(new), "{when}: {content} is lost");
    }
    let is_new = |path| found.get(path) == after.get(path);
    let [link, module] = ["dkms/a/kernel-K-x", "K/updates/dkms/a.ko"].map(Path::new);
    assert!(
        is_new(module) || !is_new(link),
        "{when}: {link:?} came first"
    );
}

/// Everything below a directory.
pub(super) fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    add(root, root, &mut found);
    found
}

fn add(root: &Path, directory: &Path, found: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let what = if metadata.is_dir() {
            add(root, &path, found);
            "d".to_owned()
        } else if metadata.is_symlink() {
            format!("l {}", fs::read_link(&path).unwrap().display())
        } else {
            let content = fs::read(&path).unwrap();
            let mode = metadata.mode() & 0o7777;
            format!("f {mode:o} {}", String::from_utf8_lossy(&content))
        };
        found.insert(path.strip_prefix(root).unwrap().to_path_buf(), what);
    }
}
