//! Reads dpkg's database: which packages are installed, and the checksums of their files (dpkg(1), deb-md5sums(5)).

use std::{
    io,
    path::{Path, PathBuf},
};

use kiln_cache::ObjectDigest;
use kiln_durable::regular;
use rayon::prelude::*;

use crate::sizes;

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
}

/// The installed packages.
pub(super) struct Database {
    info: PathBuf,
    packages: Vec<Package>,
}

impl Database {
    pub(super) fn read(status: &Path) -> io::Result<Self> {
        let text = regular::read_at_once(status, sizes::LISTING)?;
        let info = status.with_file_name("info");
        Ok(Self::parse(&String::from_utf8_lossy(&text), info))
    }

    fn parse(text: &str, info: PathBuf) -> Self {
        let mut packages = Vec::new();
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
            packages.push(Package {
                name: name.to_owned(),
                architecture: field("Architecture").unwrap_or_default().to_owned(),
                version: field("Version").unwrap_or_default().to_owned(),
            });
        }
        Self { info, packages }
    }

    /// A line `NAME=DIGEST` for each package of which a sandbox can see a file.
    pub(super) fn checksums(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .packages
            .par_iter()
            .filter_map(|package| {
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
        let read = |path: &Path| regular::read_at_once(path, sizes::LISTING);
        let bytes = read(&qualified).or_else(|_| read(&plain)).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: make\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4.3\nDepends: libc6 (>= 2.34), awk | missing\n\nPackage: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n\nPackage: mawk\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nProvides: awk\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: python3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3\n";

    #[test]
    fn only_what_is_installed_counts() {
        let database = Database::parse(STATUS, PathBuf::from("/nonexistent"));
        let names: Vec<&str> = database.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["make", "libc6", "mawk", "python3"]);
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
