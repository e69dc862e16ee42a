//! An entry of `kernels`: an installed release as a string, or a table.

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{PackageFamily, Strings};

/// An entry of `kernels`.
#[derive(Debug)]
pub struct KernelEntry {
    /// What rules may call it by.
    pub(crate) name: Option<String>,
    /// A directory that holds the toolchain, in place of this machine's.
    pub(crate) root: Option<PathBuf>,
    /// Whose kernel it is, for packages of modules.
    pub(crate) family: Option<PackageFamily>,
    /// Where the kernel comes from.
    pub(crate) source: KernelSource,
}

/// Where a kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// A release with headers in /lib/modules, or a glob over such releases.
    Release(String),
    /// Packages with headers: paths and globs.
    Headers(Vec<String>),
    /// A configured build tree.
    Tree(PathBuf),
}

/// The table form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    release: Option<String>,
    headers: Option<Strings>,
    tree: Option<PathBuf>,
    root: Option<PathBuf>,
    family: Option<PackageFamily>,
}

impl Table {
    fn entry<E: de::Error>(self) -> Result<KernelEntry, E> {
        let headers = self.headers.map(|headers| headers.0);
        let source = match (self.release, headers, self.tree) {
            (Some(release), None, None) => KernelSource::Release(release),
            (None, Some(headers), None) if headers.is_empty() => {
                return Err(E::custom("`headers` names no file"));
            }
            (None, Some(headers), None) => KernelSource::Headers(headers),
            (None, None, Some(tree)) => KernelSource::Tree(tree),
            (None, None, None) => {
                return Err(E::custom(
                    "a kernel needs one of `release` (installed), `headers` (packages) and `tree` (a directory)",
                ));
            }
            _ => {
                return Err(E::custom(
                    "`release`, `headers` and `tree` exclude each other: make an entry of each",
                ));
            }
        };
        Ok(KernelEntry {
            name: self.name,
            root: self.root,
            family: self.family,
            source,
        })
    }
}

impl<'de> Deserialize<'de> for KernelEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = KernelEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a kernel release, or a table")
            }

            fn visit_str<E: de::Error>(self, release: &str) -> Result<KernelEntry, E> {
                Ok(KernelEntry {
                    name: None,
                    root: None,
                    family: None,
                    source: KernelSource::Release(release.to_owned()),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KernelEntry, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map))?.entry()
            }
        }
        deserializer.deserialize_any(Entry)
    }
}
