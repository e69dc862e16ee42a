//! Reading the files that options name: keys, certificates and tokens, which nobody else may write to, and
//! the secret ones among them nobody else may read.

use std::path::Path;

use kiln_files::{Guard, Secrecy};
use zeroize::Zeroizing;

use crate::error::RemoteError;

/// Reads a file; its bytes are wiped from memory when dropped.
pub(crate) fn read(path: &Path, secrecy: Secrecy) -> Result<Zeroizing<Vec<u8>>, RemoteError> {
    Ok(Guard::of_process().read(path, secrecy)?)
}

/// As [`read`], where others must not wait for the disk.
pub(crate) async fn read_aside(
    path: &Path,
    secrecy: Secrecy,
) -> Result<Zeroizing<Vec<u8>>, RemoteError> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&path, secrecy));
    read.await.expect("reading does not panic")
}
