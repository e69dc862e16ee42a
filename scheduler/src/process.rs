//! One child process with limits: what to run, and what it came to.
//!
//! The process gets a group of its own, `/dev/null` as its input, and one pipe for both its outputs, unless the errors go elsewhere. Invariant: when
//! [`run_process`] returns or panics, the child has been reaped and its group has been killed, so nothing of it is
//! left but what left the group on purpose; that is for a sandbox to catch.

mod child;
mod output;
mod phases;
mod stop;
mod supervise;
mod sys;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Pid;

pub use phases::{OnLine, PhaseChannel, Phases};
pub use supervise::run_process;
pub(crate) use sys::keep_all;

/// What to run and within which limits.
pub struct ProcessSpec<'a> {
    /// The program with its arguments and environment. Its standard streams and its process group are set by
    /// [`run_process`].
    pub command: Command,
    /// How long it may run by the clock, if that is limited.
    pub time_limit: Option<Duration>,
    /// How many bytes it may print, if that is limited. No byte beyond is delivered.
    pub output_limit: Option<u64>,
    /// How long it has between SIGTERM and SIGKILL when it is stopped.
    pub grace: Duration,
    /// Asked 20 times a second whether the process should be stopped for a reason of the caller's; gets its number.
    pub watch: Option<Box<dyn FnMut(Pid) -> Option<StopReason> + 'a>>,
    /// A side channel on which the process may tell its phase.
    pub phases: Option<Phases<'a>>,
    /// Where its standard error goes, if that is not to be merged into the output. It has no limit of its own.
    pub errors: Option<File>,
}

impl ProcessSpec<'_> {
    /// How long a process has by default between SIGTERM and SIGKILL.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

    /// Runs a command without limits.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            command,
            time_limit: None,
            output_limit: None,
            grace: Self::DEFAULT_GRACE,
            watch: None,
            phases: None,
            errors: None,
        }
    }
}

impl fmt::Debug for ProcessSpec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("command", &self.command)
            .field("time_limit", &self.time_limit)
            .field("output_limit", &self.output_limit)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Why a process was stopped before its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The cancel token asked for it.
    Cancelled,
    /// It ran longer than [`ProcessSpec::time_limit`].
    TimeLimit,
    /// It printed more than [`ProcessSpec::output_limit`].
    OutputLimit,
    /// [`ProcessSpec::watch`] asked for it, for this reason of the caller's: it is killed without SIGTERM first.
    Other(&'static str),
}

/// What a process consumed, with those of its descendants that were waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user mode.
    pub cpu_user: Duration,
    /// Processor time in the kernel.
    pub cpu_system: Duration,
    /// Bytes of memory that the largest single process held at its peak. Linux starts this from what the calling
    /// process held when it forked, so a small child seems as large as its parent.
    pub peak_rss: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessExit {
    /// The child's own status.
    pub status: ExitStatus,
    /// Why it was told to stop, if it was; it may have ended well all the same.
    pub stopped: Option<StopReason>,
    /// What it consumed.
    pub usage: Usage,
    /// From before its start until it was reaped, by the clock.
    pub wall: Duration,
    /// Bytes of output delivered.
    pub output_bytes: u64,
}

/// A process could not be run or watched. Whether it failed by itself is in [`ProcessExit::status`].
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A pipe or event for it could not be made.
    #[error("cannot set up the pipes of a child process")]
    Setup(#[source] io::Error),
    /// The program could not be started.
    #[error("cannot start {}", .program.display())]
    Spawn {
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The process was started but could not be watched; it has been killed.
    #[error("cannot watch a child process")]
    Watch(#[source] io::Error),
    /// The process ended but its status could not be had.
    #[error("cannot reap a child process")]
    Reap(#[source] io::Error),
}
