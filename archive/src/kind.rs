//! The formats, told by their first bytes.

use std::{fs::File, io, os::unix::fs::FileExt};

use crate::compression::is_compressed;

const DEB_MAGIC: &[u8] = b"!<arch>\n";
const RPM_MAGIC: &[u8] = &[0xed, 0xab, 0xee, 0xdb];
const TAR_MAGIC_OFFSET: usize = 257;

/// A format of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Debian package, deb(5).
    Deb,
    /// An RPM.
    Rpm,
    /// A tarball, compressed or not.
    Tar,
}

impl Kind {
    /// What the first bytes of a file say that it is.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn of(file: &File) -> io::Result<Option<Self>> {
        let mut head = [0; 512];
        let mut length = 0;
        while length < head.len() {
            match file.read_at(&mut head[length..], length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        let head = &head[..length];
        let is_tar = head.get(TAR_MAGIC_OFFSET..TAR_MAGIC_OFFSET + 5) == Some(b"ustar");
        Ok(if head.starts_with(DEB_MAGIC) {
            Some(Self::Deb)
        } else if head.starts_with(RPM_MAGIC) {
            Some(Self::Rpm)
        } else if is_tar || is_compressed(head) {
            Some(Self::Tar)
        } else {
            None
        })
    }
}
