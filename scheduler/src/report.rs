//! What a run came to, once it has ended.

use std::time::Duration;

use crate::job::JobId;
use crate::state::JobState;

/// The end of a run: every job's final state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Each job's final state, by [`JobId::index`].
    pub states: Vec<JobState>,
    /// From the call to the return, by the clock.
    pub wall: Duration,
    /// Whether the run was ended by its cancel token while there was still something to start or to await.
    pub cancelled: bool,
}

/// How many jobs ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended well.
    pub succeeded: usize,
    /// Ran to a failure.
    pub failed: usize,
    /// Ended without an outcome.
    pub aborted: usize,
    /// Never started, because of a failed, aborted or stranded job.
    pub blocked: usize,
    /// Not started, or not again, because no lane was left.
    pub stranded: usize,
    /// Never started, because the run ended early.
    pub cancelled: usize,
}

impl RunReport {
    /// Returns one job's final state.
    #[must_use]
    pub fn state(&self, job: JobId) -> JobState {
        self.states[job.index()]
    }

    /// Counts the jobs whose state meets a condition.
    pub fn count(&self, condition: impl Fn(JobState) -> bool) -> usize {
        self.states
            .iter()
            .filter(|&&state| condition(state))
            .count()
    }

    /// Counts the jobs by the way they ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for state in &self.states {
            match state {
                JobState::Succeeded => counts.succeeded += 1,
                JobState::Failed => counts.failed += 1,
                JobState::Aborted => counts.aborted += 1,
                JobState::Blocked { .. } => counts.blocked += 1,
                JobState::Stranded => counts.stranded += 1,
                JobState::Cancelled => counts.cancelled += 1,
                JobState::Waiting | JobState::Ready | JobState::Running => {}
            }
        }
        counts
    }

    /// Tells whether every job succeeded.
    #[must_use]
    pub fn all_succeeded(&self) -> bool {
        self.states
            .iter()
            .all(|&state| state == JobState::Succeeded)
    }
}
