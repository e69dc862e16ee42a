//! The content of a member, in a reader where others follow it.

use std::io::{self, Read};

/// Reads what is `left` of a member; an archive that ends before is not whole.
pub(crate) struct Content<'c, R> {
    pub(crate) reader: &'c mut R,
    /// In bytes.
    pub(crate) left: &'c mut u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(*self.left).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..most])?;
        *self.left -= read as u64;
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}
