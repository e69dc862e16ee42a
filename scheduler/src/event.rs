//! What a run tells its caller while it goes on.

use std::borrow::Cow;
use std::time::Duration;

use crate::job::JobId;
use crate::state::JobState;

/// One piece of news, in the order in which the coordinator learned of it.
///
/// Every job yields exactly one of `Finished`, `Blocked` and `Cancelled`, and `Started` before `Finished`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<O> {
    /// The job was handed to the executor.
    Started {
        /// The job.
        job: JobId,
    },
    /// The running job says what it is doing.
    Phase {
        /// The job.
        job: JobId,
        /// In the job's own words.
        name: Cow<'static, str>,
    },
    /// The job ended.
    Finished {
        /// The job.
        job: JobId,
        /// `Succeeded`, `Failed` or `Aborted`.
        state: JobState,
        /// What the executor said of it; `None` when the task was dropped or its worker panicked.
        outcome: Option<O>,
        /// From its start to its end, by the clock.
        wall: Duration,
    },
    /// The job can never start.
    Blocked {
        /// The job.
        job: JobId,
        /// The job that failed or was aborted.
        by: JobId,
    },
    /// The job will not start, because the run ends early.
    Cancelled {
        /// The job.
        job: JobId,
    },
    /// The job is ready but does not fit into memory now. Told once a job.
    MemoryWait {
        /// The job.
        job: JobId,
    },
    /// The cancellation was seen; running jobs are awaited. Told once a run.
    Cancelling,
    /// About a tenth of a second has passed while something runs; a view may redraw.
    Tick,
}
