//! Finds the packages that the user named: by path, or by name in the DKMS tree and in
//! the directory of module sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use kiln_durable::regular;

use super::PackageId;
use crate::{InvalidName, sizes, version};

/// Where a package's source comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageSource {
    /// A directory with a dkms.conf in it.
    Tree(PathBuf),
    /// A `.deb`, `.rpm` or tarball that holds such directories.
    Archive(PathBuf),
}

impl PackageSource {
    /// The path that the source comes from.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tree(path) | Self::Archive(path) => path,
        }
    }
}

/// A package that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its source.
    pub source: PackageSource,
    /// The name and version under which it is registered; a path has none until its
    /// dkms.conf has been evaluated.
    pub registered: Option<PackageId>,
}

impl Found {
    /// How messages name it until its dkms.conf has been read.
    pub fn label(&self) -> String {
        match &self.registered {
            Some(id) => id.to_string(),
            None => self.source.path().file_name().map_or_else(
                || self.source.path().display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            ),
        }
    }
}

/// Why a package cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No package of that name is there.
    #[error("package {name:?} is neither a path nor found in {source_tree} or {dkms_tree}")]
    NotFound {
        /// The name as given.
        name: String,
        /// The directory of module sources.
        source_tree: PathBuf,
        /// The DKMS tree.
        dkms_tree: PathBuf,
    },
    /// The directory holds no dkms.conf.
    #[error("{path} has no dkms.conf")]
    NoConf {
        /// The directory.
        path: PathBuf,
    },
    /// The package is registered and its source is gone.
    #[error("{package} is broken: {link} points to no source")]
    Broken {
        /// The package.
        package: PackageId,
        /// Its `source` link.
        link: PathBuf,
    },
    /// The name cannot be a package's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The file is no kind of archive that kiln reads.
    #[error("{path} is neither a directory nor a .deb, .rpm or tarball")]
    NotAPackage {
        /// The file.
        path: PathBuf,
    },
}

