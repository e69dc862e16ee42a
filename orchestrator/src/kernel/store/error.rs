//! Why header packages make no kernel.

use std::{io, path::PathBuf};

use crate::kernel::KernelTreeError;

/// Why header packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelStoreError {
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the packages hold is no usable tree.
    #[error(transparent)]
    Tree(#[from] KernelTreeError),
}
