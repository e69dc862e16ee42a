//! Reads a Debian package, deb(5): an ar(1) archive of two tarballs.

use std::io::{BufReader, Read};

use crate::{
    ArchiveError, Limits, compression::decompressed, limits::Metered, members::Members, tarball,
};

/// Hands all members of the data on; returns the control file.
pub(crate) fn read(
    reader: impl Read,
    limits: &Limits,
    members: &mut Members<'_>,
) -> Result<String, ArchiveError> {
    let mut parts = ar::Archive::new(reader);
    let mut control = Vec::new();
    while let Some(part) = parts.next_entry() {
        let part = part?;
        let name = part.header().identifier().to_owned();
        if name.starts_with(b"control.tar") {
            let reader = Metered::new(
                decompressed(BufReader::new(part))?,
                limits.header,
                "bytes in a header",
            );
            control = tarball::content(reader, limits, "control")?.unwrap_or_default();
        } else if name.starts_with(b"data.tar") {
            let reader = limits.metered(decompressed(BufReader::new(part))?);
            tarball::read(reader, limits, members)?;
            return Ok(String::from_utf8_lossy(&control).into_owned());
        }
    }
    Err(ArchiveError::Damaged("it has no data.tar"))
}
