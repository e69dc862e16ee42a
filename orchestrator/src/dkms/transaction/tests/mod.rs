//! The transaction as its callers use it, and as crashes leave it.

use std::{io, path::Path};

use super::{disk::Operation, error::Failure};

/// Sees each operation before and after it is done.
pub(super) trait Watch: Send + Sync {
    /// An error is what the operation ends with, undone.
    fn before(&self, operation: Operation, path: &Path) -> io::Result<()>;
    fn after(&self, operation: Operation, path: &Path);
}

/// Does an operation under watch.
pub(super) fn watched<T>(
    watch: &dyn Watch,
    operation: Operation,
    path: &Path,
    act: impl FnOnce() -> io::Result<T>,
) -> Result<T, Failure> {
    let done = watch.before(operation, path).and_then(|()| act());
    watch.after(operation, path);
    done.map_err(|source| Failure::new(path, source))
}
