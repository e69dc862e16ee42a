//! How a running process is brought to an end: the first reason counts, SIGTERM comes before SIGKILL.
//!
//! It decides which signal is due and when to look again; it sends nothing and reads no clock.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::StopReason;

/// Where the stopping of a process stands.
#[derive(Debug)]
pub(super) struct Stop {
    grace: Duration,
    reason: Option<StopReason>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// SIGTERM is due or was sent.
    Asked {
        sent: bool,
        kill_at: Instant,
    },
    /// SIGKILL is due or was sent.
    Killed {
        sent: bool,
    },
}

impl Stop {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            reason: None,
            stage: Stage::Running,
        }
    }

    /// Returns the first reason that was given.
    pub(super) fn reason(&self) -> Option<StopReason> {
        self.reason
    }

    /// Stops in order. Later requests change nothing.
    pub(super) fn ask(&mut self, reason: StopReason, now: Instant) {
        if self.stage == Stage::Running {
            self.reason = Some(reason);
            self.stage = Stage::Asked {
                sent: false,
                kill_at: now + self.grace,
            };
        }
    }

    /// Stops at once, also when a stop in order is under way.
    pub(super) fn kill(&mut self, reason: StopReason) {
        if !matches!(self.stage, Stage::Killed { .. }) {
            self.reason.get_or_insert(reason);
            self.stage = Stage::Killed { sent: false };
        }
    }

    /// Returns the signal to send now, once each.
    pub(super) fn due(&mut self, now: Instant) -> Option<Signal> {
        match self.stage {
            Stage::Asked {
                sent: false,
                kill_at,
            } => {
                self.stage = Stage::Asked {
                    sent: true,
                    kill_at,
                };
                Some(Signal::TERM)
            }
            Stage::Asked {
                sent: true,
                kill_at,
            } if now >= kill_at => {
                self.stage = Stage::Killed { sent: true };
                Some(Signal::KILL)
            }
            Stage::Killed { sent: false } => {
                self.stage = Stage::Killed { sent: true };
                Some(Signal::KILL)
            }
            Stage::Running | Stage::Asked { .. } | Stage::Killed { .. } => None,
        }
    }

    /// Returns when a signal will be due if nothing else happens.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asked { kill_at, .. } => Some(kill_at),
            Stage::Running | Stage::Killed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    #[test]
    fn term_then_kill_after_grace_and_each_once() {
        let start = Instant::now();
        let mut stop = Stop::new(GRACE);
        assert_eq!(stop.due(start), None);
        stop.ask(StopReason::TimeLimit, start);
        stop.ask(StopReason::OutputLimit, start + GRACE);
        assert_eq!(stop.due(start), Some(Signal::TERM));
        assert_eq!(stop.due(start), None);
        assert_eq!(stop.next(), Some(start + GRACE));
        assert_eq!(stop.due(start + GRACE), Some(Signal::KILL));
        assert_eq!(stop.due(start + 2 * GRACE), None);
        assert_eq!(stop.reason(), Some(StopReason::TimeLimit));
    }

    #[test]
    fn kill_does_not_wait_for_grace() {
        let start = Instant::now();
        let mut stop = Stop::new(GRACE);
        stop.ask(StopReason::Cancelled, start);
        assert_eq!(stop.due(start), Some(Signal::TERM));
        stop.kill(StopReason::Cancelled);
        assert_eq!(stop.due(start), Some(Signal::KILL));
        stop.kill(StopReason::Cancelled);
        assert_eq!(stop.due(start), None);
    }
}
