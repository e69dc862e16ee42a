//! The transaction as its callers use it, and as crashes leave it.

mod changes;
mod crash;
mod ground;
mod killed;
mod locks;
mod mounts;
mod power;
mod reading;

use std::{path::Path, sync::Arc};

use kiln_durable::{Disk, Watch};

use super::{Transaction, TransactionError};

fn begin(kernel: &Path) -> Transaction {
    Transaction::begin(kernel, &mut || ()).unwrap()
}

fn begin_watched(kernel: &Path, watch: Arc<dyn Watch>) -> Result<Transaction, TransactionError> {
    Transaction::begin_on(Disk::watched(watch), kernel, &mut || ())
}
