//! Unpacking, of any format.

use std::{
    io::{BufReader, Read, Seek},
    path::Path,
};

use kiln_durable::regular;

use crate::{
    ArchiveError, Below, Kind, Limits, Target, compression::decompressed, deb, members::Members,
    rpm_package, tarball,
};

/// What an archive says of itself.
#[derive(Debug)]
pub enum Description {
    /// The control file of a .deb, deb-control(5).
    Deb(String),
    /// The headers of an .rpm.
    Rpm(Box<rpm::PackageMetadata>),
    /// A tarball says nothing.
    None,
}

/// Hands each member of the archive at `path` to a target.
///
/// # Errors
/// Fails if the archive cannot be read, is damaged or hostile, or goes beyond a limit. What was made until then stays: the
/// caller removes it.
pub fn unpack(
    path: &Path,
    limits: &Limits,
    target: &mut dyn Target,
) -> Result<Description, ArchiveError> {
    let mut file = regular::open_at_once(path)?;
    let mut members = Members::new(target, *limits);
    match Kind::of(&file)?.ok_or(ArchiveError::Unknown)? {
        Kind::Deb => {
            let reader = BufReader::new(file);
            deb::read(reader, limits, &mut members).map(Description::Deb)
        }
        Kind::Rpm => {
            file.rewind()?;
            let reader = BufReader::new(file);
            let metadata = rpm_package::read(reader, limits, &mut members)?;
            Ok(Description::Rpm(Box::new(metadata)))
        }
        Kind::Tar => {
            let reader = limits.metered(decompressed(BufReader::new(file))?);
            tarball::read(reader, limits, &mut members)?;
            Ok(Description::None)
        }
    }
}

/// Unpacks an archive into an empty directory, within the usual limits and the room that there is.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_into(archive: &Path, directory: &Path) -> Result<(), ArchiveError> {
    let limits = Limits::default().within(directory)?;
    unpack(archive, &limits, &mut Below::new(directory)?).map(drop)
}

/// Hands each member of a tarball that somebody else decompresses to a target.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_tarball(
    reader: impl Read,
    limits: &Limits,
    target: &mut dyn Target,
) -> Result<(), ArchiveError> {
    let mut members = Members::new(target, *limits);
    tarball::read(limits.metered(reader), limits, &mut members)
}
