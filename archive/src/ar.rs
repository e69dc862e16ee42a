//! ar(1), as far as deb(5) has it: members with plain names of at most 16 bytes, one after the other.
//!
//! Nothing is read into memory but headers, whatever sizes they state.

use std::io::{self, Read};

use crate::{ArchiveError, content::Content};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
const HEADER_END: &[u8] = b"`\n";

/// Reads an archive, member by member.
pub(crate) struct Ar<R> {
    reader: R,
    /// Bytes of the member's content that are left.
    left: u64,
    /// Whether a byte follows that makes the size even.
    is_odd: bool,
}

impl<R: Read> Ar<R> {
    pub(crate) fn new(mut reader: R) -> Result<Self, ArchiveError> {
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic)?;
        match magic == MAGIC {
            true => Ok(Self {
                reader,
                left: 0,
                is_odd: false,
            }),
            false => Err(ArchiveError::Damaged("it is no ar archive")),
        }
    }

    /// The next member's name; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        io::copy(&mut self.content(), &mut io::sink())?;
        if std::mem::take(&mut self.is_odd) {
            // Some programs leave the last one out.
            io::copy(&mut (&mut self.reader).take(1), &mut io::sink())?;
        }
        let mut header = Vec::with_capacity(HEADER);
        let most = HEADER as u64;
        (&mut self.reader).take(most).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        if header.len() < HEADER || !header.ends_with(HEADER_END) {
            return Err(ArchiveError::Damaged("a member of it has no header"));
        }
        let size = str::from_utf8(&header[48..58]).ok();
        let size = size.and_then(|digits| digits.trim_end_matches(' ').parse().ok());
        self.left = size.ok_or(ArchiveError::Damaged("a member of it has no size"))?;
        self.is_odd = self.left % 2 == 1;
        let name = header[..16].trim_ascii_end();
        // As GNU's ar(1) ends them.
        Ok(Some(name.strip_suffix(b"/").unwrap_or(name).to_vec()))
    }

    /// The member's content, or what is left of it.
    pub(crate) fn content(&mut self) -> impl Read {
        Content {
            reader: &mut self.reader,
            left: &mut self.left,
        }
    }
}
