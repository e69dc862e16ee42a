//! This process's own handles on the jobserver's pipe, and the count of tokens taken through them.
//!
//! The pipe is opened a second time, so that "never block" is a property of these handles alone: whether a `make` sets
//! or clears O_NONBLOCK on the handles it inherited changes nothing here, nor does ours there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Repair;
use crate::descriptors::Numbers;

/// What a token looks like when this process has to make one. GNU make does not care, but uses the same.
const TOKEN: u8 = b'+';

/// Non-blocking handles on the pipe.
#[derive(Debug)]
pub(super) struct TokenPipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Tokens taken and not put back through these handles. The lock makes each change of pipe and count one step.
    held: Mutex<usize>,
}

impl TokenPipe {
    /// Opens the ends of the pipe again.
    pub(super) fn reopen(announced: &Announcement) -> io::Result<Self> {
        let open = |number: RawFd, access: OFlags| {
            let path = format!("/proc/self/fd/{number}");
            rustix::fs::open(
                path,
                access | OFlags::NONBLOCK | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        Ok(Self {
            read: open(announced.read, OFlags::RDONLY)?,
            write: open(announced.write, OFlags::WRONLY)?,
            held: Mutex::new(0),
        })
    }

    /// Takes a token out, if one is there.
    pub(super) fn take(&self) -> Option<u8> {
        let mut held = self.held();
        let byte = self.read_byte()?;
        *held += 1;
        Some(byte)
    }

    /// Puts a taken token back.
    pub(super) fn put_back(&self, byte: u8) {
        let mut held = self.held();
        self.write_byte(byte);
        *held = held.saturating_sub(1);
    }

    /// Returns how many tokens are in the pipe.
    pub(super) fn available(&self) -> usize {
        rustix::io::ioctl_fionread(&self.read)
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Makes the pipe hold exactly `size` tokens, unless some are held through these handles.
    pub(super) fn restore(&self, size: usize) -> Repair {
        let held = self.held();
        if *held > 0 {
            return Repair::default();
        }
        let available = self.available();
        let added = (available..size)
            .take_while(|_| self.write_byte(TOKEN))
            .count();
        let removed = (size..available).map_while(|_| self.read_byte()).count();
        Repair { added, removed }
    }

    /// Returns the end that becomes readable when a token is there.
    pub(super) fn readable_end(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    fn read_byte(&self) -> Option<u8> {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.read, &mut byte) {
                Ok(0) => return None,
                Ok(_) => return Some(byte[0]),
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Writes one token and tells whether it went in. A pipe that is full has more tokens than it should already.
    fn write_byte(&self, byte: u8) -> bool {
        loop {
            match rustix::io::write(&self.write, &[byte]) {
                Ok(written) => return written == 1,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the jobserver crate would tell a make of the pipe in this process. The crate only writes it to a command.
#[derive(Debug)]
pub(super) struct Announcement {
    /// `MAKEFLAGS`.
    flags: String,
    /// The number of the end that tokens come out of.
    pub(super) read: RawFd,
    /// The number of the other end.
    pub(super) write: RawFd,
}

impl Announcement {
    /// That of a client; none if it has no pipe.
    pub(super) fn of(client: &jobserver::Client) -> Option<Self> {
        let mut never_run = Command::new("make");
        client.configure_make(&mut never_run);
        let mut variables = never_run.get_envs();
        let (_, flags) = variables.find(|(name, _)| *name == "MAKEFLAGS")?;
        let flags = flags?.to_str()?.to_owned();
        let auth = flags
            .split_whitespace()
            .find_map(|flag| flag.strip_prefix("--jobserver-auth="))?;
        let (read, write) = auth.split_once(',')?;
        let (read, write) = (read.parse().ok()?, write.parse().ok()?);
        Some(Self { flags, read, write })
    }

    /// What `MAKEFLAGS` says in a child where the ends have these numbers.
    pub(super) fn flags_in_child(&self, numbers: Numbers) -> String {
        let Self { flags, read, write } = self;
        let Numbers {
            tokens_out,
            tokens_in,
            ..
        } = numbers;
        flags.replace(
            &format!("{read},{write}"),
            &format!("{tokens_out},{tokens_in}"),
        )
    }
}
