//! The packages of a farm: what the paths and globs of the manifest stand for.

use std::path::Path;

use kiln_kernel::package::{FindError, Found, find_package};
use toml::Spanned;

use super::{FarmError, Manifest, paths};

/// Endings of files that are meant to be packages, whatever is in them.
const ARCHIVES: [&str; 8] = [
    ".deb", ".rpm", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst",
];

/// Finds every package, in the manifest's order, each once.
///
/// # Errors
/// Fails with the first entry that stands for no package. A glob passes over files and
/// directories that are none, unless their name promises one.
pub fn resolve_packages(manifest: &Manifest) -> Result<Vec<Found>, FarmError> {
    let mut found: Vec<Found> = Vec::new();
    for entry in manifest.packages() {
        for one in entry_packages(manifest, entry)? {
            if !found.iter().any(|other| other.source == one.source) {
                found.push(one);
            }
        }
    }
    Ok(found)
}

fn entry_packages(manifest: &Manifest, entry: &Spanned<String>) -> Result<Vec<Found>, FarmError> {
    let pattern = entry.get_ref();
    let at = || manifest.at(entry);
    let paths =
        paths::expand(manifest.directory(), pattern).map_err(|source| FarmError::Pattern {
            at: at(),
            pattern: pattern.clone(),
            source: Box::new(source),
        })?;
    let is_glob = paths::is_pattern(pattern);
    let mut found = Vec::new();
    for path in &paths {
        match package(path) {
            Ok(one) => found.push(one),
            Err(FindError::NoConf { .. } | FindError::NotAPackage { .. })
                if is_glob && !promises_a_package(path) => {}
            Err(source) => {
                let source = Box::new(source);
                return Err(FarmError::Package { at: at(), source });
            }
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(if is_glob {
        FarmError::NothingMatches {
            at: at(),
            pattern: pattern.clone(),
            what: "package",
            directory: manifest.directory().to_owned(),
        }
    } else {
        FarmError::NotThere {
            at: at(),
            path: manifest.directory().join(pattern),
        }
    })
}

/// The package at a path; names of registered packages mean nothing here.
fn package(path: &Path) -> Result<Found, FindError> {
    let none = Path::new("/nonexistent");
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    find_package(&path.to_string_lossy(), none, none)
}

fn promises_a_package(path: &Path) -> bool {
    let name = path.to_string_lossy();
    path.is_file() && ARCHIVES.iter().any(|ending| name.ends_with(ending))
}
