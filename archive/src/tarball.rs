//! Reads a tarball: ustar, GNU's long names, and the extended headers of pax(1).
//!
//! The tar crate reads an extension into memory however long it says that it is. Here members come raw, and extensions
//! are read within the limits.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::{ArchiveError, Limits, members::Members};

const BLOCK: u64 = 512;

/// A member, with what extensions say of it.
struct Member<'e, 'r, R: Read> {
    path: PathBuf,
    link: PathBuf,
    modified: u64,
    entry: &'e mut Entry<'r, R>,
}

/// What extensions say of the member after them.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    modified: Option<u64>,
}

/// Hands all members on.
pub(crate) fn read(
    reader: impl Read,
    limits: &Limits,
    members: &mut Members<'_>,
) -> Result<(), ArchiveError> {
    each(reader, limits, |member| {
        let mode = member.entry.header().mode()?;
        let path = &member.path;
        match member.entry.header().entry_type() {
            EntryType::Directory => members.directory(path),
            // As tar(1) of old has it.
            EntryType::Regular if ends_as_directory(path) => members.directory(path),
            EntryType::Regular | EntryType::Continuous => {
                members.file(path, mode, member.modified, member.entry)
            }
            EntryType::Symlink => members.symlink(path, &member.link),
            EntryType::Link => members.hard_link(path, &member.link),
            _ => Err(members.other(path)),
        }
    })
}

/// The content of the file of a name.
pub(crate) fn content(
    reader: impl Read,
    limits: &Limits,
    name: &str,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let mut found = None;
    each(reader, limits, |member| {
        if member.path.file_name() == Some(OsStr::new(name)) {
            // One program would take the first, another the last.
            if found.is_some() {
                return Err(ArchiveError::Damaged("it has two control files"));
            }
            found = Some(limits.header(member.entry)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Visits each member, and makes sure that there is an end after the last.
fn each<R: Read>(
    reader: R,
    limits: &Limits,
    mut visit: impl FnMut(Member<'_, '_, Ending<R>>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(Ending::new(reader));
    let mut ahead = Ahead::default();
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        // Extensions count as well.
        if count as u64 >= limits.members.saturating_mul(2) {
            return Err(Limits::too_large("members", limits.members));
        }
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::GNULongName => ahead.path = Some(long_name(&mut entry, limits)?),
            EntryType::GNULongLink => ahead.link = Some(long_name(&mut entry, limits)?),
            EntryType::XHeader => ahead.take(&limits.header(&mut entry)?)?,
            EntryType::XGlobalHeader => drop(limits.header(&mut entry)?),
            _ => {
                let said = std::mem::take(&mut ahead);
                let header = entry.header();
                let path = said
                    .path
                    .unwrap_or_else(|| header.path_bytes().into_owned());
                let link = said
                    .link
                    .or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
                let modified = match said.modified {
                    Some(modified) => modified,
                    None => header.mtime()?,
                };
                visit(Member {
                    path: OsString::from_vec(path).into(),
                    link: OsString::from_vec(link.unwrap_or_default()).into(),
                    modified,
                    entry: &mut entry,
                })?;
            }
        }
    }
    archive.into_inner().finish()
}

/// What a tarball is read from, which tells an archive's end from the end of what is left of it.
///
/// Two blocks of zeros are the end. The tar crate takes one for it, and none: an archive that was cut between two members
/// would look whole.
struct Ending<R> {
    reader: R,
    is_over: bool,
}

impl<R: Read> Ending<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            is_over: false,
        }
    }

    /// Reads on from the first block of zeros to the end of all.
    fn finish(mut self) -> Result<(), ArchiveError> {
        if self.is_over {
            return Err(ArchiveError::Damaged("it ends before its end is marked"));
        }
        let mut second = Vec::new();
        (&mut self).take(BLOCK).read_to_end(&mut second)?;
        // Where nothing follows nothing is lost, and some programs write it so. Of what follows
        // some programs would take members, and some not.
        if second.iter().any(|byte| *byte != 0) {
            let reason = "something follows a single block of zeros";
            return Err(ArchiveError::Damaged(reason));
        }
        // Only at its end does a compressed file tell whether it is whole.
        io::copy(&mut self, &mut io::sink())?;
        Ok(())
    }
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.is_over |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

/// A name of GNU's, without what ends it.
fn long_name(reader: impl Read, limits: &Limits) -> Result<Vec<u8>, ArchiveError> {
    let mut name = limits.header(reader)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

impl Ahead {
    fn take(&mut self, records: &[u8]) -> Result<(), ArchiveError> {
        for record in PaxExtensions::new(records) {
            let record = record?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"mtime" => {
                    let whole = value.split(|byte| *byte == b'.').next();
                    let seconds = whole.and_then(|digits| str::from_utf8(digits).ok());
                    self.modified = seconds.and_then(|seconds| seconds.parse().ok());
                }
                // Of members larger than ustar can say: beyond any limit here.
                b"size" => return Err(ArchiveError::Damaged("a size is stated twice")),
                _ => {}
            }
        }
        Ok(())
    }
}

fn ends_as_directory(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}
