//! Any changes, made by a transaction and made one by one: both end alike, and a transaction knows beforehand.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::{
    super::{Transaction, TransactionError},
    begin, content,
    ground::{Ground, Tree},
};

/// Files; the last one is behind a link that comes and goes.
const FILES: [&str; 7] = [
    "K/x.ko",
    "K/u/x.ko",
    "K/u/v/x.ko",
    "D/m/x.ko",
    "D/m/o/x.ko",
    "D/m/o/x.ko.origin",
    "D/m/link/x.ko",
];
const DIRECTORIES: [&str; 5] = ["K/u", "K/u/v", "D/m/o", "D/m/p", "D/m"];
const LINK: &str = "D/m/link";

#[derive(Debug, Clone)]
enum Change {
    Put(usize, usize),
    PutBytes(u8, usize),
    PutLink(bool),
    Rename(usize, usize),
    Remove(usize),
    RemoveLink,
    RemoveTree(usize),
    Prune(usize),
    PruneTree(usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let file = || 0..FILES.len();
    let directory = || 0..DIRECTORIES.len();
    prop_oneof![
        (file(), file()).prop_map(|(from, to)| Change::Put(from, to)),
        (any::<u8>(), file()).prop_map(|(byte, to)| Change::PutBytes(byte, to)),
        any::<bool>().prop_map(Change::PutLink),
        (file(), file()).prop_map(|(from, to)| Change::Rename(from, to)),
        file().prop_map(Change::Remove),
        Just(Change::RemoveLink),
        directory().prop_map(Change::RemoveTree),
        directory().prop_map(Change::Prune),
        directory().prop_map(Change::PruneTree),
    ]
}

fn target(is_first: bool) -> &'static Path {
    Path::new(if is_first { "o" } else { "p" })
}

impl Change {
    fn record(&self, all: &mut Transaction, root: &Path) -> Result<(), TransactionError> {
        let file = |at: usize| root.join(FILES[at]);
        let directory = |at: usize| root.join(DIRECTORIES[at]);
        match *self {
            Self::Put(from, to) => all.put(&file(from), &file(to)),
            Self::PutBytes(byte, to) => all.put_bytes([byte], &file(to)),
            Self::PutLink(is_first) => all.put_link(target(is_first), &root.join(LINK)),
            Self::Rename(from, to) => all.rename(&file(from), &file(to)),
            Self::Remove(path) => all.remove(&file(path)),
            Self::RemoveLink => all.remove(&root.join(LINK)),
            Self::RemoveTree(path) => all.remove_tree(&directory(path)),
            Self::Prune(path) => all.prune(&directory(path), root),
            Self::PruneTree(path) => all.prune_tree(&directory(path)),
        }
    }

    /// Whether it is about the file behind the link.
    fn needs_link(&self) -> bool {
        let last = FILES.len() - 1;
        match *self {
            Self::Put(from, to) | Self::Rename(from, to) => from == last || to == last,
            Self::PutBytes(_, path) | Self::Remove(path) => path == last,
            _ => false,
        }
    }

    /// Makes the change at once. Whether it can be made.
    fn make(&self, root: &Path) -> bool {
        let file = |at: usize| without_link(root, FILES[at]);
        let directory = |at: usize| root.join(DIRECTORIES[at]);
        let place = |to: &Path| {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let _ = fs::remove_file(to);
        };
        match *self {
            Self::Put(from, to) => {
                let (from, to) = (file(from), file(to));
                let Ok(content) = fs::read(&from) else {
                    return false;
                };
                if from != to {
                    place(&to);
                    fs::write(&to, content).unwrap();
                }
            }
            Self::PutBytes(byte, to) => {
                place(&file(to));
                fs::write(file(to), [byte]).unwrap();
            }
            Self::PutLink(is_first) => {
                let link = root.join(LINK);
                place(&link);
                symlink(target(is_first), link).unwrap();
            }
            Self::Rename(from, to) => {
                let (from, to) = (file(from), file(to));
                if !from.exists() {
                    return false;
                }
                if from != to {
                    place(&to);
                    fs::rename(from, to).unwrap();
                }
            }
            Self::Remove(path) => {
                let _ = fs::remove_file(file(path));
            }
            Self::RemoveLink => {
                let _ = fs::remove_file(root.join(LINK));
            }
            Self::RemoveTree(path) => {
                let _ = fs::remove_dir_all(directory(path));
            }
            Self::Prune(path) => {
                for directory in directory(path).ancestors().take_while(|path| *path != root) {
                    if fs::remove_dir(directory).is_err() && directory.exists() {
                        break;
                    }
                }
            }
            Self::PruneTree(path) => prune_tree(&directory(path)),
        }
        true
    }
}

