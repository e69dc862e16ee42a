//! The manifest, as types: what farm.toml may say. docs/farm.md describes each key.
//!
//! Unknown keys are refused. Paths are kept as written; who uses them joins them to
//! [`Manifest::directory`].

mod kernel;
mod outputs;
mod patterns;
mod read;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

pub use kernel::{KernelEntry, KernelSource};
pub use outputs::{
    Format, Outputs, PackageFamily, Packages, ProvenanceFormat, Signing, SigningStyle,
};
pub use patterns::{Patterns, Strings};

use super::{FarmError, Located};

/// A manifest that was read.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    text: String,
    contents: Contents,
}

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    packages: Vec<Spanned<String>>,
    #[serde(default)]
    kernels: Vec<Spanned<KernelEntry>>,
    #[serde(default)]
    matrix: Rules,
    outputs: Option<Spanned<Outputs>>,
    #[serde(default)]
    build: BuildOptions,
    #[serde(default)]
    cost: Cost,
}

/// `[matrix]`: which pairs are left out, and which are taken back in.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    #[serde(default)]
    pub(crate) include: Vec<Spanned<Rule>>,
    #[serde(default)]
    pub(crate) exclude: Vec<Spanned<Rule>>,
}

/// A rule of the matrix; what it does not name it does not ask about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Package names, or `name/version`.
    pub(crate) package: Option<Patterns>,
    /// Package versions.
    pub(crate) version: Option<Patterns>,
    /// Kernel releases.
    pub(crate) kernel: Option<Patterns>,
    /// Names that the manifest gives to kernels.
    pub(crate) name: Option<Patterns>,
    /// Architectures.
    pub(crate) arch: Option<Patterns>,
    /// Why, for whoever reads the plan.
    pub(crate) because: Option<String>,
}

/// `[build]`: how jobs are run, unless the command line says otherwise.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildOptions {
    /// How many processes compile at once.
    pub jobs: Option<NonZeroUsize>,
    /// How long a job may take, in seconds.
    pub timeout: Option<u64>,
    /// How long a dkms.conf may take, in seconds.
    pub conf_timeout: Option<u64>,
    /// Whether nothing more starts after the first failure.
    #[serde(default)]
    pub fail_fast: bool,
    /// Whether what is known to fail is built again.
    #[serde(default)]
    pub retry_failed: bool,
}

/// `[cost]`: what computing costs.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The price of one processor for an hour.
    pub(crate) cpu_hour: Option<f64>,
    /// In which currency, for instance `EUR`.
    pub(crate) currency: Option<String>,
}

/// Reads a manifest of anybody's.
#[cfg(feature = "fuzzing")]
pub fn read_for_fuzzing(text: &str) {
    match Manifest::parse(Path::new("/farm/farm.toml"), text.to_owned()) {
        Ok(manifest) => {
            for entry in manifest.kernels() {
                let _ = manifest.at(entry);
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

impl Manifest {
    /// Reads a manifest and checks what can be checked without looking elsewhere.
    ///
    /// # Errors
    /// Fails with the first thing that is wrong, and its line.
    pub fn read(path: &Path) -> Result<Self, FarmError> {
        let text = read::text(path)?;
        Self::parse(path, text)
    }

    /// Takes `text` for what is in the file `path`.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, FarmError> {
        let contents = read::contents(path, &text)?;
        let manifest = Self {
            path: path.to_owned(),
            text,
            contents,
        };
        read::check(&manifest)?;
        Ok(manifest)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The directory that relative paths start from.
    pub(crate) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    /// Where something is in the file.
    pub(crate) fn at<T>(&self, value: &Spanned<T>) -> Located {
        read::located(&self.path, &self.text, value.span().start)
    }

    /// The packages, as paths and globs.
    pub(crate) fn packages(&self) -> &[Spanned<String>] {
        &self.contents.packages
    }

    /// The kernels.
    pub fn kernels(&self) -> &[Spanned<KernelEntry>] {
        &self.contents.kernels
    }

    /// The rules of the matrix.
    pub(crate) fn rules(&self) -> &Rules {
        &self.contents.matrix
    }

    /// Where results go, if it says.
    pub fn outputs(&self) -> Option<&Outputs> {
        self.contents.outputs.as_ref().map(Spanned::get_ref)
    }

    /// How jobs are run.
    pub fn build(&self) -> &BuildOptions {
        &self.contents.build
    }

    /// What computing costs.
    pub fn cost(&self) -> &Cost {
        &self.contents.cost
    }
}
