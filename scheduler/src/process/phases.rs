//! A pipe beside the output on which a job names its phase, a line each.
//!
//! The child inherits the write end, under a number that is the same in every run; no other child does. What comes out is the
//! child's word: lines are cut at [`MAX_LINE`] bytes and not otherwise looked at.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::ProcessError;
use crate::descriptors::Numbers;

/// A longer line is delivered in parts.
const MAX_LINE: usize = 4096;

/// The pipe, made before the command so that its number can be written into the command.
#[derive(Debug)]
pub struct PhaseChannel {
    read: OwnedFd,
    write: OwnedFd,
    number: RawFd,
}

impl PhaseChannel {
    /// Makes the pipe.
    ///
    /// # Errors
    /// [`ProcessError::Setup`] when the system refuses it.
    pub fn new() -> Result<Self, ProcessError> {
        let make = || -> io::Result<Self> {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&read, true)?;
            Ok(Self {
                read,
                write,
                number: Numbers::new().phases,
            })
        };
        make().map_err(ProcessError::Setup)
    }

    /// Returns the number of the descriptor to which the child writes its lines.
    #[must_use]
    pub fn fd_number(&self) -> RawFd {
        self.number
    }

    /// The write end in this process.
    pub(super) fn write_end(&self) -> RawFd {
        self.write.as_raw_fd()
    }
}

/// Hears the lines of a phase channel.
pub type OnLine<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// The side channel of one process, and who hears its lines.
pub struct Phases<'a> {
    /// The pipe.
    pub channel: PhaseChannel,
    /// Called with each line, without its end.
    pub on_line: OnLine<'a>,
}

impl fmt::Debug for Phases<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phases")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// The reading side, once the child is started.
pub(super) struct PhaseReader<'a> {
    /// `None` after the end.
    pipe: Option<OwnedFd>,
    line: Vec<u8>,
    on_line: OnLine<'a>,
}

impl<'a> Phases<'a> {
    /// Closes the write end here, which the child has by now.
    pub(super) fn into_reader(self) -> PhaseReader<'a> {
        PhaseReader {
            pipe: Some(self.channel.read),
            line: Vec::new(),
            on_line: self.on_line,
        }
    }
}

impl PhaseReader<'_> {
    /// Returns the end to poll, until all writers have closed theirs.
    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there, within reason, and delivers the lines that are complete.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &self.pipe else {
            return Ok(());
        };
        let mut bytes = [0; MAX_LINE];
        match rustix::io::read(pipe, &mut bytes) {
            Ok(0) => self.pipe = None,
            Ok(count) => self.split(&bytes[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn split(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() == MAX_LINE {
                (self.on_line)(&self.line);
                self.line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut reader = PhaseReader {
            pipe: None,
            line: Vec::new(),
            on_line: Box::new(|line| lines.push(line.to_vec())),
        };
        for piece in pieces {
            reader.split(piece);
        }
        drop(reader);
        lines
    }

    #[test]
    fn lines_are_joined_across_reads() {
        assert_eq!(
            lines_of(&[b"ma", b"ke\nstr", b"ip\n", b"half"]),
            [b"make".to_vec(), b"strip".to_vec()]
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let lines = lines_of(&[&[b'x'; MAX_LINE + 10], b"\n"]);
        assert_eq!(
            lines.iter().map(Vec::len).collect::<Vec<_>>(),
            [MAX_LINE, 10]
        );
    }
}
