//! framework.conf: where the machine's owner moved DKMS's directories.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kiln_durable::regular;
use kiln_kernel::sizes;
use kiln_sandbox::Trees;
use serde::{Deserialize, Serialize};

use super::RawConf;

/// The settings of framework.conf that bear on a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Framework {
    /// The DKMS tree.
    pub dkms_tree: PathBuf,
    /// The directory of module sources.
    pub source_tree: PathBuf,
    /// Where kernels are installed.
    pub install_tree: PathBuf,
    /// A script whose exported variables every build gets.
    pub build_environment: Option<PathBuf>,
}

impl Default for Framework {
    fn default() -> Self {
        Self {
            dkms_tree: PathBuf::from("/var/lib/dkms"),
            source_tree: PathBuf::from("/usr/src"),
            install_tree: PathBuf::from("/lib/modules"),
            build_environment: None,
        }
    }
}

impl Framework {
    /// Where the machine has what builds see.
    pub fn trees(&self) -> Trees<'_> {
        Trees {
            dkms: &self.dkms_tree,
            source: &self.source_tree,
            install: &self.install_tree,
        }
    }

    /// The files that hold it, in the order in which they are read, those that exist.
    pub fn files() -> Vec<PathBuf> {
        let mut files = vec![PathBuf::from("/etc/dkms/framework.conf")];
        let mut more: Vec<PathBuf> = fs::read_dir("/etc/dkms/framework.conf.d")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "conf"))
            .collect();
        more.sort();
        files.extend(more);
        files.retain(|path| path.exists());
        files
    }

    /// What is in them, if any states anything; the one that dkms ships is all comments.
    ///
    /// # Errors
    /// As [`owners_text`].
    pub fn texts() -> io::Result<Option<Vec<Vec<u8>>>> {
        let files = Self::files();
        let texts: Vec<Vec<u8>> = files
            .iter()
            .map(|path| owners_text(path))
            .collect::<Result<_, _>>()?;
        Ok(texts
            .iter()
            .any(|text| states_anything(text))
            .then_some(texts))
    }

    /// Gives bash's answer its meaning.
    pub fn from_raw(raw: &RawConf) -> Self {
        let defaults = Self::default();
        let path = |name: &str| raw.scalar(name).map(PathBuf::from);
        Self {
            dkms_tree: path("dkms_tree").unwrap_or(defaults.dkms_tree),
            source_tree: path("source_tree").unwrap_or(defaults.source_tree),
            install_tree: path("install_tree").unwrap_or(defaults.install_tree),
            build_environment: path("build_environment").filter(|p| p.is_file()),
        }
    }
}

fn states_anything(text: &[u8]) -> bool {
    String::from_utf8_lossy(text)
        .lines()
        .map(str::trim)
        .any(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The text of a file in /etc/dkms; of one that the user may not read there is none, as for bash.
///
/// # Errors
/// Fails, with the path in its words, if something is there that bash would wait for, or that has no end.
pub fn owners_text(path: &Path) -> io::Result<Vec<u8>> {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied};
    regular::read_at_once(path, sizes::TEXT).or_else(|error| match error.kind() {
        NotFound | PermissionDenied | IsADirectory => Ok(Vec::new()),
        kind => {
            let said = format!("cannot read {}: {error}", path.display());
            Err(io::Error::new(kind, said))
        }
    })
}
