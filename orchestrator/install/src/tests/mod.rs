//! The transaction as its callers use it, and as crashes leave it.

mod changes;
mod crash;
mod ground;
mod killed;
mod locks;
mod mounts;
mod power;
mod reading;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_durable::{Disk, Watch};

use super::{Transaction, TransactionError};

/// The DKMS tree of a ground.
fn tree_of(kernel: &Path) -> PathBuf {
    kernel.with_file_name("dkms")
}

fn begin(kernel: &Path) -> Transaction {
    Transaction::begin(kernel, &tree_of(kernel), &mut || ()).unwrap()
}

fn begin_watched(kernel: &Path, watch: Arc<dyn Watch>) -> Result<Transaction, TransactionError> {
    Transaction::begin_on(Disk::watched(watch), kernel, &tree_of(kernel), &mut || ())
}

fn content(transaction: &Transaction, path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    transaction.open(path)?.read_to_end(&mut content)?;
    Ok(content)
}
