//! Why a report cannot be written or read.

use std::{io, path::PathBuf};

/// What went wrong, and with which file.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be read.
    #[error("cannot read the report {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no report.
    #[error("{path} is not a report of kiln")]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, if it is JSON at all.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A report is of another version.
    #[error("{path} is a report of version {found}, and this kiln reads version {expected}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The one that is read.
        expected: u64,
    },
    /// The directory holds files that no report of kiln has put there.
    #[error("{path} is there already and is no report of kiln; it is left as it is")]
    Occupied {
        /// The file in the way.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write the report {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
