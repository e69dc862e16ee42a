//! Globs over files, in the same language as globs over names (globset's, with braces).
//!
//! A pattern is matched component by component, so that only directories that can lead to a
//! match are read. As in a shell, `*` matches no leading dot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use globset::{Glob, GlobMatcher};

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// A component cannot be parsed.
    #[error(transparent)]
    Glob(#[from] globset::Error),
    /// Braces span components.
    #[error("braces cannot hold a slash here; write two patterns")]
    Braces,
}

/// Whether a text is a glob rather than a plain path.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Checks that a text is a path or a valid glob.
pub(super) fn check(text: &str) -> Result<(), PatternError> {
    components(text).map(drop)
}

/// The paths that `text` stands for below `base`, sorted: what matches, or the plain path if
/// it is there.
pub(super) fn expand(base: &Path, text: &str) -> Result<Vec<PathBuf>, PatternError> {
    let plain = base.join(text);
    if fs::symlink_metadata(&plain).is_ok() {
        return Ok(vec![plain]);
    }
    if !is_pattern(text) {
        return Ok(Vec::new());
    }
    let start = if text.starts_with('/') {
        PathBuf::from("/")
    } else {
        base.to_owned()
    };
    let mut found = vec![start];
    for component in components(text)? {
        found = match component {
            Component::Plain(name) => {
                let joined = found.into_iter().map(|path| path.join(&name));
                joined.filter(|path| path.exists()).collect()
            }
            Component::Glob(glob) => found
                .iter()
                .flat_map(|path| entries(path))
                .filter(|(name, _)| glob.is_match(name) && shows(name, &glob))
                .map(|(_, path)| path)
                .collect(),
            Component::AnyDepth => found.into_iter().flat_map(below).collect(),
        };
    }
    found.sort();
    found.dedup();
    Ok(found)
}

enum Component {
    Plain(String),
    Glob(GlobMatcher),
    /// `**`: any number of directories.
    AnyDepth,
}

fn components(text: &str) -> Result<Vec<Component>, PatternError> {
    let depth = |text: &str| text.matches('{').count() as i64 - text.matches('}').count() as i64;
    text.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| {
            Ok(if part == "**" {
                Component::AnyDepth
            } else if !is_pattern(part) && !part.contains('}') {
                Component::Plain(part.to_owned())
            } else if depth(part) != 0 && depth(text) == 0 {
                return Err(PatternError::Braces);
            } else {
                Component::Glob(Glob::new(part)?.compile_matcher())
            })
        })
        .collect()
}

fn shows(name: &str, glob: &GlobMatcher) -> bool {
    !name.starts_with('.') || glob.glob().glob().starts_with('.')
}

/// What a directory holds; nothing, if it is none or cannot be read.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect()
}

/// A directory and all below it; links are not followed.
fn below(directory: PathBuf) -> Vec<PathBuf> {
    let mut found = vec![directory];
    let mut next = 0;
    while let Some(path) = found.get(next) {
        let inner = entries(path)
            .into_iter()
            .filter(|(name, _)| !name.starts_with('.'))
            .map(|(_, path)| path)
            .filter(|path| fs::symlink_metadata(path).is_ok_and(|m| m.is_dir()));
        let inner: Vec<PathBuf> = inner.collect();
        found.extend(inner);
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for file in ["a/x.deb", "a/.hidden.deb", "b/c/y.deb", "b/z.rpm", "o{d}d"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let expand = |text: &str| -> Vec<String> {
            expand(root, text)
                .unwrap()
                .iter()
                .map(|path| path.strip_prefix(root).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(expand("a/*.deb"), ["a/x.deb"]);
        assert_eq!(expand("a/.*.deb"), ["a/.hidden.deb"]);
        assert_eq!(expand("**/*.deb"), ["a/x.deb", "b/c/y.deb"]);
        assert_eq!(expand("*/*.{deb,rpm}"), ["a/x.deb", "b/z.rpm"]);
        assert_eq!(expand("a/../b/z.rpm"), ["a/../b/z.rpm"]);
        assert_eq!(expand("o{d}d"), ["o{d}d"], "a file with such a name wins");
        assert_eq!(expand("a"), ["a"]);
        assert!(expand("nothing").is_empty() && expand("c/*").is_empty());
        let whole = format!("{}/b/*.rpm", root.display());
        assert_eq!(expand(&whole), ["b/z.rpm"]);
        assert!(matches!(check("{a/b,c}"), Err(PatternError::Braces)));
        assert!(matches!(check("a[b"), Err(PatternError::Glob(_))));
    }
}
