//! A started child and its process group, from spawn to reaping.
//!
//! Invariant: the group is signalled only while the child is unreaped, so its number cannot have passed to strangers;
//! whoever drops the child without reaping it kills the group and reaps it then.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::{PhaseChannel, ProcessError, Usage, sys};

/// A child that leads a session, and so a process group.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// Readable when the child has exited. `None` on kernels without pidfds, where the child must be asked.
    exit: Option<OwnedFd>,
    reaped: bool,
}

impl Child {
    /// Starts a command in a session of its own. The child keeps the write end of `kept`.
    pub(super) fn spawn(
        mut command: Command,
        kept: Option<&PhaseChannel>,
    ) -> Result<Self, ProcessError> {
        let kept = kept.map(|channel| (channel.write_end(), channel.fd_number()));
        sys::prepare_child(&mut command, kept);
        let child = command.spawn().map_err(|source| ProcessError::Spawn {
            program: command.get_program().to_owned(),
            source,
        })?;
        let pid = Pid::from_child(&child);
        let exit = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        Ok(Self {
            pid,
            exit,
            reaped: false,
        })
    }

    /// Returns its number.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns what becomes readable when the child exits, where the kernel has that.
    pub(super) fn exit_event(&self) -> Option<BorrowedFd<'_>> {
        self.exit.as_ref().map(AsFd::as_fd)
    }

    /// Tells whether the child has exited, without reaping it.
    pub(super) fn has_exited(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::Pid(self.pid), options)?.is_some())
    }

    /// Sends a signal to the whole group, and to the child itself in case it has moved to another group.
    pub(super) fn signal(&self, signal: Signal) {
        // Both fail only when nobody is left to receive it.
        let _ = rustix::process::kill_process_group(self.pid, signal);
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Kills what is left of the group, and reaps the child.
    pub(super) fn reap(mut self) -> Result<(ExitStatus, Usage), ProcessError> {
        self.signal(Signal::KILL);
        self.reaped = true;
        sys::reap(self.pid).map_err(ProcessError::Reap)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::KILL);
            // Nobody is left to hear that the child could not be reaped.
            let _ = sys::reap(self.pid);
        }
    }
}
