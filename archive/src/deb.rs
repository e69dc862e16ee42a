//! Reads a Debian package, deb(5): an ar(1) archive of two tarballs.

use std::io::{BufReader, Read};

use crate::{
    ArchiveError, Limits, ar::Ar, compression::decompressed, limits::Metered, members::Members,
    tarball,
};

/// Hands all members of the data on; returns the control file.
pub(crate) fn read(
    reader: impl Read,
    limits: &Limits,
    members: &mut Members<'_>,
) -> Result<String, ArchiveError> {
    let mut parts = Ar::new(reader)?;
    let mut control = None;
    let mut has_data = false;
    while let Some(name) = parts.next()? {
        // Others may be added, deb(5).
        if name.starts_with(b"control.tar") {
            if control.is_some() {
                return Err(ArchiveError::Damaged("it has two members control.tar"));
            }
            let reader = Metered::new(
                decompressed(BufReader::new(parts.content()))?,
                limits.header,
                "bytes in a header",
            );
            control = Some(tarball::content(reader, limits, "control")?.unwrap_or_default());
        } else if name.starts_with(b"data.tar") {
            if has_data {
                return Err(ArchiveError::Damaged("it has two members data.tar"));
            }
            has_data = true;
            let reader = limits.metered(decompressed(BufReader::new(parts.content()))?);
            tarball::read(reader, limits, members)?;
        }
    }
    match has_data {
        true => Ok(String::from_utf8_lossy(&control.unwrap_or_default()).into_owned()),
        false => Err(ArchiveError::Damaged("it has no data.tar")),
    }
}
