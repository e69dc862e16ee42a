//! What `tests/provision.sh test` has put on the machine, or a message that says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
        .to_owned()
}

/// A path of the repository that has to be there.
pub(crate) fn path(relative: &str) -> PathBuf {
    let path = root().join(relative);
    assert!(
        path.exists(),
        "{relative} is missing; `make test` installs it"
    );
    path
}

/// The source directories of the corpus, the largest first.
pub(crate) fn packages() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path("corpus/src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("dkms.conf").exists())
        .collect();
    assert!(
        found.len() >= 10,
        "corpus/src holds {} packages; `make test` installs more",
        found.len()
    );
    found.sort_by_key(|path| std::cmp::Reverse((size(path), path.clone())));
    found
}

/// The source directory of the package whose directory name starts so.
pub(crate) fn package(prefix: &str) -> PathBuf {
    packages()
        .into_iter()
        .find(|path| name(path).starts_with(prefix))
        .unwrap_or_else(|| panic!("corpus/src has no {prefix}; `make test` installs it"))
}

/// The package file of the corpus whose name starts so.
pub(crate) fn deb(prefix: &str) -> PathBuf {
    fs::read_dir(path("corpus/debs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| name(path).starts_with(prefix))
        .unwrap_or_else(|| panic!("corpus/debs has no {prefix}; `make test` installs it"))
}

/// The kernels of the corpus: the newest, the one before, and the cloud kernel.
pub(crate) fn kernels() -> Vec<String> {
    let text = fs::read_to_string(path("corpus/kernels")).unwrap();
    let kernels: Vec<String> = text.lines().map(str::to_owned).collect();
    for kernel in &kernels {
        assert!(
            Path::new("/lib/modules")
                .join(kernel)
                .join("build")
                .exists(),
            "the headers of {kernel} are missing; `make test` installs them"
        );
    }
    assert!(
        kernels.len() >= 2,
        "corpus/kernels names {} kernels; `make test` installs more",
        kernels.len()
    );
    kernels
}

/// A program that has to be there.
pub(crate) fn program(name: &str) -> Command {
    let there = Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", name])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .status()
        .unwrap();
    assert!(
        there.success(),
        "{name} is missing; `make test` installs it"
    );
    Command::new(name)
}

/// The last part of a path.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The bytes of C in a tree: what a build costs, roughly.
fn size(path: &Path) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            total += size(&entry.path());
        } else if entry.path().extension().is_some_and(|e| e == "c") {
            total += entry.metadata().unwrap().len();
        }
    }
    total
}
