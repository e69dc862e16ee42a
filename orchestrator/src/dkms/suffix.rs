//! How a kernel's modules end: `.ko`, and perhaps a compression's ending after it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The compression of a kernel's modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffix {
    /// `.ko`.
    Plain,
    /// `.ko.gz`.
    Gzip,
    /// `.ko.xz`.
    Xz,
    /// `.ko.zst`.
    Zstd,
}

impl Suffix {
    /// Looks at the modules that are there, as dkms does: where there are several kinds, zstd
    /// goes before xz, and xz before gzip.
    pub(crate) fn of_kernel(directory: &Path) -> Self {
        let mut found = Self::Plain;
        walk(directory, &mut |name| {
            let suffix = match name.rsplit_once(".ko.") {
                Some((_, "gz")) => Self::Gzip,
                Some((_, "xz")) => Self::Xz,
                Some((_, "zst")) => Self::Zstd,
                _ => return,
            };
            if suffix as u8 > found as u8 {
                found = suffix;
            }
        });
        found
    }

    /// The ending after `.ko`.
    pub(crate) fn compression(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// The file names that a module may have, the uncompressed one first.
    pub(crate) fn names(self, module: &str) -> [String; 2] {
        [
            format!("{module}.ko"),
            format!("{module}.ko{}", self.compression()),
        ]
    }

    /// The file of a module in a directory, where `exists` says what is there.
    pub(crate) fn find(
        self,
        directory: &Path,
        module: &str,
        exists: impl Fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        self.names(module)
            .into_iter()
            .map(|name| directory.join(name))
            .find(|path| exists(path))
    }
}

/// As messages show it, `.ko.xz`.
impl std::fmt::Display for Suffix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, ".ko{}", self.compression())
    }
}

fn walk(directory: &Path, visit: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        } else {
            visit(&entry.file_name().to_string_lossy());
        }
    }
}
