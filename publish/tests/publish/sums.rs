//! SHA256SUMS, by sha256sum.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use kiln_publish::{SUMS, digest_file, write_sums};

fn check(directory: &Path) -> (bool, String) {
    let output = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", SUMS])
        .current_dir(directory)
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn sha256sum_verifies_all_files_whatever_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let names = [
        "a b/module.ko",
        "a-b/module.ko",
        "a/b/module.ko",
        "back\\slash",
        "line\nbreak",
        "return\rcarriage",
        "é",
        "*star",
    ];
    for name in names {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(root.join("SHA256SUMS.asc"), "a signature of earlier sums").unwrap();
    symlink("/etc/passwd", root.join("link")).unwrap();
    let digests = write_sums(root).unwrap();
    let found: Vec<&str> = digests.iter().map(|file| file.path.as_str()).collect();
    let mut wanted = names.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    for file in &digests {
        assert_eq!(file.sha256, digest_file(&root.join(&file.path)).unwrap());
    }
    assert_eq!(check(root), (true, String::new()));

    // Written again they are the same, and do not sum themselves.
    let first = fs::read(root.join(SUMS)).unwrap();
    write_sums(root).unwrap();
    assert_eq!(fs::read(root.join(SUMS)).unwrap(), first);

    fs::write(root.join("a/b/module.ko"), "another").unwrap();
    assert_eq!(check(root), (false, "a/b/module.ko: FAILED\n".to_owned()));
}

#[test]
fn the_lines_are_those_that_sha256sum_prints() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let names = ["one.ko", "two\\.ko", "three\n.ko"];
    for name in names {
        fs::write(root.join(name), name).unwrap();
    }
    write_sums(root).unwrap();
    let mut sorted = names;
    sorted.sort_unstable();
    let output = Command::new("sha256sum")
        .args(sorted)
        .current_dir(root)
        .output()
        .unwrap();
    assert_eq!(
        fs::read_to_string(root.join(SUMS)).unwrap(),
        String::from_utf8(output.stdout).unwrap()
    );
}
