//! Reading the files that are packed or signed: nothing but regular ones, of a size that can be.

use std::path::Path;

use kiln_durable::regular;

use crate::error::PublishError;

/// No module and no file of a source is larger, in bytes.
const LARGEST: u64 = 2 << 30;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, PublishError> {
    regular::read_at_once(path, LARGEST).map_err(PublishError::read(path))
}