/// Finds the package that `argument` names.
///
/// # Errors
/// Fails if there is none, or what there is cannot be a package.
pub fn find_package(
    argument: &str,
    source_tree: &Path,
    dkms_tree: &Path,
) -> Result<Found, FindError> {
    let path = Path::new(argument);
    if path.is_dir() {
        if fs::symlink_metadata(path.join("dkms.conf")).is_ok() {
            return Ok(Found {
                source: PackageSource::Tree(absolute(path)),
                registered: None,
            });
        }
        if argument.contains('/') && registered_path(argument, source_tree, dkms_tree).is_none() {
            return Err(FindError::NoConf {
                path: path.to_owned(),
            });
        }
    } else if path.is_file() {
        return if super::archive::is_archive(path) {
            Ok(Found {
                source: PackageSource::Archive(absolute(path)),
                registered: None,
            })
        } else {
            Err(FindError::NotAPackage {
                path: path.to_owned(),
            })
        };
    } else if path.exists() {
        return Err(FindError::NotAPackage {
            path: path.to_owned(),
        });
    }
    by_name(argument, source_tree, dkms_tree)
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn by_name(argument: &str, source_tree: &Path, dkms_tree: &Path) -> Result<Found, FindError> {
    if let Some(found) = registered_path(argument, source_tree, dkms_tree) {
        return found;
    }
    let not_found = || FindError::NotFound {
        name: argument.to_owned(),
        source_tree: source_tree.to_owned(),
        dkms_tree: dkms_tree.to_owned(),
    };
    if argument.contains('/') {
        return Err(not_found());
    }
    let mut versions: Vec<Found> = find_all(source_tree, dkms_tree)
        .into_iter()
        .filter(|found| named(found, argument))
        .collect();
    versions.sort_by(|a, b| version::compare(version_of(a), version_of(b)));
    versions.pop().ok_or_else(not_found)
}

fn named(found: &Found, name: &str) -> bool {
    found
        .registered
        .as_ref()
        .is_some_and(|id| id.name.as_str() == name)
}

fn version_of(found: &Found) -> &str {
    found
        .registered
        .as_ref()
        .map_or("", |id| id.version.as_str())
}

/// `NAME/VERSION` in the DKMS tree, else in the directory of sources.
fn registered_path(
    argument: &str,
    source_tree: &Path,
    dkms_tree: &Path,
) -> Option<Result<Found, FindError>> {
    let (name, version) = argument.split_once('/')?;
    let id = match PackageId::new(name, version) {
        Ok(id) => id,
        Err(_) => return None,
    };
    let link = dkms_tree.join(name).join(version).join("source");
    if fs::symlink_metadata(&link).is_ok() {
        return Some(if link.join("dkms.conf").exists() {
            Ok(tree(link, id))
        } else {
            Err(FindError::Broken { package: id, link })
        });
    }
    let source = source_tree.join(format!("{name}-{version}"));
    source
        .join("dkms.conf")
        .exists()
        .then(|| Ok(tree(source, id)))
}

fn tree(path: PathBuf, id: PackageId) -> Found {
    Found {
        source: PackageSource::Tree(absolute(&path)),
        registered: Some(id),
    }
}

/// Every package registered in the DKMS tree or lying in the directory of sources, sorted.
///
/// A directory of sources `<name>-<version>` is taken apart with the help of what its
/// dkms.conf says literally, else at its last dash before a digit.
pub fn find_all(source_tree: &Path, dkms_tree: &Path) -> Vec<Found> {
    let mut found: BTreeMap<PackageId, Found> = BTreeMap::new();
    for name in names(dkms_tree) {
        for version in names(&dkms_tree.join(&name)) {
            let link = dkms_tree.join(&name).join(&version).join("source");
            let Ok(id) = PackageId::new(&name, &version) else {
                continue;
            };
            if link.join("dkms.conf").exists() {
                found.insert(id.clone(), tree(link, id));
            }
        }
    }
    for name in names(source_tree) {
        let path = source_tree.join(&name);
        if !path.join("dkms.conf").exists() {
            continue;
        }
        if let Some(id) = directory_identity(&path, &name) {
            found.entry(id.clone()).or_insert_with(|| tree(path, id));
        }
    }
    found.into_values().collect()
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn directory_identity(path: &Path, directory: &str) -> Option<PackageId> {
    let text = regular::read_at_once(&path.join("dkms.conf"), sizes::TEXT).unwrap_or_default();
    let (name, version) = literal_identity(&text);
    let split = name
        .filter(|name| {
            directory
                .strip_prefix(name.as_str())
                .is_some_and(|r| r.starts_with('-'))
        })
        .map(|name| name.len())
        .or_else(|| {
            let version = version.filter(|v| directory.ends_with(&format!("-{v}")))?;
            Some(directory.len() - version.len() - 1)
        })
        .or_else(|| {
            let bytes = directory.as_bytes();
            (1..bytes.len().saturating_sub(1))
                .rev()
                .find(|&i| bytes[i] == b'-' && bytes[i + 1].is_ascii_digit())
        })?;
    PackageId::new(&directory[..split], &directory[split + 1..]).ok()
}

/// PACKAGE_NAME and PACKAGE_VERSION as far as a dkms.conf states them without any shell.
///
/// For guesses: which directory belongs to a name, and what bash will say. Never used as a package's identity.
pub fn literal_identity(conf: &[u8]) -> (Option<String>, Option<String>) {
    let text = String::from_utf8_lossy(conf);
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            .rfind(|value| !value.contains(['$', '`', '"', '\'', ' ', '#']))
    };
    (value("PACKAGE_NAME"), value("PACKAGE_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(root: &Path, directory: &str, conf: &str) {
        let path = root.join("src").join(directory);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("dkms.conf"), conf).unwrap();
    }

    #[test]
    fn names_versions_and_the_newest_are_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(temp.path()).unwrap();
        package(&root, "foo-0.9", "PACKAGE_NAME=foo\nPACKAGE_VERSION=0.9\n");
        package(
            &root,
            "foo-0.10",
            "PACKAGE_NAME=\"foo\"\r\nPACKAGE_VERSION=$V\n",
        );
        package(&root, "foo-bar-1.0", "PACKAGE_NAME=foo-bar\n");
        package(
            &root,
            "odd-2.0-3",
            "PACKAGE_NAME=$X\nPACKAGE_VERSION=2.0-3\n",
        );
        fs::create_dir_all(root.join("src/not-a-package-1")).unwrap();
        let (src, tree) = (root.join("src"), root.join("dkms"));

        let find = |name: &str| find_package(name, &src, &tree).unwrap();
        assert_eq!(find("foo").source.path(), src.join("foo-0.10"));
        assert_eq!(find("foo/0.9").source.path(), src.join("foo-0.9"));
        assert_eq!(find("foo-bar").source.path(), src.join("foo-bar-1.0"));
        assert_eq!(find("odd").registered, PackageId::new("odd", "2.0-3").ok());
        assert!(matches!(
            find_package("bar", &src, &tree),
            Err(FindError::NotFound { .. })
        ));
        let ids: Vec<String> = find_all(&src, &tree)
            .iter()
            .filter_map(|f| Some(f.registered.as_ref()?.to_string()))
            .collect();
        assert_eq!(ids, ["foo/0.10", "foo/0.9", "foo-bar/1.0", "odd/2.0-3"]);
    }

    #[test]
    fn a_registered_package_without_its_source_is_broken() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("dkms");
        fs::create_dir_all(tree.join("foo/1")).unwrap();
        std::os::unix::fs::symlink("/nowhere", tree.join("foo/1/source")).unwrap();
        assert!(matches!(
            find_package("foo/1", temp.path(), &tree),
            Err(FindError::Broken { .. })
        ));
    }
}
