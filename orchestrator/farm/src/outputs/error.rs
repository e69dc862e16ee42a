//! Why what a farm publishes cannot be published.

use std::{io, path::PathBuf};

use kiln_build::{
    plan::{PackageInputError, SiteError},
    results::DeliveryError,
};
use kiln_cache::StoreError;
use kiln_durable::Failure;

use crate::FarmError;

/// Why outputs of a farm do not get into its folder.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// They cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// What cannot be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// They cannot be had from the cache.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no place to make them in.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// They cannot be made.
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// The source that belongs to them cannot be had.
    #[error("the source of {package} cannot be read any more")]
    Source {
        /// Whose source.
        package: String,
        /// Why.
        source: PackageInputError,
    },
}

impl From<Failure> for OutputError {
    fn from(failure: Failure) -> Self {
        DeliveryError::from(failure).into()
    }
}

impl From<DeliveryError> for OutputError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Output { path, source } => Self::Write { path, source },
            DeliveryError::Store(error) => Self::Store(error),
        }
    }
}
