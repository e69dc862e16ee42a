//! Walking the entries of the store without holding them all in memory.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::{At, StoreError};

/// One file of the store.
pub(crate) struct Listed<T> {
    pub(crate) name: T,
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
}

/// The shards below a directory, in order.
pub(crate) fn shards(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut shards = paths(directory)?;
    shards.retain(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit) && path.is_dir()
    });
    shards.sort_unstable();
    Ok(shards)
}

/// The entries of one shard, in order; files of other names are not ours to look at.
pub(crate) fn entries<T: FromStr>(shard: &Path) -> Result<Vec<Listed<T>>, StoreError> {
    let mut paths = paths(shard)?;
    paths.sort_unstable();
    let mut listed = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        match path.symlink_metadata() {
            Ok(metadata) => listed.push(Listed {
                name,
                path,
                metadata,
            }),
            // Deleted by somebody since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(&path, error)),
        }
    }
    Ok(listed)
}

/// What is in a directory; nothing if there is none.
pub(crate) fn paths(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(directory, error)),
    };
    listed
        .map(|entry| entry.map(|entry| entry.path()).at(directory))
        .collect()
}
