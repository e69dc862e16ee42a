//! The archive in an RPM: cpio(5) of the "newc" kind.

use std::io::{self, Read};

use crate::{ArchiveError, Limits, content::Content};

const HEADER: usize = 110;
const MAGIC: [&[u8]; 2] = [b"070701", b"070702"];
const TRAILER: &[u8] = b"TRAILER!!!";

/// A member's header.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) modified: u32,
    pub(crate) size: u32,
    /// Inode and device: names of one file have the same.
    pub(crate) inode: (u32, u32, u32),
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    Other,
}

impl Header {
    pub(crate) fn kind(&self) -> Kind {
        match self.mode & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o100_000 => Kind::File,
            0o120_000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }
}

/// Reads an archive, member by member.
pub(crate) struct Cpio<R> {
    reader: R,
    longest: usize,
    /// Bytes of the member's content that are left, and of what fills it up.
    left: u64,
    filling: u64,
}

impl<R: Read> Cpio<R> {
    /// Names are `longest` bytes at most.
    pub(crate) fn new(reader: R, longest: usize) -> Self {
        Self {
            reader,
            longest,
            left: 0,
            filling: 0,
        }
    }

    /// The next member's header; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Header>, ArchiveError> {
        self.skip(self.left + self.filling)?;
        let mut bytes = [0; HEADER];
        self.reader.read_exact(&mut bytes)?;
        if !MAGIC.contains(&&bytes[..6]) {
            return Err(ArchiveError::Damaged("its cpio archive has no header"));
        }
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(bytes[6..].chunks_exact(8)) {
            let digits = str::from_utf8(digits).ok();
            let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            *field = number.ok_or(ArchiveError::Damaged("its cpio archive has no numbers"))?;
        }
        let [
            inode,
            mode,
            _,
            _,
            links,
            modified,
            size,
            major,
            minor,
            _,
            _,
            length,
            _,
        ] = fields;
        if length as usize > self.longest + 1 {
            return Err(Limits::too_large("bytes in a name", self.longest as u64));
        }
        let mut name = vec![0; length as usize];
        self.reader.read_exact(&mut name)?;
        if name.pop() != Some(0) {
            return Err(ArchiveError::Damaged("a name has no end"));
        }
        self.skip(filling(HEADER as u64 + u64::from(length)))?;
        self.left = size.into();
        self.filling = filling(size.into());
        if name == TRAILER {
            return Ok(None);
        }
        Ok(Some(Header {
            name,
            mode,
            links,
            modified,
            size,
            inode: (inode, major, minor),
        }))
    }

    /// The member's content, or what is left of it.
    pub(crate) fn content(&mut self) -> impl Read {
        Content {
            reader: &mut self.reader,
            left: &mut self.left,
        }
    }

    /// Reads on to the end of what the archive is in.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map(drop)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink())?;
        self.left = 0;
        self.filling = 0;
        match skipped == bytes {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// How many bytes fill a length up to a multiple of four.
fn filling(length: u64) -> u64 {
    length.next_multiple_of(4) - length
}
