//! The transaction as its callers use it, and as crashes leave it.

mod changes;
mod crash;
mod ground;
mod killed;
mod locks;
mod mounts;
mod power;
mod reading;

use std::{io, path::Path, sync::Arc};

use super::{
    Transaction, TransactionError,
    disk::{Disk, Operation},
    error::Failure,
};

/// Sees each operation before and after it is done.
pub(super) trait Watch: Send + Sync {
    /// An error is what the operation ends with, undone.
    fn before(&self, operation: Operation, path: &Path) -> io::Result<()>;
    /// Called also for what failed.
    fn after(&self, _operation: Operation, _path: &Path) {}
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

fn begin(kernel: &Path) -> Transaction {
    Transaction::begin(kernel, &mut || ()).unwrap()
}

fn begin_watched(kernel: &Path, watch: Arc<dyn Watch>) -> Result<Transaction, TransactionError> {
    let disk = Disk { watch: Some(watch) };
    Transaction::begin_on(disk, kernel, &mut || ())
}
