//! The bugs of tests/planted/ can still be planted: `make planted` runs them, which takes long.
//!
//! A patch that no longer applies proves nothing. Whoever changes what a patch changes makes it anew.

#![allow(clippy::disallowed_methods)]
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
    collect(&root.join("tests/planted"), "patch", &mut patches);
    assert!(patches.len() > 20, "{patches:?}");
    let mut sources = Vec::new();
    collect(root, "rs", &mut sources);
    let sources: Vec<_> = sources
        .iter()
        .map(|path| (path, fs::read_to_string(path).unwrap()))
        .collect();
    let mut stale = Vec::new();
    for patch in &patches {
        let text = fs::read_to_string(patch).unwrap();
        let command = text.lines().next().unwrap();
        if !command.starts_with("# fails: cargo test -p kiln") {
            stale.push(format!("{}: names no command", patch.display()));
        }
        // The name of a test, of a module of tests, or of a crate.
        let name = command.rsplit([' ', ':']).next().unwrap();
        let is_named = |(path, source): &(&PathBuf, String)| {
            source.contains(&format!("fn {name}"))
                || path.components().any(|part| {
                    let part = part.as_os_str().to_string_lossy();
                    part.trim_end_matches(".rs") == name || format!("kiln-{part}") == name
                })
        };
        if !sources.iter().any(is_named) {
            stale.push(format!("{}: there is no {name}", patch.display()));
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

/// All files of an ending below a directory, in order; what is built or fetched is left out.
fn collect(directory: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("corpus") {
            collect(&path, ending, into);
        } else if path.extension().is_some_and(|e| e == ending) {
            into.push(path);
        }
    }
    into.sort();
}
