//! The pipe of one job's jobserver: its ends for the job, and this process's own handle.
//!
//! The pipe is opened a second time, so that "never block" is a property of this handle alone: whether a `make` sets or
//! clears O_NONBLOCK on the ends it inherited changes nothing here, nor does ours there. A job can hold up even that handle
//! (splice(2) locks a pipe while it waits for something else), so only the job's own feeder may use it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::TokenError;

/// What a token looks like. GNU make does not care, but uses the same.
const TOKEN: u8 = b'+';

/// The room in a pipe, rounded up to a page by the system. With one page, "may be written to" means "is empty", which is
/// how a token is seen to be taken.
const ROOM: usize = 4096;

/// This process's handle on the pipe, for both directions.
#[derive(Debug)]
pub(super) struct JobPipe(OwnedFd);

impl JobPipe {
    /// Makes an empty pipe. Also gives its ends for the job: where tokens come out, and where they are put back.
    pub(super) fn open() -> Result<(Self, [OwnedFd; 2]), TokenError> {
        let (out, back) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| TokenError::Pipe(error.into()))?;
        rustix::pipe::fcntl_setpipe_size(&out, ROOM)
            .map_err(|error| TokenError::Pipe(error.into()))?;
        let own = rustix::fs::open(
            format!("/proc/self/fd/{}", out.as_raw_fd()),
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| TokenError::Reopen(error.into()))?;
        Ok((Self(own), [out, back]))
    }

    /// Returns how many bytes are in it.
    pub(super) fn inside(&self) -> usize {
        rustix::io::ioctl_fionread(&self.0)
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Takes out as many of `count` bytes as are there and one step allows; gives their number.
    pub(super) fn take(&self, count: usize) -> usize {
        let mut bytes = [0; ROOM];
        let count = count.min(ROOM);
        rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut bytes[..count])).unwrap_or(0)
    }

    /// Puts one token in, and tells whether there was room.
    pub(super) fn put(&self) -> bool {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.0, &[TOKEN])) == Ok(1)
    }
}

impl AsFd for JobPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
