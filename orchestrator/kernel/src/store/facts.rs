//! What a package says of itself: its name, its version, and what it depends on.
//!
//! For messages, for the architecture, and to tell parts that do not fit together; what a kernel
//! is made of is found in its files. Formats: deb-control(5), and the header of an RPM.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{Arch, version};

/// What a package says of itself; a tarball says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    /// The architecture as `uname -m` names it; none for packages that fit all.
    pub(super) arch: Option<Arch>,
    pub(super) depends: Vec<Relation>,
}

/// One alternative of a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relation {
    pub(super) name: String,
    /// A relation such as `>=`, and a version.
    pub(super) version: Option<(String, String)>,
}

impl Facts {
    /// Reads the control file of a .deb.
    pub(super) fn of_control(text: &str) -> Self {
        let unfolded = text.replace("\n ", " ").replace("\n\t", " ");
        let field = |name: &str| {
            unfolded.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        Self {
            name: field("Package"),
            version: field("Version"),
            arch: field("Architecture").and_then(|name| debian_arch(&name)),
            depends: field("Depends").map(|d| relations(&d)).unwrap_or_default(),
        }
    }

    /// Reads the header of an RPM.
    pub(super) fn of_rpm(metadata: &rpm::PackageMetadata) -> Self {
        let text = |value: Result<&str, rpm::Error>| value.ok().map(str::to_owned);
        let version = match (metadata.get_version(), metadata.get_release()) {
            (Ok(version), Ok(release)) => Some(format!("{version}-{release}")),
            _ => None,
        };
        Self {
            name: text(metadata.get_name()),
            version,
            arch: text(metadata.get_arch())
                .filter(|arch| arch != "noarch")
                .and_then(|arch| Arch::new(arch).ok()),
            depends: metadata
                .get_requires()
                .unwrap_or_default()
                .into_iter()
                .map(|dependency| Relation {
                    name: dependency.name,
                    version: None,
                })
                .collect(),
        }
    }

    /// The dependency that is most likely to hold a file that is missing below `directory`.
    pub(super) fn dependency_with(&self, directory: &str) -> Option<String> {
        let named = |relation: &&Relation| relation.name == directory;
        let headers = |relation: &&Relation| {
            [
                "linux-headers",
                "linux-kbuild",
                "kernel-devel",
                "kernel-source",
            ]
            .iter()
            .any(|prefix| relation.name.starts_with(prefix))
        };
        self.depends
            .iter()
            .find(named)
            .or_else(|| self.depends.iter().find(headers))
            .map(|relation| relation.name.clone())
            .or_else(|| {
                directory
                    .starts_with("linux-")
                    .then(|| directory.to_owned())
            })
    }
}

impl Relation {
    /// Whether a version is one that this asks for.
    pub(super) fn fits(&self, found: &str) -> bool {
        let Some((relation, wanted)) = &self.version else {
            return true;
        };
        let order = version::compare(found, wanted);
        match relation.as_str() {
            "=" => found == wanted,
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">>" => order == Ordering::Greater,
            "<<" => order == Ordering::Less,
            _ => true,
        }
    }

    /// The relation and the version, as a control file has them.
    pub(super) fn needs(&self) -> String {
        self.version
            .as_ref()
            .map(|(relation, version)| format!("{relation} {version}"))
            .unwrap_or_default()
    }
}

/// Takes a Depends field apart; alternatives count like further dependencies.
fn relations(field: &str) -> Vec<Relation> {
    field
        .split([',', '|'])
        .filter_map(|one| {
            let name = one.split_whitespace().next()?;
            let name = name.split([':', '(']).next().unwrap_or(name).to_owned();
            let version = one
                .split_once('(')
                .and_then(|(_, rest)| rest.split_once(')'))
                .map(|(inner, _)| inner.trim())
                .and_then(|inner| {
                    let end = inner.find(|c: char| !matches!(c, '<' | '>' | '='))?;
                    let (relation, version) = inner.split_at(end);
                    Some((relation.to_owned(), version.trim().to_owned()))
                });
            Some(Relation { name, version })
        })
        .collect()
}

/// What `uname -m` says where Debian's architecture of that name is at home; the names that are not
/// here are the same in both.
fn debian_arch(name: &str) -> Option<Arch> {
    let machine = match name {
        "all" => return None,
        "amd64" => "x86_64",
        "i386" => "i686",
        "arm64" => "aarch64",
        "armhf" => "armv7l",
        "armel" => "armv5tel",
        "ppc64el" => "ppc64le",
        "mips64el" => "mips64",
        "mipsel" => "mips",
        "loong64" => "loongarch64",
        other => other,
    };
    Arch::new(machine).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_says_what_fits() {
        let facts = Facts::of_control(
            "Package: linux-headers-6.1.0-56-amd64\nVersion: 6.1.192-2\nArchitecture: amd64\n\
             Depends: linux-headers-6.1.0-56-common (= 6.1.192-2),\n linux-kbuild-6.1 (>= 6.1.192-2), linux-compiler-gcc-12-x86\n",
        );
        assert_eq!(facts.arch, Arch::new("x86_64").ok());
        let [common, kbuild, compiler] = facts.depends.as_slice() else {
            panic!("{facts:?}");
        };
        assert!(common.fits("6.1.192-2") && !common.fits("6.1.192-1"));
        assert!(kbuild.fits("6.1.200-1") && !kbuild.fits("6.1.99-9"));
        assert!(compiler.fits("anything"));
        assert_eq!(kbuild.needs(), ">= 6.1.192-2");
        let missing = |path: &str| facts.dependency_with(path);
        assert_eq!(
            missing("linux-kbuild-6.1").as_deref(),
            Some("linux-kbuild-6.1")
        );
        assert_eq!(
            missing("linux-hwe").as_deref(),
            Some("linux-headers-6.1.0-56-common")
        );
    }
}
