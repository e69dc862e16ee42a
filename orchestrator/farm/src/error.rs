//! What can be wrong with a farm, always with the file and line to look at.

use std::{fmt, io, path::PathBuf};

use kiln_kernel::{KernelSelectionError, fingerprints::FingerprintError, package::FindError};
use kiln_publish::PublishError;

use super::paths::PatternError;

/// A line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line, counted from 1.
    pub(crate) line: usize,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// Why a kernel of the manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelProblem {
    /// An installed kernel or a tree.
    #[error(transparent)]
    Selection(#[from] KernelSelectionError),
    /// Its files cannot be read.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The release is no glob.
    #[error("the release is not a valid pattern")]
    Glob {
        /// What is wrong with it.
        source: globset::Error,
    },
}

/// Why a farm cannot be planned.
#[expect(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    #[error("there is no {path}")]
    NoManifest { path: PathBuf },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    // Not as `source()`: the whole text of the error repeats its message, with a drawing.
    #[error("{at}: {}", error.message())]
    Syntax {
        at: Located,
        error: Box<toml::de::Error>,
    },
    #[error("{at}: unknown key {key:?}")]
    UnknownKey {
        at: Located,
        key: String,
        allowed: Vec<String>,
        meant: Option<String>,
    },
    #[error("{path}: `{key}` names nothing")]
    Empty { path: PathBuf, key: &'static str },
    #[error("{at}: a rule that names nothing would fit everything")]
    EmptyRule { at: Located },
    #[error("{path}: `cost.cpu_hour` is not a price")]
    Price { path: PathBuf },
    #[error("{at}: {pattern:?} is not a valid pattern")]
    Pattern {
        at: Located,
        pattern: String,
        source: Box<PatternError>,
    },
    #[error("{at}: {path} does not exist")]
    NotThere { at: Located, path: PathBuf },
    #[error("{at}: {pattern:?} matches no {what} in {directory}")]
    NothingMatches {
        at: Located,
        pattern: String,
        what: &'static str,
        directory: PathBuf,
    },
    #[error("{at}")]
    Package {
        at: Located,
        #[source]
        source: Box<FindError>,
    },
    #[error("{at}")]
    Kernel {
        at: Located,
        #[source]
        source: Box<KernelProblem>,
    },
    #[error("{kernel} comes from two places: {first} and {second}")]
    SameKernel {
        kernel: String,
        /// Where from, and which entry says so.
        first: String,
        second: String,
    },
    #[error("{label} comes from two places: {first} and {second}")]
    SamePackage {
        label: String,
        first: PathBuf,
        second: PathBuf,
    },
    #[error("{first} and {second} both make {module} for {kernel}")]
    SameModule {
        module: String,
        kernel: String,
        first: String,
        second: String,
    },
    #[error("{path}: `outputs`")]
    Outputs {
        path: PathBuf,
        #[source]
        source: Box<PublishError>,
    },
    #[error("{package} for {kernel} cannot be published")]
    Publish {
        package: String,
        kernel: String,
        #[source]
        source: Box<PublishError>,
    },
    #[error("{path} cannot be edited")]
    Edit {
        path: PathBuf,
        source: Box<toml_edit::TomlError>,
    },
}

impl FarmError {
    /// What is wrong with a kernel, if that is what is wrong.
    pub fn kernel(&self) -> Option<&KernelProblem> {
        match self {
            Self::Kernel { source, .. } => Some(source),
            _ => None,
        }
    }
}
