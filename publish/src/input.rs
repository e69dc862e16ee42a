//! Reading the files that are packed or signed: nothing but regular ones, of a size that can be.

use std::{fs::File, path::Path};

use kiln_durable::regular;

use crate::error::PublishError;

/// No module and no file of a source is larger, in bytes.
const LARGEST: u64 = 2 << 30;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, PublishError> {
    regular::read_at_once(path, LARGEST).map_err(PublishError::read(path))
}

/// Opens a file that is read as it is needed, and says how many bytes it has.
pub(crate) fn open(path: &Path) -> Result<(File, u64), PublishError> {
    let opened = regular::open_at_once(path).and_then(|file| {
        let metadata = file.metadata()?;
        regular::must_have_at_most(LARGEST, &metadata)?;
        Ok((file, metadata.len()))
    });
    opened.map_err(PublishError::read(path))
}
