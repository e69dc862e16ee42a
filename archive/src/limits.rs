//! How large an archive may be, checked while it is read.

use std::{
    io::{self, Read},
    path::Path,
};

use rustix::fs::statvfs;

use crate::ArchiveError;

/// How large an archive may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes after decompression, headers included.
    pub bytes: u64,
    /// What they are called where there are more.
    pub bytes_are: &'static str,
    /// Members.
    pub members: u64,
    /// Bytes of a path or of a link's target.
    pub path: usize,
    /// Bytes of all paths and targets together: they are in memory.
    pub names: u64,
    /// Bytes of a header: a tar extension, the control file of a .deb, a header of an .rpm.
    pub header: u64,
    /// Directories above a member.
    pub depth: usize,
}

impl Default for Limits {
    /// More than any package of headers or of a driver has.
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            bytes_are: "bytes",
            members: 100_000,
            path: 4096,
            names: 16 << 20,
            header: 16 << 20,
            depth: 64,
        }
    }
}

impl Limits {
    /// These, and no more bytes than half of what is free where they go.
    ///
    /// # Errors
    /// Fails if the file system of the directory does not tell.
    pub fn within(self, directory: &Path) -> io::Result<Self> {
        let stat = statvfs(directory)?;
        let half = stat.f_bavail.saturating_mul(stat.f_frsize) / 2;
        if half >= self.bytes {
            return Ok(self);
        }
        Ok(Self {
            bytes: half,
            bytes_are: "bytes, half of the room that is left here",
            ..self
        })
    }

    /// Reads no more bytes than there may be.
    pub(crate) fn metered<R>(&self, reader: R) -> Metered<R> {
        Metered::new(reader, self.bytes, self.bytes_are)
    }

    pub(crate) fn too_large(what: &'static str, limit: u64) -> ArchiveError {
        ArchiveError::TooLarge { what, limit }
    }

    /// Reads a header whole.
    pub(crate) fn header(&self, reader: impl Read) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        reader.take(self.header + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > self.header {
            true => Err(Self::too_large("bytes in a header", self.header)),
            false => Ok(bytes),
        }
    }
}

/// A reader that fails when more than a number of bytes have come.
pub(crate) struct Metered<R> {
    inner: R,
    left: u64,
    limit: u64,
    what: &'static str,
}

impl<R> Metered<R> {
    pub(crate) fn new(inner: R, limit: u64, what: &'static str) -> Self {
        Self {
            inner,
            left: limit,
            limit,
            what,
        }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                let error = Limits::too_large(self.what, self.limit);
                return Err(io::Error::other(error));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_takes_no_more_than_half_of_the_room() {
        let temp = tempfile::tempdir().unwrap();
        let endless = Limits {
            bytes: u64::MAX,
            ..Limits::default()
        };
        let limits = endless.within(temp.path()).unwrap();
        let stat = statvfs(temp.path()).unwrap();
        assert!(limits.bytes > 0 && limits.bytes < stat.f_blocks * stat.f_frsize);
        let mut reader = Limits { bytes: 3, ..limits }.metered(&b"four"[..]);
        let said = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert!(said.to_string().contains("half of the room"), "{said}");
        let small = Limits {
            bytes: 1,
            ..Limits::default()
        };
        assert_eq!(small.within(temp.path()).unwrap().bytes_are, "bytes");
    }
}
