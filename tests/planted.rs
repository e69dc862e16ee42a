//! The bugs of tests/planted/ can still be planted: `make planted` runs them, which takes long.
//!
//! A patch that no longer applies proves nothing. Whoever changes what a patch changes makes it anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[test]
fn every_patch_applies_and_names_the_command_that_fails() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut patches = Vec::new();
    collect(&root.join("tests/planted"), &mut patches);
    assert!(patches.len() > 20, "{patches:?}");
    let mut stale = Vec::new();
    for patch in &patches {
        let text = fs::read_to_string(patch).unwrap();
        if !text.starts_with("# fails: cargo test -p kiln") {
            stale.push(format!("{}: names no command", patch.display()));
        }
        let tried = Command::new("patch")
            .args(["--dry-run", "--fuzz=0", "--force", "--silent", "-p1", "-d"])
            .arg(root)
            .stdin(Stdio::from(fs::File::open(patch).unwrap()))
            .output()
            .unwrap();
        if !tried.status.success() {
            let said = String::from_utf8_lossy(&tried.stdout);
            stale.push(format!("{}: {said}", patch.display()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "patch") {
            into.push(path);
        }
    }
    into.sort();
}
