//! Why a build misses a file that is there: the sandbox does not show it.
//!
//! Told only of what is certain: a path that the error names and that this machine has, or a
//! link of the source that leads out of it, by the name that the error names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::job::FirstError;

/// What to say of a file that a build of this source could not see, if that is what failed it.
pub(crate) fn hidden(error: &FirstError, source: &Path) -> Option<String> {
    let said = error.to_string();
    if !said.contains("No such file or directory") && !said.contains("No rule to make target") {
        return None;
    }
    let words = said.split(|c: char| c.is_whitespace() || "'\"`,;:()".contains(c));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let place = words
        .iter()
        .find(|word| is_there(word))
        .map(|place| format!("{place} is there, but builds do not see it; see docs/sandbox.md."));
    place.or_else(|| {
        let source = fs::canonicalize(source).ok()?;
        let (link, target) = link_out(&source, &source, &words)?;
        Some(format!(
            "{} is a link to {}, which builds do not see: copy what it leads to into the source.",
            link.display(),
            target.display()
        ))
    })
}

fn is_there(word: &str) -> bool {
    word.len() > 1 && word.starts_with('/') && Path::new(word).exists()
}

/// A link below a directory that leads out of the source to something that is there, and whose
/// name, or a path by way of it, is one of the words.
fn link_out(source: &Path, directory: &Path, words: &[&str]) -> Option<(PathBuf, PathBuf)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_symlink() {
            let name = path.file_name()?.to_str()?;
            let is_said = words
                .iter()
                .any(|word| word.split('/').any(|part| part == name));
            match fs::canonicalize(&path) {
                Ok(target) if is_said && !target.starts_with(source) => {
                    return Some((path.strip_prefix(source).ok()?.to_owned(), target));
                }
                _ => {}
            }
        } else if path.is_dir()
            && let Some(found) = link_out(source, &path, words)
        {
            return Some(found);
        }
    }
    None
}
