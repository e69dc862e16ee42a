//! The pipe that carries a child's output: read in large chunks, counted, never collected.
//!
//! Invariant: this process holds only the read end once the child is started, and reads never block.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

/// One read at most. Smaller costs throughput, larger only memory.
const CHUNK: usize = 256 * 1024;
/// What the pipe itself should hold, so that the child seldom waits. The system may grant less.
const PIPE: usize = 1024 * 1024;

/// What one attempt to read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Some,
    NothingNow,
    /// Every writer has closed its end.
    End,
}

/// The reading side.
#[derive(Debug)]
pub(super) struct Output {
    /// `None` after the end.
    pipe: Option<OwnedFd>,
    buffer: Vec<u8>,
    limit: u64,
    delivered: u64,
    exceeded: bool,
}

impl Output {
    /// Makes the pipe and sets it as both outputs of a command, or the first if its errors go elsewhere, and `/dev/null`
    /// as its input.
    pub(super) fn attach(
        command: &mut Command,
        limit: Option<u64>,
        errors: Option<File>,
    ) -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        // A hint only; unprivileged users have a quota of pipe memory.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
        let errors = match errors {
            Some(file) => Stdio::from(file),
            None => Stdio::from(write.try_clone()?),
        };
        command.stdin(Stdio::null()).stdout(write).stderr(errors);
        let limit = limit.unwrap_or(u64::MAX);
        Ok(Self {
            pipe: Some(read),
            buffer: vec![0; CHUNK],
            limit,
            delivered: 0,
            exceeded: false,
        })
    }

    /// Returns the end to poll, until all writers have closed theirs.
    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads at most one chunk and delivers of it what the limit allows.
    pub(super) fn read(&mut self, deliver: &mut dyn FnMut(&[u8])) -> io::Result<Read> {
        let Some(pipe) = &self.pipe else {
            return Ok(Read::End);
        };
        let count = match rustix::io::read(pipe, &mut *self.buffer) {
            Ok(0) => {
                self.pipe = None;
                return Ok(Read::End);
            }
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Read::NothingNow),
            Err(error) => return Err(error.into()),
        };
        let allowed = usize::try_from(self.limit - self.delivered)
            .unwrap_or(usize::MAX)
            .min(count);
        self.exceeded |= allowed < count;
        if allowed > 0 {
            self.delivered += allowed as u64;
            deliver(&self.buffer[..allowed]);
        }
        Ok(Read::Some)
    }

    /// Tells whether the child printed more than it may.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }
}