/// A path with the link in it followed, be it to somewhere or nowhere.
fn without_link(root: &Path, inner: &str) -> PathBuf {
    match (inner.strip_prefix(LINK), fs::read_link(root.join(LINK))) {
        (Some(rest), Ok(target)) => root.join("D/m").join(target).join(rest.trim_matches('/')),
        _ => root.join(inner),
    }
}

fn prune_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            prune_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

fn fill(ground: &Ground, present: u8) {
    ground.write("K/modules.dep", "");
    for (at, file) in FILES[..6].iter().enumerate() {
        if present & (1 << at) != 0 {
            ground.write(file, &format!("at first {file}"));
        }
    }
    if present & 64 != 0 {
        fs::create_dir_all(ground.path("D/m")).unwrap();
        symlink("o", ground.path(LINK)).unwrap();
    }
    if present & 128 != 0 {
        fs::create_dir_all(ground.path("D/m/p/empty")).unwrap();
    }
}

/// All but directories: a transaction makes none that it would only leave empty.
fn without_directories(tree: Tree) -> Tree {
    tree.into_iter().filter(|(_, what)| what != "d").collect()
}

fn compare(transaction: &Transaction, expected: &Path) {
    for inner in FILES {
        let path = &transaction.kernel_dir.parent().unwrap().join(inner);
        // std does not find a file behind a link that leads nowhere else than the transaction does.
        let real = without_link(expected, inner);
        assert_eq!(transaction.exists(path), real.exists(), "{inner}");
        assert_eq!(transaction.is_file(path), real.is_file(), "{inner}");
        assert_eq!(
            content(transaction, path).ok(),
            fs::read(&real).ok(),
            "{inner}"
        );
    }
    let link = transaction.kernel_dir.parent().unwrap().join(LINK);
    assert_eq!(
        transaction.read_link(&link),
        fs::read_link(expected.join(LINK)).ok()
    );
    let kernel = &transaction.kernel_dir;
    let inner = |paths: Vec<PathBuf>| {
        let inner = |path: PathBuf| path.strip_prefix(kernel).unwrap().to_path_buf();
        let mut paths: Vec<_> = paths.into_iter().map(inner).collect();
        paths.sort();
        paths
    };
    let found = inner(transaction.find(&["x.ko", "y.ko"]).unwrap());
    let real = FILES[..3]
        .iter()
        .filter(|file| expected.join(file).exists());
    let mut real: Vec<_> = real.map(|file| PathBuf::from(&file[2..])).collect();
    real.sort();
    assert_eq!(found, real);
    real.insert(0, PathBuf::from("modules.dep"));
    assert_eq!(inner(transaction.files_below(kernel).unwrap()), real);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_end_as_if_made_one_by_one(
        present in any::<u8>(),
        rounds in prop::collection::vec(prop::collection::vec(any_change(), 1..8), 1..3),
    ) {
        let (ground, expected) = (Ground::bare(), Ground::bare());
        fill(&ground, present);
        fill(&expected, present);
        let mut transaction = begin(&ground.kernel());
        for changes in rounds {
            let before = ground.tree();
            for change in changes {
                if change.needs_link() && !expected.root().join(LINK).is_symlink() {
                    continue;
                }
                let is_recorded = change.record(&mut transaction, ground.root()).is_ok();
                prop_assert_eq!(is_recorded, change.make(expected.root()));
                compare(&transaction, expected.root());
            }
            prop_assert_eq!(&ground.tree(), &before);
            transaction.commit().unwrap();
            transaction.finish().unwrap();
            compare(&transaction, expected.root());
        }
        drop(transaction);

        let (tree, other) = (ground.tree(), expected.tree());
        for (path, what) in &tree {
            prop_assert_eq!(Some(what), other.get(path), "{:?}", path);
        }
        prop_assert_eq!(without_directories(tree), without_directories(other));
    }
}
