//! A job's state, and the one function that moves it.
//!
//! Invariant: every entry got where it is by legal moves from `Waiting`, so a finished state never changes again.
//! Counts are derived from the states by whoever wants them, never kept beside them.

use crate::job::JobId;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Some dependency has not succeeded yet.
    Waiting,
    /// All dependencies have succeeded; it waits for a slot, a token or memory.
    Ready,
    /// The executor has it.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended with an outcome that is a failure.
    Failed,
    /// It was started but ended without an outcome to rely on: killed, a fault of the environment, a dropped task.
    Aborted,
    /// It can never start, because of a job that failed, was aborted or stranded.
    Blocked {
        /// The job that itself failed, was aborted or stranded, however far up the chain. The first one, where several did.
        by: JobId,
    },
    /// No lane is left that may run it: its lane was lost or absent, or each has refused it.
    Stranded,
    /// It was not started because the run was cancelled, or because another job failed under fail-fast.
    Cancelled,
}

impl JobState {
    /// Tells whether the state is final.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Ready | Self::Running)
    }

    /// Tells whether a job in this state may move to the other one.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        match self {
            Self::Waiting => matches!(to, Self::Ready | Self::Blocked { .. } | Self::Cancelled),
            Self::Ready => matches!(to, Self::Running | Self::Stranded | Self::Cancelled),
            // Back to `Ready` when its executor hands it back.
            Self::Running => matches!(
                to,
                Self::Ready | Self::Succeeded | Self::Failed | Self::Aborted
            ),
            Self::Succeeded
            | Self::Failed
            | Self::Aborted
            | Self::Blocked { .. }
            | Self::Stranded
            | Self::Cancelled => false,
        }
    }
}

/// A move that [`JobState::may_become`] forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job {job} may not go from {from:?} to {to:?}")]
pub(crate) struct IllegalMove {
    job: JobId,
    from: JobState,
    to: JobState,
}

/// The states of all jobs of a run.
#[derive(Debug)]
pub(crate) struct StateTable {
    states: Vec<JobState>,
}

impl StateTable {
    /// Makes a table in which every job waits.
    pub(crate) fn new(jobs: usize) -> Self {
        Self {
            states: vec![JobState::Waiting; jobs],
        }
    }

    pub(crate) fn of(&self, job: JobId) -> JobState {
        self.states[job.index()]
    }

    /// Moves one job. No other function changes a state; an illegal move changes nothing.
    pub(crate) fn advance(&mut self, job: JobId, to: JobState) -> Result<(), IllegalMove> {
        let state = &mut self.states[job.index()];
        if !state.may_become(to) {
            return Err(IllegalMove {
                job,
                from: *state,
                to,
            });
        }
        *state = to;
        Ok(())
    }

    pub(crate) fn into_states(self) -> Vec<JobState> {
        self.states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId::FIRST;
    const BLOCKED: JobState = JobState::Blocked { by: JOB };
    const ALL: [JobState; 9] = [
        JobState::Waiting,
        JobState::Ready,
        JobState::Running,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Aborted,
        BLOCKED,
        JobState::Stranded,
        JobState::Cancelled,
    ];
    const LEGAL: [(JobState, JobState); 10] = [
        (JobState::Waiting, JobState::Ready),
        (JobState::Waiting, BLOCKED),
        (JobState::Waiting, JobState::Cancelled),
        (JobState::Ready, JobState::Running),
        (JobState::Ready, JobState::Stranded),
        (JobState::Ready, JobState::Cancelled),
        (JobState::Running, JobState::Ready),
        (JobState::Running, JobState::Succeeded),
        (JobState::Running, JobState::Failed),
        (JobState::Running, JobState::Aborted),
    ];

    fn table_in(state: JobState) -> StateTable {
        StateTable {
            states: vec![state],
        }
    }

    #[test]
    fn every_legal_move_is_made() {
        for (from, to) in LEGAL {
            let mut table = table_in(from);
            table.advance(JOB, to).unwrap();
            assert_eq!(table.of(JOB), to, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn every_other_move_is_refused_and_changes_nothing() {
        let mut refused = 0;
        for from in ALL {
            for to in ALL.into_iter().filter(|&to| !LEGAL.contains(&(from, to))) {
                let mut table = table_in(from);
                assert_eq!(
                    table.advance(JOB, to),
                    Err(IllegalMove { job: JOB, from, to })
                );
                assert_eq!(table.of(JOB), from);
                refused += 1;
            }
        }
        assert_eq!(refused, ALL.len() * ALL.len() - LEGAL.len());
    }

    #[test]
    fn a_state_is_final_when_no_move_leaves_it() {
        for from in ALL {
            assert_eq!(
                from.is_final(),
                !ALL.into_iter().any(|to| from.may_become(to)),
                "{from:?}"
            );
        }
    }
}
