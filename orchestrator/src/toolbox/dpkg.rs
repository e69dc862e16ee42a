//! Reads dpkg's database: which packages are installed, what they depend on, and the
//! checksums of their files (dpkg(1), deb-md5sums(5)).

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use kiln_cache::ObjectDigest;
use rayon::prelude::*;

/// Packages that every kbuild job may run programs of; those not installed are passed over.
const BUILD_TOOLS: &[&str] = &[
    "base-files",
    "bash",
    "bc",
    "binutils",
    "bison",
    "bzip2",
    "coreutils",
    "cpio",
    "cpp",
    "dash",
    "diffutils",
    "dwarves",
    "pahole",
    "file",
    "findutils",
    "flex",
    "gawk",
    "mawk",
    "original-awk",
    "gcc",
    "grep",
    "gzip",
    "kmod",
    "libc6-dev",
    "libelf1",
    "libelf1t64",
    "libssl3",
    "libssl3t64",
    "make",
    "patch",
    "perl",
    "perl-base",
    "sed",
    "tar",
    "xz-utils",
    "zstd",
];

/// Parts of the file system that no sandbox shows, or that are only read by people.
const UNSEEN: &[&str] = &[
    "usr/src/",
    "usr/local/",
    "lib/modules/",
    "usr/lib/modules/",
    // The beginning of a name: docs/keys.md says what a key has in its place.
    "usr/lib/linux-kbuild-",
    "boot/",
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/doc-base/",
];

struct Package {
    name: String,
    architecture: String,
    version: String,
    /// Each dependency is a list of alternatives.
    depends: Vec<Vec<String>>,
}

/// The installed packages.
pub(super) struct Database {
    info: PathBuf,
    packages: Vec<Package>,
    /// Packages by their own and their provided names.
    names: HashMap<String, Vec<usize>>,
}

impl Database {
    pub(super) fn read(status: &Path) -> io::Result<Self> {
        let text = fs::read(status)?;
        let info = status.with_file_name("info");
        Ok(Self::parse(&String::from_utf8_lossy(&text), info))
    }

    fn parse(text: &str, info: PathBuf) -> Self {
        let mut packages = Vec::new();
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for paragraph in text.split("\n\n") {
            let field = |name: &str| {
                paragraph.lines().find_map(|line| {
                    let (key, value) = line.split_once(": ")?;
                    (key == name).then_some(value)
                })
            };
            let (Some(name), Some(status)) = (field("Package"), field("Status")) else {
                continue;
            };
            if !status.ends_with(" installed") {
                continue;
            }
            let depends = ["Pre-Depends", "Depends"]
                .into_iter()
                .filter_map(field)
                .flat_map(relations)
                .collect();
            let provided = field("Provides").map(relations).unwrap_or_default();
            for name in provided.into_iter().flatten().chain([name.to_owned()]) {
                names.entry(name).or_default().push(packages.len());
            }
            packages.push(Package {
                name: name.to_owned(),
                architecture: field("Architecture").unwrap_or_default().to_owned(),
                version: field("Version").unwrap_or_default().to_owned(),
                depends,
            });
        }
        Self {
            info,
            packages,
            names,
        }
    }

    pub(super) fn all(&self) -> BTreeSet<usize> {
        (0..self.packages.len()).collect()
    }

    /// The build tools, the packages named like the compilers, and all they depend on.
    pub(super) fn closure(&self, compilers: &[String]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = BUILD_TOOLS
            .iter()
            .copied()
            .chain(compilers.iter().map(String::as_str))
            .filter_map(|name| self.names.get(name))
            .flatten()
            .copied()
            .collect();
        while let Some(package) = open.pop() {
            if !found.insert(package) {
                continue;
            }
            for alternatives in &self.packages[package].depends {
                open.extend(
                    alternatives
                        .iter()
                        .filter_map(|n| self.names.get(n))
                        .flatten(),
                );
            }
        }
        found
    }

    /// A line `NAME=DIGEST` for each package of which a sandbox can see a file.
    pub(super) fn checksums(&self, packages: BTreeSet<usize>) -> Vec<String> {
        let mut lines: Vec<String> = packages
            .into_par_iter()
            .filter_map(|index| {
                let package = &self.packages[index];
                let digest = match self.md5sums(package) {
                    Some(text) => visible_files(&text)?,
                    None => ObjectDigest::of(package.version.as_bytes()),
                };
                Some(format!(
                    "{}:{}={digest}",
                    package.name, package.architecture
                ))
            })
            .collect();
        lines.sort();
        lines
    }

    fn md5sums(&self, package: &Package) -> Option<String> {
        let plain = self.info.join(format!("{}.md5sums", package.name));
        let qualified = self
            .info
            .join(format!("{}:{}.md5sums", package.name, package.architecture));
        let bytes = fs::read(qualified).or_else(|_| fs::read(plain)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The digest of the lines that name visible files; none if there are no such lines.
fn visible_files(md5sums: &str) -> Option<ObjectDigest> {
    let mut visible: Vec<&str> = md5sums
        .lines()
        .filter(|line| {
            line.split_once("  ")
                .is_some_and(|(_, path)| !UNSEEN.iter().any(|unseen| path.starts_with(unseen)))
        })
        .collect();
    visible.sort_unstable();
    (!visible.is_empty()).then(|| ObjectDigest::of(visible.join("\n").as_bytes()))
}

/// Parses a relation field: alternatives separated by `|`, groups by commas; versions,
/// architectures and profiles are of no interest for what is installed already.
fn relations(field: &str) -> Vec<Vec<String>> {
    field
        .split(',')
        .map(|group| {
            group
                .split('|')
                .filter_map(|alternative| alternative.split_whitespace().next())
                .map(|name| name.split(':').next().unwrap_or(name).to_owned())
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: make\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4.3\nDepends: libc6 (>= 2.34), awk | missing\n\nPackage: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n\nPackage: mawk\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nProvides: awk\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: python3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3\n";

    fn names(database: &Database, set: BTreeSet<usize>) -> Vec<&str> {
        set.into_iter()
            .map(|i| database.packages[i].name.as_str())
            .collect()
    }

    #[test]
    fn the_closure_follows_alternatives_and_provides() {
        let database = Database::parse(STATUS, PathBuf::from("/nonexistent"));
        assert_eq!(
            names(&database, database.closure(&[])),
            ["make", "libc6", "mawk"]
        );
        assert_eq!(
            names(&database, database.all()),
            ["make", "libc6", "mawk", "python3"]
        );
    }

    #[test]
    fn headers_and_documentation_are_no_part_of_a_toolbox() {
        assert!(
            visible_files(
                "00  usr/src/linux-headers-6/Makefile\n00  usr/lib/linux-kbuild-6.1/scripts/x\n00  usr/share/doc/x/copyright\n"
            )
            .is_none()
        );
        let one = visible_files("00  usr/bin/make\n00  usr/share/doc/x\n");
        assert_eq!(
            one,
            visible_files("11  usr/share/doc/x\n00  usr/bin/make\n")
        );
        assert_ne!(one, visible_files("01  usr/bin/make\n"));
    }
}
