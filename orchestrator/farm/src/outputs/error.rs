//! Why what a farm publishes cannot be published.

use kiln_build::{
    plan::{PackageInputError, SiteError},
    results::DeliveryError,
};

use crate::FarmError;

/// Why outputs of a farm do not get into its folder.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// They cannot be put there.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
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
