//! The loop beside a running child: pass its output on, watch its limits, see its end.
//!
//! It sleeps in one poll over the output, the phases, the child's exit and the cancel token, so no silence of any of
//! them can hang it. It ends with the child, never with the pipe: a daemon may keep that open for ever.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Pid;

use super::child::Child;
use super::output::{Output, Read};
use super::phases::PhaseReader;
use super::stop::Stop;
use super::{ProcessError, ProcessExit, ProcessSpec, StopReason};
use crate::bell::Bell;
use crate::cancel::{CancelToken, Listening};

/// How long output is awaited after the child itself has exited.
const DRAIN: Duration = Duration::from_millis(200);
/// How often the caller's watch is asked.
const WATCH: Duration = Duration::from_millis(50);
/// How often a child is asked whether it has exited, where the kernel cannot tell by itself.
const ASK: Duration = Duration::from_millis(20);

/// Runs a process to its end and returns how it ended.
///
/// `lines` gets the merged output as raw chunks of up to 256 KiB as they come; nothing is kept, and while it works the
/// process is not read from. The process is also killed when the calling thread ends.
///
/// # Errors
/// When the process cannot be started, watched or reaped. A failure of its own is a status, not an error.
pub fn run_process(
    spec: ProcessSpec<'_>,
    cancel: &CancelToken,
    lines: &mut dyn FnMut(&[u8]),
) -> Result<ProcessExit, ProcessError> {
    let ProcessSpec {
        mut command,
        time_limit,
        output_limit,
        grace,
        mut watch,
        phases,
        errors,
    } = spec;
    let started = Instant::now();
    let cancelled = CancelBell::new(cancel).map_err(ProcessError::Setup)?;
    let mut output =
        Output::attach(&mut command, output_limit, errors).map_err(ProcessError::Setup)?;
    let child = Child::spawn(command, phases.as_ref().map(|phases| &phases.channel))?;
    let mut vigil = Vigil {
        child,
        cancelled,
        cancel,
        phases: phases.map(super::Phases::into_reader),
        stop: Stop::new(grace),
        deadline: time_limit.and_then(|limit| started.checked_add(limit)),
        next_watch: started + WATCH,
    };
    vigil
        .keep(&mut output, &mut watch, lines)
        .map_err(ProcessError::Watch)?;
    vigil
        .drain(&mut output, lines)
        .map_err(ProcessError::Watch)?;
    let stopped = vigil.stop.reason();
    let (status, usage) = vigil.child.reap()?;
    Ok(ProcessExit {
        status,
        stopped,
        usage,
        wall: started.elapsed(),
        output_bytes: output.delivered(),
    })
}

/// Readable when the cancel token has changed.
struct CancelBell {
    bell: Arc<Bell>,
    _listening: Listening,
}

impl CancelBell {
    fn new(cancel: &CancelToken) -> io::Result<Self> {
        let bell = Arc::new(Bell::new()?);
        let rung = Arc::clone(&bell);
        let listening = cancel.listen(move || rung.ring());
        Ok(Self {
            bell,
            _listening: listening,
        })
    }
}

/// What is watched beside the output.
struct Vigil<'a> {
    child: Child,
    cancelled: CancelBell,
    cancel: &'a CancelToken,
    phases: Option<PhaseReader<'a>>,
    stop: Stop,
    deadline: Option<Instant>,
    next_watch: Instant,
}

type Watch<'a> = Option<Box<dyn FnMut(Pid) -> Option<StopReason> + 'a>>;

impl Vigil<'_> {
    /// Passes output on until the child has exited.
    fn keep(
        &mut self,
        output: &mut Output,
        watch: &mut Watch<'_>,
        lines: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        loop {
            let now = Instant::now();
            self.look_for_reasons(output, watch, now);
            if let Some(signal) = self.stop.due(now) {
                self.child.signal(signal);
            }
            self.sleep(output, self.next_look(watch.is_some(), now))?;
            self.cancelled.bell.silence();
            output.read(lines)?;
            if let Some(phases) = &mut self.phases {
                phases.read()?;
            }
            if self.child.has_exited()? {
                return Ok(());
            }
        }
    }

    /// Passes on what the child left in its pipes; if others still hold them open, for a short time only.
    fn drain(&mut self, output: &mut Output, lines: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let until = Instant::now() + DRAIN;
        if let Some(phases) = &mut self.phases {
            phases.read()?;
        }
        while output.read(lines)? != Read::End {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Some(pipe) = output.event() {
                poll(&mut [PollFd::from_borrowed_fd(pipe, PollFlags::IN)], left)?;
            }
        }
        if output.is_exceeded() {
            self.stop.ask(StopReason::OutputLimit, Instant::now());
        }
        Ok(())
    }

    fn look_for_reasons(&mut self, output: &Output, watch: &mut Watch<'_>, now: Instant) {
        if self.cancel.is_killed() {
            self.stop.kill(StopReason::Cancelled);
        } else if self.cancel.is_cancelled() {
            self.stop.ask(StopReason::Cancelled, now);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.stop.ask(StopReason::TimeLimit, now);
        }
        if output.is_exceeded() {
            self.stop.ask(StopReason::OutputLimit, now);
        }
        if let Some(watch) = watch
            && now >= self.next_watch
        {
            self.next_watch = now + WATCH;
            match watch(self.child.pid()) {
                Some(reason @ StopReason::Other(_)) => self.stop.kill(reason),
                Some(reason) => self.stop.ask(reason, now),
                None => {}
            }
        }
    }

    /// Returns how long nothing can become due by the clock alone.
    fn next_look(&self, watched: bool, now: Instant) -> Duration {
        let deadline = self.deadline.filter(|_| self.stop.reason().is_none());
        let watch = watched.then_some(self.next_watch);
        let ask = self.child.exit_event().is_none().then(|| now + ASK);
        let next = [deadline, watch, ask, self.stop.next()]
            .into_iter()
            .flatten()
            .min();
        next.map_or(Duration::MAX, |next| next.saturating_duration_since(now))
    }

    fn sleep(&self, output: &Output, at_most: Duration) -> io::Result<()> {
        let phases = self.phases.as_ref().and_then(PhaseReader::event);
        let events = [
            Some(self.cancelled.bell.as_fd()),
            self.child.exit_event(),
            output.event(),
            phases,
        ];
        let mut fds: Vec<_> = events
            .into_iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        poll(&mut fds, at_most)
    }
}

/// Polls; an interruption counts as an event, since every caller looks for itself afterwards.
fn poll(fds: &mut [PollFd<'_>], at_most: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(at_most).ok();
    match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
